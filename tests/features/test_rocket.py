"""MiniRocket's features: those of sktime, by scikit-learn's contract."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from omi_estimators.features import RocketFeatures

sktime = pytest.importorskip("sktime.transformations.rocket", reason="needs the extra rocket")
pytest.importorskip("sktime_cython", reason="needs the extra rocket")


@pytest.fixture(scope="module")
def beats():
    """Return 20 random waveforms in 12 leads."""
    return np.random.default_rng(0).normal(size=(20, 12, 60))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("random_state", [None, 0])
def test_scikit_learns_checks(random_state):
    results = check_estimator(RocketFeatures(168, random_state=random_state), on_skip=None, on_fail=None)
    assert [result for result in results if result["status"] == "failed"] == []


def test_features_are_those_of_sktime(beats):
    ours = RocketFeatures(336, random_state=3).fit(beats[:10])
    theirs = sktime.MiniRocketMultivariateCython(336, random_state=ours.seed_).fit(beats[:10].astype(np.float32))
    found = ours.transform(beats)
    np.testing.assert_array_equal(found, theirs.transform(beats.astype(np.float32)).to_numpy())
    assert found.shape == (20, 336)
    assert found.dtype == np.float32
    assert 0.3 < found.mean() < 0.7


def test_promises_of_a_transformer_on_three_dimensions(beats):
    before = beats.copy()
    fitted = RocketFeatures(168, random_state=0).fit(beats)
    found = fitted.transform(beats)
    np.testing.assert_array_equal(beats, before)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(beats), found)
    np.testing.assert_array_equal(clone(fitted).fit_transform(beats), found)
    np.testing.assert_array_equal(fitted.transform(beats[3:4]), found[3:4])
    assert (RocketFeatures(168, random_state=1).fit_transform(beats) != found).any()
    with pytest.raises(ValueError, match="11 leads"):
        fitted.transform(beats[:, :11])
    with pytest.raises(ValueError, match="59 samples"):
        fitted.transform(beats[..., 1:])


def test_missing_samples_count_as_zero(beats):
    fitted = RocketFeatures(168, random_state=0).fit(beats)
    gone, zero = beats.copy(), beats.copy()
    gone[:, 2], zero[:, 2] = np.nan, 0
    np.testing.assert_array_equal(fitted.transform(gone), fitted.transform(zero))


def test_the_callers_random_state_stays_as_it_is(beats):
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    RocketFeatures(84).fit_transform(beats)
    assert np.random.random() == expected  # noqa: NPY002


def test_thresholds_of_another_number_are_refused(beats):
    fitted = RocketFeatures(168, random_state=0).fit(beats)
    fitted.thresholds_ = fitted.thresholds_[:-1]
    with pytest.raises(ValueError, match=r"thresholds_ must be 168 numbers; got an array of shape \(167,\)"):
        fitted.transform(beats)


def test_without_the_library_the_extra_is_named(beats, monkeypatch):
    monkeypatch.setitem(sys.modules, "sktime_cython", None)
    with pytest.raises(ImportError, match=r"MiniRocket needs the package sktime-cython.* pip install"):
        RocketFeatures(84).fit(beats)
