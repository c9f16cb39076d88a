"""Bad records that hospitals send, and what each becomes: the table of docs/reliability.md, held to the code."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from omi_estimators import ECGFilter, MedianBeat, NeuroKitFeatures
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.preprocessing import UnusableRecordWarning, signal_quality

DOCUMENT = Path(__file__).parents[1] / "docs" / "reliability.md"
FLAGS = ("missing", "flat", "saturated", "noise", "wander")


class BadRecord(NamedTuple):
    """One record (1, n_leads, n_samples), and its sampling rate in Hz."""

    X: np.ndarray
    sampling_rate: float = 500


def _good(**how: Any) -> np.ndarray:
    return make_omi_ecgs(n_patients=1, random_state=2, **how).X[:1].astype(np.float64)


def _cut(samples: slice) -> np.ndarray:
    return _good()[..., samples]


def _set(leads: Any, samples: Any, value: float) -> np.ndarray:
    X = _good()
    X[0, leads, samples] = value
    return X


def _swap_arms() -> np.ndarray:
    X = _good()
    X[0, :6] = X[0, [0, 2, 1, 4, 3, 5]]
    X[0, 0] *= -1
    return X


def _fibrillate() -> np.ndarray:
    times = np.arange(5000) / 500
    return np.sin(2 * np.pi * 5 * times + 3 * np.sin(np.pi * times)) * np.ones((1, 12, 1))


BAD_RECORDS = {
    "good": lambda: BadRecord(_good()),
    "flat": lambda: BadRecord(np.zeros((1, 12, 5000))),
    "all samples missing": lambda: BadRecord(np.full((1, 12, 5000), np.nan)),
    "one sample missing": lambda: BadRecord(_set(3, 1000, np.nan)),
    "a spike of 50 mV in one lead": lambda: BadRecord(_set(3, 1234, 50.0)),
    "cut off at ±0.2 mV": lambda: BadRecord(np.clip(_good(), -0.2, 0.2)),
    "white noise": lambda: BadRecord(np.random.default_rng(0).normal(size=(1, 12, 5000))),
    "like ventricular fibrillation": lambda: BadRecord(_fibrillate()),
    "1 s": lambda: BadRecord(_cut(slice(0, 500))),
    "one beat": lambda: BadRecord(_cut(slice(0, 350))),
    "20 s": lambda: BadRecord(_good(duration=20)),
    "100 Hz": lambda: BadRecord(_good(sampling_rate=100), 100),
    "250 Hz": lambda: BadRecord(_good(sampling_rate=250), 250),
    "1000 Hz": lambda: BadRecord(_good(sampling_rate=1000), 1000),
    "electrodes of the arms swapped": lambda: BadRecord(_swap_arms()),
    "leads V2 and V3 missing": lambda: BadRecord(_set([7, 8], slice(None), np.nan)),
    "all limb leads missing": lambda: BadRecord(_set(slice(0, 6), slice(None), np.nan)),
    "eight leads": lambda: BadRecord(_good()[:, [0, 1, 6, 7, 8, 9, 10, 11]]),
    "microvolts": lambda: BadRecord(1000 * _good()),
    "axes swapped": lambda: BadRecord(_good().transpose(0, 2, 1)),
    "integers (µV)": lambda: BadRecord(np.round(1000 * _good()).astype(np.int16)),
    "an infinite sample": lambda: BadRecord(_set(3, 1000, np.inf)),
}


def _try(transformer: Any, X: np.ndarray) -> tuple[np.ndarray | None, str]:
    """Return the result, and "" or ", warning"; None if it is a ValueError."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        warnings.simplefilter("always", UnusableRecordWarning)
        try:
            return transformer.fit(X).transform(X), ", warning" if caught else ""
        except ValueError:
            return None, ""


