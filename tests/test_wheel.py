"""The wheel holds the package and nothing else, and works where nothing of the repository is."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The README's way from ECGs to a probability, a file, and a picture.
FIRST_HOUR = """
import matplotlib
matplotlib.use("Agg")
import numpy as np
import omi_estimators
from omi_estimators import load, make_forest_pipeline, make_net_pipeline, read_ecg, save
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.inspection import ECGDisplay

assert "site-packages" in omi_estimators.__file__, omi_estimators.__file__
ecgs = make_omi_ecgs(n_patients=30, prevalence=0.4, random_state=0)
forest = make_forest_pipeline(ecgs.sampling_rate, n_estimators=50, random_state=0).fit(ecgs.X, ecgs.y)
save(forest, "forest.omi", y=ecgs.y, groups=ecgs.groups)
np.save("ecg.npy", ecgs.X[0])
record = read_ecg("ecg.npy", sampling_rate=500, unit="mV")
model = load("forest.omi")
assert 0 < model.predict_proba(record.signal[None])[0, 1] < 1
ECGDisplay.from_estimator(model, record).figure_.savefig("ecg.png")
net = make_net_pipeline(ecgs.sampling_rate, width=4, n_members=1, max_epochs=1, random_state=0).fit(ecgs.X, ecgs.y)
print(net.predict_proba(ecgs.X[:2]).shape)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Return a wheel built from the tree as it is."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, text=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    inside = {name for name in names if name.startswith("omi_estimators/")}
    assert {name for name in names - inside if ".dist-info/" not in name} == set()
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "omi_estimators").rglob("*.py")}
    assert {name for name in inside if name.endswith(".py")} == modules
    assert inside - modules == {
        "omi_estimators/py.typed",
        "omi_estimators/cli/view.html",
        "omi_estimators/datasets/data/normal_hearts.csv",
        "omi_estimators/evaluation/page.html",
        "omi_estimators/evaluation/tripod_ai.toml",
        "omi_estimators/evaluation/words.toml",
        "omi_estimators/persistence/card.md",
        "omi_estimators/persistence/examples/mi-forest.omi",
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_what_the_wheel_says_of_itself(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
    metadata = archive.read(name).decode()
    assert "License-Expression: BSD-3-Clause" in metadata
    assert "Requires-Python: >=3.11" in metadata
    # Lower bounds only, so that nobody's environment is held back.
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert required
    assert not any("<" in line or "==" in line.split(";")[0] for line in required)


@pytest.mark.slow
def test_the_wheel_works_in_a_clean_environment(wheel, tmp_path):
    env = {"MPLBACKEND": "Agg"} | {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")
    }

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(sys.executable, "-m", "venv", "clean")
    python = str(tmp_path / "clean" / "bin" / "python")
    constraints = str(ROOT / "constraints.txt")
    run(python, "-m", "pip", "install", "--quiet", "--constraint", constraints, "torch")
    run(python, "-m", "pip", "install", "--quiet", "--constraint", constraints, f"{wheel}[io,plot]")
    assert "(2, 2)" in run(python, "-c", FIRST_HOUR)
    for example in sorted((ROOT / "examples").glob("0[12]_*.py")):
        assert run(python, "-I", str(example))
    assert "compare" in run(python, "-m", "omi_estimators", "--help")
    command = str(tmp_path / "clean" / "bin" / "omi-estimators")
    assert "forest" in run(command, "card", "forest.omi").lower()
    run(python, "-m", "pip", "check")
