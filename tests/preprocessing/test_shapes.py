"""Beats of several shapes: ectopic ones never enter the average, and what was measured is told; and long records."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from omi_estimators import ECGFilter, MedianBeat, NeuroKitFeatures
from omi_estimators.preprocessing import BeatShapeWarning, average_beats, find_r_peaks, median_beat

RATE = 500


def _beat(times, ectopic):
    """Return one beat in three leads: narrow after a P wave, or wide, high and without one."""
    if ectopic:
        wave = 2.5 * np.exp(-((times / 0.05) ** 2)) - 0.8 * np.exp(-(((times - 0.3) / 0.07) ** 2))
        return np.outer((-1.0, 1.0, 0.5), wave)
    wave = np.exp(-((times / 0.014) ** 2)) + 0.15 * np.exp(-(((times + 0.16) / 0.03) ** 2))
    return np.outer((1.0, 0.7, -0.6), wave + 0.3 * np.exp(-(((times - 0.28) / 0.05) ** 2)))


def _record(kinds, early=0.6, rr=0.9):
    """Return a record of narrow ("n") and ectopic ("e") beats; an ectopic one is early, and a pause follows it."""
    times = np.arange(round(RATE * rr * (len(kinds) + 1))) / RATE
    noise = np.random.default_rng(0).normal(scale=0.005, size=(3, len(times)))
    places = [rr * (index + 0.6 - (1 - early) * (kind == "e")) for index, kind in enumerate(kinds)]
    return noise + sum(_beat(times - place, kind == "e") for place, kind in zip(places, kinds, strict=True))


@pytest.mark.parametrize("kinds", ["nenenenenene", "eneneneneneen", "neeneeneeneenee", "nnnennnennne"])
def test_ectopic_beats_do_not_enter_the_average(kinds):
    clean = average_beats(_record("n" * 12), RATE, 0.3, 0.5).waveform
    average = average_beats(_record(kinds), RATE, 0.3, 0.5)
    assert np.abs(average.waveform - clean)[:, 50:330].max() < 0.1
    assert average.n_shapes == 2
    assert bool(average.note) == (kinds.count("n") < 0.6 * len(kinds))


def test_mostly_ectopic_beats_are_named():
    X = np.stack([_record("n" * 10), _record("eeeeneeeee", early=1.0)])
    with pytest.warns(BeatShapeWarning, match="1 of 2 records have beats of several shapes.* 1 \\("):
        MedianBeat(sampling_rate=RATE).fit_transform(X)
    with pytest.warns(BeatShapeWarning):
        features = NeuroKitFeatures(sampling_rate=RATE).set_output(transform="pandas").fit_transform(X)
    assert features["dominant_fraction"][1] <= 0.9


def test_early_beats_of_the_same_shape_are_left_out(make_ecg):
    beats = [make_ecg(n_records=1, duration=10, heart_rate=60, n_leads=3)[0]]
    record = np.concatenate([beats[0][:, :2000], beats[0][:, 2150:]], axis=1)
    average = average_beats(record, RATE, 0.3, 0.5)
    early = 1 + int(np.argmin(np.diff(average.peaks)))
    assert not average.used[early]


def test_a_long_record_is_measured_in_windows_as_a_short_one(make_ecg):
    record = make_ecg(n_records=1, sampling_rate=100, duration=900)[0].astype(np.float32)
    record[:, 40_000:41_000] = 0.0
    short, long = record[:, :30_000], record
    np.testing.assert_allclose(median_beat(long, 100), median_beat(short, 100), atol=0.03)
    assert len(find_r_peaks(long, 100)) == pytest.approx(len(average_beats(long, 100, 0.3, 0.5).peaks), abs=2)
    filtered = ECGFilter(sampling_rate=100).fit_transform(long[np.newaxis])[0]
    np.testing.assert_allclose(
        filtered[:, :29_000], ECGFilter(sampling_rate=100).fit_transform(short[None])[0, :, :29_000], atol=1e-3
    )
    of_both = [NeuroKitFeatures(sampling_rate=100).fit_transform(x[np.newaxis])[0] for x in (long, short)]
    np.testing.assert_array_equal(*map(np.isnan, of_both))
    np.testing.assert_allclose(of_both[0][0], of_both[1][0], rtol=0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="needs the module resource")
def test_an_hour_takes_little_more_memory_than_itself():
    code = """
import resource
import numpy as np
from omi_estimators import MedianBeat
t = np.arange(360_000) / 100
wave = np.exp(-((((t * 1.2) % 1) - 0.5) / 0.03) ** 2).astype("f4")
X = np.linspace(0.5, 1.5, 12, dtype="f4")[None, :, None] * wave
X += np.random.default_rng(0).normal(scale=0.01, size=X.shape).astype("f4")
MedianBeat(sampling_rate=100).fit_transform(X[:, :, :6000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
MedianBeat(sampling_rate=100).fit_transform(X)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / X.nbytes)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 8


def test_the_peak_of_a_beat_that_is_cut_off_lies_in_the_record():
    record = _record("nnennennen")
    peaks = find_r_peaks(record, RATE)
    for shift in range(-6, 10):
        for part in (record[:, peaks[1] + shift :], record[:, : peaks[-2] + shift]):
            found = average_beats(part, RATE, 0.3, 0.5).peaks
            assert found.min() >= 0
            assert found.max() < part.shape[1]