def describe_filtered(X: np.ndarray, sampling_rate: float) -> str:
    """Return what ECGFilter makes of a record."""
    result, warning = _try(ECGFilter(sampling_rate=sampling_rate), X)
    if result is None:
        return "ValueError"
    assert not np.isinf(result).any()
    np.testing.assert_array_equal(np.isnan(result), np.isnan(X))
    if not np.nan_to_num(result).any():
        return "zeros" + warning
    return ("filtered, gaps stay" if np.isnan(X).any() else "filtered") + warning


def describe_beat(X: np.ndarray, sampling_rate: float) -> str:
    """Return what MedianBeat makes of a record."""
    result, warning = _try(MedianBeat(sampling_rate=sampling_rate), X)
    if result is None:
        return "ValueError"
    assert np.isfinite(result).all()
    n_zero = int((~result[0].any(axis=1)).sum())
    if n_zero == result.shape[1]:
        return "zeros" + warning
    return "a beat" + (f", {n_zero} leads of zeros" if n_zero else "") + warning


def describe_features(X: np.ndarray, sampling_rate: float) -> str:
    """Return what NeuroKitFeatures makes of a record."""
    result, warning = _try(NeuroKitFeatures(sampling_rate=sampling_rate), X)
    if result is None:
        return "ValueError"
    assert not np.isinf(result).any()
    n_known = int(np.isfinite(result).sum())
    return (f"{n_known} of {result.size}" if n_known else "all NaN") + warning


def describe_quality(X: np.ndarray, sampling_rate: float) -> str:
    """Return what signal_quality says of a record."""
    try:
        found = signal_quality(X[0], sampling_rate)
    except ValueError:
        return "ValueError"
    counts = {flag: int(getattr(found, flag).sum()) for flag in FLAGS}
    flags = [f"{n} {flag}" for flag, n in counts.items() if n]
    reversal = [] if found.limb_lead_reversal == "none" else [f"{found.limb_lead_reversal} swapped"]
    return ", ".join([f"{found.quality:.2f}", *flags, *reversal])


DESCRIBE = (describe_filtered, describe_beat, describe_features, describe_quality)


def describe(name: str) -> tuple[str, ...]:
    """Return the four outcomes of a bad record."""
    return tuple(outcome(*BAD_RECORDS[name]()) for outcome in DESCRIBE)


def _documented() -> dict[str, tuple[str, ...]]:
    """Return the rows of the table of bad records in the document, by the record's name."""
    text = DOCUMENT.read_text().split("<!-- bad records -->")[1].split("<!-- end of bad records -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {name: tuple(outcomes) for name, *outcomes in rows[2:]}


def test_the_table_has_each_bad_record_once():
    assert list(_documented()) == list(BAD_RECORDS)


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_a_bad_record_becomes_what_the_table_says(name):
    for found, documented in zip(describe(name), _documented()[name], strict=True):
        # Another processor may round a measurement across a limit: a hundredth of quality, a few features.
        numbers, expected = (re.findall(r"\d+(?:\.\d+)?", text) for text in (found, documented))
        assert re.sub(r"\d+(?:\.\d+)?", "", found) == re.sub(r"\d+(?:\.\d+)?", "", documented)
        for number, wanted in zip(map(float, numbers), map(float, expected), strict=True):
            assert number == pytest.approx(wanted, abs=0.015 if "." in documented else 0.01 * wanted)


@pytest.mark.parametrize("name", ["one sample missing", "a spike of 50 mV in one lead"])
def test_one_bad_sample_hardly_moves_the_beat(name):
    good, bad = (MedianBeat().fit_transform(BAD_RECORDS[which]().X) for which in ("good", name))
    np.testing.assert_allclose(bad, good, atol=0.03 * np.ptp(good))


def test_integers_are_their_numbers():
    X, sampling_rate = BAD_RECORDS["integers (µV)"]()
    with pytest.warns(UnusableRecordWarning, match="microvolts"):
        assert not MedianBeat(sampling_rate=sampling_rate).fit_transform(X).any()
    whole = np.round(X / 200.0)
    beats = MedianBeat().fit_transform(whole)
    np.testing.assert_allclose(MedianBeat().fit_transform(whole.astype(np.int16)), beats, rtol=1e-6, atol=1e-6)
