"""make_omi_ecgs: its contract, its physics, and how near it comes to measured ECGs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.datasets._heart import CONDITIONS, DOWER, INVERSE_DOWER, QRS, draw_hearts, ventricular_beat
from omi_estimators.datasets._recording import VENTRICULAR_ECTOPIC, draw_noise, draw_rhythm, quantise

# Median change of ST60 (microvolts, in the order of LEADS) by balloon occlusion, STAFF III study.
_STAFF_III = {
    "LAD": (48, -42, -92, 0, 60, -46, 53, 246, 272, 156, 51, -23),
    "RCA": (-47, 36, 111, 3, -78, 66, -25, -99, -91, -52, -28, -7),
    "LCX": (-5, 9, 1, -13, -5, 3, -62, -119, -114, -41, 14, 49),
}


def st60(ecgs):
    """Return ST at J + 60 ms against the PQ level, median over beats, shape (n_records, 12), in microvolts."""
    onset, j_point = (ecgs.fiducial_names.index(name) for name in ("qrs_onset", "j_point"))
    step = ecgs.sampling_rate / 1000
    levels = np.full(ecgs.X.shape[:2], np.nan)
    for record, (signal, beats) in enumerate(zip(ecgs.X, ecgs.fiducials, strict=True)):
        at = beats[:, j_point] + round(60 * step)
        base = np.maximum(beats[:, onset] - round(16 * step), 0)
        levels[record] = 1000 * np.median(signal[:, at] - signal[:, base], axis=1)
    return levels


@pytest.fixture(scope="module")
def ecgs():
    return make_omi_ecgs(n_patients=150, prevalence=0.2, random_state=0)


def test_shapes_and_kinds(ecgs):
    n_records = len(ecgs.y)
    assert ecgs.X.shape == (n_records, 12, 5000)
    assert ecgs.X.dtype == np.float32
    assert np.isfinite(ecgs.X).all()
    for name in ("groups", "territory", "condition", "rhythm", "age", "sex", "fiducials"):
        assert len(ecgs[name]) == n_records, name
    assert set(ecgs.sex) == {0.0, 1.0}
    assert set(ecgs.territory[ecgs.y == 1]) == {"LAD", "RCA", "LCX"}
    assert set(ecgs.territory[ecgs.y == 0]) == {""}
    assert len(np.unique(ecgs.groups)) == 150
    assert 1.2 < n_records / 150 < 1.6
    assert ecgs.y.sum() == round(0.2 * n_records)


def test_limb_leads_obey_einthoven_and_goldberger_noise_included(ecgs):
    lead_i, lead_ii, lead_iii, avr, avl, avf = ecgs.X[:, :6].transpose(1, 0, 2)
    np.testing.assert_allclose(lead_iii, lead_ii - lead_i, atol=2e-6)
    np.testing.assert_allclose(avr, -(lead_i + lead_ii) / 2, atol=2e-6)
    np.testing.assert_allclose(avl, (lead_i - lead_iii) / 2, atol=2e-6)
    np.testing.assert_allclose(avf, (lead_ii + lead_iii) / 2, atol=2e-6)


def test_age_and_sex_belong_to_the_patient(ecgs):
    for patient in np.unique(ecgs.groups):
        mine = ecgs.groups == patient
        assert len(set(ecgs.age[mine])) == len(set(ecgs.sex[mine])) == 1
        assert len(set(ecgs.territory[mine]) - {""}) <= 1


def test_some_patients_have_records_of_both_classes(ecgs):
    mixed = [patient for patient in np.unique(ecgs.groups) if len(set(ecgs.y[ecgs.groups == patient])) == 2]
    assert mixed


def test_rhythm_agrees_with_what_is_seen():
    ecgs = make_omi_ecgs(400, prevalence=0, duration=2, random_state=0)
    assert set(ecgs.rhythm) == {"sinus", "atrial ectopics", "ventricular ectopics", "atrial fibrillation"}
    np.testing.assert_array_equal(np.isnan(ecgs.intervals["pr"]), ecgs.rhythm == "atrial fibrillation")
    assert np.mean(ecgs.rhythm == "sinus") > 0.8


def test_same_seed_same_data_and_global_state_untouched():
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (make_omi_ecgs(6, random_state=3, duration=2) for _ in range(2))
    make_omi_ecgs(2, random_state=None, duration=2)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.testing.assert_array_equal(first.X, second.X)
    np.testing.assert_array_equal(first.y, second.y)
    assert not np.array_equal(first.X[0], make_omi_ecgs(6, random_state=4, duration=2).X[0])


def test_random_state_may_be_any_kind():
    legacy = [make_omi_ecgs(3, random_state=np.random.RandomState(0), duration=2).X for _ in range(2)]
    modern = [make_omi_ecgs(3, random_state=np.random.default_rng(0), duration=2).X for _ in range(2)]
    np.testing.assert_array_equal(*legacy)
    np.testing.assert_array_equal(*modern)


@pytest.mark.parametrize("prevalence", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("n_patients", [2, 5])
def test_tiny_data_have_both_classes(n_patients, prevalence):
    for seed in range(5):
        y = make_omi_ecgs(n_patients, prevalence=prevalence, duration=1, random_state=seed).y
        assert set(y) == {0, 1}


def test_no_or_only_omi():
    assert not make_omi_ecgs(4, prevalence=0, duration=1, random_state=0).y.any()
    assert make_omi_ecgs(4, prevalence=1, duration=1, random_state=0).y.all()
    assert len(make_omi_ecgs(1, records_per_patient=1, duration=1, random_state=0).y) == 1


@pytest.mark.parametrize("sampling_rate", [100, 250, 512.5, 1000])
def test_any_rate_and_duration(sampling_rate):
    ecgs = make_omi_ecgs(3, sampling_rate=sampling_rate, duration=3.5, random_state=0)
    assert ecgs.X.shape[2] == round(3.5 * sampling_rate)
    assert np.isfinite(ecgs.X).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_patients", 0),
        ("n_patients", 2.5),
        ("records_per_patient", 0.5),
        ("prevalence", 1.1),
        ("prevalence", float("nan")),
        ("sampling_rate", 50),
        ("duration", 0),
        ("severity", -1),
        ("noise", "loud"),
        ("random_state", -1),
        ("random_state", "seed"),
    ],
)
def test_bad_parameter_is_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .*; got {value!r}"):
        make_omi_ecgs(**{name: value})


def test_inverse_dower_is_the_published_one():
    # Edenbrandt and Pahlm 1988: X from I, II, V1..V6.
    published = (0.156, -0.010, -0.172, -0.074, 0.122, 0.231, 0.239, 0.194)
    np.testing.assert_allclose(INVERSE_DOWER[0], published, atol=6e-4)


def test_every_chest_keeps_the_inverse_dower_dipole():
    hearts = draw_hearts(np.full(20, 60.0), np.arange(20) % 2 == 0, np.random.default_rng(0))
    for heart in hearts:
        np.testing.assert_allclose(INVERSE_DOWER @ heart.field, np.eye(3), atol=1e-9)
        assert not np.allclose(heart.field, DOWER, atol=0.05)


def test_what_no_dipole_explains_is_near_field():
    for heart in draw_hearts(np.full(5, 60.0), np.arange(5) % 2 == 0, np.random.default_rng(0)):
        np.testing.assert_allclose(heart.near @ INVERSE_DOWER.T, 0, atol=1e-9)
        share = np.linalg.norm(heart.near) / np.linalg.norm(heart.vectors @ heart.field.T + heart.near)
        assert 0.02 < share < 0.5


def test_a_longer_qrs_keeps_its_early_forces():
    def course(heart, times):
        bells = np.exp(-0.5 * ((times[:, None] / heart.qrs - heart.centers[QRS]) / heart.widths[QRS]) ** 2)
        return bells @ heart.vectors[QRS]

    heart = draw_hearts(np.array([60.0]), np.array([True]), np.random.default_rng(0))[0]
    longer = heart.copy()
    longer.stretch_qrs(1.2)
    times = np.linspace(0, 0.8 * heart.qrs, 50)
    before, after = course(heart, times), course(longer, times)
    assert longer.qrs == pytest.approx(1.2 * heart.qrs)
    assert np.linalg.norm(after - before) < 0.25 * np.linalg.norm(before)


def test_normal_hearts_are_as_measured():
    rng = np.random.default_rng(0)
    hearts = draw_hearts(np.full(300, 45.0), np.arange(300) % 2 == 0, rng)
    for name, low, high in (("qrs", 0.085, 0.1), ("pr", 0.14, 0.17), ("p", 0.09, 0.115), ("heart_rate", 62, 75)):
        assert low < np.median([getattr(heart, name) for heart in hearts]) < high, name
    ecgs = make_omi_ecgs(150, prevalence=0, noise=0, duration=3, random_state=0)
    normal = (ecgs.condition == "normal") & (ecgs.rhythm == "sinus")
    atrial, spectra = [], []
    for signal, beats in zip(ecgs.X[normal], np.array(ecgs.fiducials, dtype=object)[normal], strict=True):
        for p_onset, onset, _, j_point, *_ in beats:
            if p_onset >= 0:
                atrial.append(np.ptp(signal[[0, 4], p_onset:onset], axis=1))
                spectra.append(np.abs(np.fft.rfft(signal[:, onset:j_point], 500, axis=1)).mean(axis=0) ** 2)
    # P is seen in I and aVL, and QRS is not smooth: some of its power lies above 40 Hz.
    assert (np.median(atrial, axis=0) > (0.06, 0.035)).all()
    power = np.mean(spectra, axis=0)
    assert 0.005 < power[40:100].sum() / power[5:100].sum() < 0.05


def test_noise_comes_from_the_arms_and_in_steps():
    rng = np.random.default_rng(0)
    noise = np.stack([draw_noise(500, 2500, rng) for _ in range(30)])
    fast = np.median(np.diff(noise, axis=2).std(axis=2), axis=0)
    assert fast[0] > 2 * fast[-1]
    flat = np.full((8, 100), 0.0123, dtype=np.float32)
    np.testing.assert_allclose(quantise(flat)[:, 1:-1], 0.01, atol=1e-6)


def test_fiducials_stand_where_the_waves_are():
    ecgs = make_omi_ecgs(40, prevalence=0, noise=0, random_state=1)
    onset, r_peak, j_point, t_offset = (
        ecgs.fiducial_names.index(name) for name in ("qrs_onset", "r_peak", "j_point", "t_offset")
    )
    shares = []
    for signal, beats in zip(ecgs.X, ecgs.fiducials, strict=True):
        assert (np.diff(beats[:, onset : t_offset + 1], axis=1) > 0).all()
        size = np.sqrt((signal**2).mean(axis=0))
        for beat in beats:
            whole = size[beat[onset] : beat[t_offset]]
            shares.append(abs(beat[r_peak] - (beat[onset] + whole.argmax())) <= 10)
            assert beat[onset] < beat[r_peak] < beat[j_point]
    assert np.mean(shares) > 0.9


def test_severity_changes_nothing_but_the_occlusions():
    with_injury, without = (
        make_omi_ecgs(30, prevalence=0.3, severity=severity, random_state=2, duration=3) for severity in (1, 0)
    )
    np.testing.assert_array_equal(with_injury.X[with_injury.y == 0], without.X[with_injury.y == 0])
    assert (np.abs(with_injury.X - without.X)[with_injury.y == 1].max(axis=(1, 2)) > 0.005).all()


def test_st60_of_occlusions_is_as_in_staff_iii():
    settings = {"n_patients": 500, "records_per_patient": 1, "prevalence": 0.998, "noise": 0, "duration": 4}
    occluded = make_omi_ecgs(severity=1, random_state=0, **settings)
    change = st60(occluded) - st60(make_omi_ecgs(severity=0, random_state=0, **settings))
    for territory, published in _STAFF_III.items():
        median = np.nanmedian(change[occluded.territory == territory], axis=0)
        assert np.corrcoef(median, published)[0, 1] > 0.95, territory
        assert 0.7 < np.linalg.norm(median) / np.linalg.norm(published) < 1.3, territory


def test_occlusions_are_subtle():
    ecgs = make_omi_ecgs(n_patients=500, records_per_patient=1, prevalence=0.4, duration=5, random_state=1)
    score = np.abs(st60(ecgs)).max(axis=1)
    assert 0.7 < roc_auc_score(ecgs.y, score) < 0.86


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions_leave_a_possible_heart(name):
    rng = np.random.default_rng(0)
    for heart in draw_hearts(np.linspace(18, 95, 20), np.arange(20) % 2 == 0, rng):
        CONDITIONS[name](heart, rng)
        assert np.isfinite(heart.vectors).all()
        assert np.abs(heart.vectors).max() < 5
        assert 0.05 < heart.qrs < 0.2
        assert 30 < heart.heart_rate < 180


def test_ectopic_beats_are_wide_and_early():
    rng = np.random.default_rng(0)
    heart = draw_hearts(np.array([60.0]), np.array([True]), rng)[0]
    assert ventricular_beat(heart, rng).qrs > 0.12
    early = []
    for _ in range(200):
        rhythm = draw_rhythm(70.0, 60.0, 10.0, rng)
        rr = np.diff(rhythm.onsets)
        assert (rr > 0.15).all()
        early += (rr / np.median(rr))[rhythm.kinds[1:] == VENTRICULAR_ECTOPIC].tolist()
    assert early
    assert np.median(early) < 0.85


def test_importing_datasets_loads_no_heavy_library():
    # scikit-learn itself may load pandas, so that one is looked for before any name is used.
    code = (
        "import sys, omi_estimators.datasets as d; early = {'pandas', 'sklearn'} & set(sys.modules); "
        "d.make_omi_ecgs, d.load_ptbxl; "
        "print(sorted(early | {'wfdb', 'torch', 'neurokit2', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(("name", "value"), [("pacing", "dual"), ("pacing", "atrial"), ("atria", "flutter")])
def test_devices_and_flutter_change_rhythm_and_nothing_else_that_chance_decides(name, value):
    plain, changed = (make_omi_ecgs(8, random_state=1, **given) for given in ({}, {name: value}))
    np.testing.assert_array_equal(plain.groups, changed.groups)
    np.testing.assert_array_equal(plain.condition, changed.condition)
    assert set(changed.rhythm) == {"paced" if name == "pacing" else "atrial flutter"}
    assert all(len(spikes) > 0 for spikes in changed.spikes) == (name == "pacing")
    assert not any(map(len, plain.spikes))
    np.testing.assert_array_equal(changed.X, make_omi_ecgs(8, random_state=1, **{name: value}).X)


def test_pacing_a_ventricle_widens_qrs_after_the_spike():
    ecgs = make_omi_ecgs(5, pacing="ventricular", random_state=0)
    assert ecgs.intervals["qrs"].min() > 130
    for spikes, fiducials in zip(ecgs.spikes, ecgs.fiducials, strict=True):
        before = fiducials[:, 1] - spikes[np.searchsorted(spikes, fiducials[:, 1]) - 1]
        assert ((before >= 0) & (before <= 15)).all()
        assert (fiducials[:, 0] == -1).all()


@pytest.mark.parametrize("name", ["atria", "pacing"])
def test_unknown_rhythms_are_errors(name):
    with pytest.raises(ValueError, match=f"{name} must be None or one of"):
        make_omi_ecgs(2, **{name: "both"})
