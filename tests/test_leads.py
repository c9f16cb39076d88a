"""Lead algebra, and the check that every ECG passes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from omi_estimators import LEADS, check_ecg
from omi_estimators.leads import TERRITORIES, derive_limb_leads


def test_order_of_leads():
    assert LEADS == ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    assert {lead for leads in TERRITORIES.values() for lead in leads} <= set(LEADS)


@pytest.mark.parametrize("given", [(0, 1), (0, 2), (1, 2), (3, 4), (0, 5), (0, 1, 2, 3)])
def test_two_limb_leads_give_all(make_ecg, given):
    X = make_ecg(n_records=2)
    X[:, 2] = X[:, 1] - X[:, 0]
    X[:, 3], X[:, 4], X[:, 5] = -(X[:, 0] + X[:, 1]) / 2, X[:, 0] - X[:, 1] / 2, X[:, 1] - X[:, 0] / 2
    missing = X.copy()
    missing[:, [lead for lead in range(6) if lead not in given]] = np.nan
    np.testing.assert_allclose(derive_limb_leads(missing), X, atol=1e-12)


def test_one_limb_lead_gives_none(make_ecg):
    X = make_ecg(n_records=1)
    X[:, 1:6] = np.nan
    np.testing.assert_array_equal(derive_limb_leads(X), X)


def test_shapes_and_types():
    assert check_ecg(np.zeros((2, 12, 50), dtype=np.float32)).dtype == np.float32
    assert check_ecg(np.zeros((2, 12, 50), dtype=np.int16)).dtype == np.float64
    assert check_ecg([[1, 2, 3]]).shape == (1, 1, 3)
    right = np.ones((2, 12, 50))
    assert check_ecg(right) is right


@pytest.mark.parametrize(
    ("X", "params", "message"),
    [
        (np.zeros((12, 50, 2, 2)), {}, "must have shape"),
        (np.zeros(50), {}, "must have shape"),
        (np.zeros((0, 12, 50)), {}, "empty"),
        (np.zeros((2, 50, 12)), {"n_leads": 12}, "axes look swapped"),
        (np.zeros((2, 8, 50)), {"n_leads": 12}, "8 leads per record, but 12"),
        (np.zeros((2, 12, 50)), {"min_samples": 100}, "50 samples per lead, but at least 100"),
        ([["a", "b"]], {}, "must hold numbers"),
        ([[1.0, 2.0], [1.0]], {}, "inhomogeneous|must hold numbers"),
        (np.full((1, 1, 5), np.nan), {"allow_nan": True}, "nothing but NaN"),
        (np.array([[[1.0, np.nan]]]), {}, "NaN in record 0"),
        (np.array([[[1.0, np.inf]]]), {"allow_nan": True}, "infinite values in record 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_said(X, params, message):
    with pytest.raises(ValueError, match=message):
        check_ecg(X, **params)


def test_records_that_were_read_are_no_array():
    record = SimpleNamespace(signal=np.zeros((12, 10)), sampling_rate=250.0)
    with pytest.raises(ValueError, match=r"got SimpleNamespace\. Give record\.signal\[np\.newaxis\].* 250 Hz"):
        check_ecg(record)
    with pytest.raises(ValueError, match=r"SimpleNamespaces in a list\. Give np\.stack\("):
        check_ecg([record, record])


def test_tensors_are_arrays():
    torch = pytest.importorskip("torch")
    X = np.random.default_rng(0).normal(size=(2, 12, 10)).astype(np.float32)
    tensor = torch.tensor(X, requires_grad=True)
    assert (check_ecg(tensor) == X).all()
    assert (check_ecg(list(tensor)) == X).all()


def test_large_values_do_not_pass_for_infinite():
    large = np.full((1, 1, 100), 1e29, dtype=np.float32)
    assert check_ecg(large).shape == large.shape
    with pytest.raises(ValueError, match="beyond"):
        check_ecg(1e9 * large)


def test_values_that_no_unit_makes_of_an_ecg_are_refused_by_record():
    X = np.zeros((3, 12, 10))
    X[1, 2, 3] = -2e30
    with pytest.raises(ValueError, match=r"values beyond 1e\+30, .* in record 1; remove or repair"):
        check_ecg(X)
    X[1, 2, 4] = np.nan
    with pytest.raises(ValueError, match=r"in record 1;"):
        check_ecg(X, allow_nan=True)
    X[1, 2, 3] = 1e30
    assert check_ecg(X, allow_nan=True).shape == X.shape
