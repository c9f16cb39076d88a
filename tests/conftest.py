"""Fixtures that all test modules share: small synthetic ECGs, and the real ones where they are at hand."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import settings
from joblib.externals.loky import get_reusable_executor
from numpy.typing import NDArray

DATA_DIR = Path(os.environ.get("OMI_ESTIMATORS_DATA", Path(__file__).parents[2] / "shared" / "data"))

# Each wave as (time from R in s, width in s, amplitude in mV for lead I, II and V1 to V6).
_WAVES = (
    (-0.16, 0.022, (0.08, 0.14, 0.05, 0.06, 0.06, 0.06, 0.06, 0.06)),
    (-0.025, 0.008, (-0.06, -0.08, 0.0, 0.0, 0.0, -0.05, -0.08, -0.08)),
    (0.0, 0.011, (0.6, 1.0, 0.25, 0.5, 0.8, 1.4, 1.3, 1.0)),
    (0.028, 0.010, (-0.1, -0.15, -0.9, -1.2, -0.8, -0.4, -0.2, -0.1)),
    (0.28, 0.045, (0.2, 0.3, -0.05, 0.35, 0.4, 0.4, 0.35, 0.25)),
)


# `make test` draws the same examples every time, so that a change is judged by what it changes; `make test-slow` and
# `make fuzz` draw new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("new", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# Seconds after which a slow test counts as one that waits for ever.
_SLOW_LIMIT = 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests more time."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_SLOW_LIMIT))


@pytest.fixture
def own_pool() -> Iterator[None]:
    """Keep joblib's workers that a test harms from all other tests."""
    get_reusable_executor(reuse=True).shutdown(kill_workers=True)
    yield
    get_reusable_executor(reuse=True).shutdown(kill_workers=True)
    assert not [child for child in multiprocessing.active_children() if "Loky" in repr(child)]


@pytest.fixture
def notebook(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> pytest.CaptureFixture[str]:
    """Capture what is printed as `capsys` does, where a notebook shows it, bars of progress too."""
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    return capsys


@pytest.fixture
def make_ecg() -> Callable[..., NDArray[np.float64]]:
    """Return a function that makes clean sinus rhythm in millivolts, shape (n_records, n_leads, n_samples)."""

    def make(
        n_records: int = 3,
        n_leads: int = 12,
        sampling_rate: float = 500,
        duration: float = 10.0,
        heart_rate: float = 70,
        seed: int = 0,
    ) -> NDArray[np.float64]:
        rng = np.random.default_rng(seed)
        times = np.arange(round(duration * sampling_rate)) / sampling_rate
        X = np.zeros((n_records, 12, len(times)))
        for record in X:
            rr = 60 / heart_rate
            for beat in np.arange(rng.uniform(0.2, 0.2 + rr), duration + rr, rr):
                for centre, width, amplitudes in _WAVES:
                    wave = np.exp(-0.5 * ((times - beat - centre) / width) ** 2)
                    record[[0, 1, *range(6, 12)]] += np.outer(amplitudes, wave)
            record *= rng.uniform(0.8, 1.2)
            lead_i, lead_ii = record[0], record[1]
            record[2], record[3] = lead_ii - lead_i, -(lead_i + lead_ii) / 2
            record[4], record[5] = lead_i - lead_ii / 2, lead_ii - lead_i / 2
            record += rng.normal(scale=0.01, size=record.shape)
        return X[:, :n_leads]

    return make


@pytest.fixture
def make_beats() -> Callable[..., tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]]:
    """Return a function that makes scaled beats X (n_records, n_leads, n_samples), labels and patients.

    Class 1 has its ST segment raised in the last leads, so that a small network learns it quickly.
    """

    def make(
        n_records: int = 40, n_leads: int = 3, n_samples: int = 40, prevalence: float = 0.5, seed: int = 0
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        rng = np.random.default_rng(seed)
        y = np.zeros(n_records, dtype=np.int64)
        y[: max(2, round(prevalence * n_records))] = 1
        y = rng.permutation(y)
        times = np.linspace(-1, 1, n_samples)
        X = np.exp(-0.5 * (times / 0.1) ** 2) + rng.normal(scale=0.1, size=(n_records, n_leads, n_samples))
        X[y == 1, -1, n_samples // 2 :] += 0.5
        groups = np.arange(n_records) // 2
        return X.astype(np.float32), y, groups

    return make


@pytest.fixture
def read_only() -> Callable[[Path], AbstractContextManager[None]]:
    """Return a context in which nothing can be made in a folder, not by the administrator either."""

    @contextmanager
    def protect(folder: Path) -> Iterator[None]:
        mode = folder.stat().st_mode
        parents = [parent for parent in folder.parents if not parent.stat().st_mode & 0o001]
        is_root = os.geteuid() == 0
        modes = {parent: parent.stat().st_mode for parent in parents} if is_root else {}
        for parent, own in modes.items():
            parent.chmod(own | 0o011)
        folder.chmod(0o555)
        if is_root:
            os.seteuid(65534)
        try:
            yield
        finally:
            if is_root:
                os.seteuid(0)
            folder.chmod(mode)
            for parent, own in modes.items():
                parent.chmod(own)

    return protect


def _existing(*parts: str) -> Path:
    """Return a folder of the real data, or skip the test."""
    folder = DATA_DIR.joinpath(*parts)
    if not folder.exists():
        pytest.skip(f"real ECGs are not at {folder}; set OMI_ESTIMATORS_DATA to the folder that holds {parts[0]}")
    return folder


@pytest.fixture
def ptbxl_dir() -> Path:
    """Return the folder of a PTB-XL subset, or skip."""
    return _existing("ptb-xl-500")


@pytest.fixture
def ludb_dir() -> Path:
    """Return the folder of LUDB, or skip."""
    return _existing("ludb")


@pytest.fixture
def vendor_dir() -> Path:
    """Return the folder of vendors' files, or skip."""
    return _existing("vendor")
