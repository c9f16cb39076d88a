"""load_ptbxl, on a miniature PTB-XL written here and on the real one."""

from __future__ import annotations

import builtins
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import cross_val_score

from omi_estimators.datasets import load_ptbxl
from omi_estimators.leads import LEADS
from omi_estimators.splits import make_splits

wfdb = pytest.importorskip("wfdb")

# ecg_id -> (patient, age, sex, statements, fold)
_RECORDS = {
    1: (10, 56.0, 1, {"NORM": 100.0, "SR": 0.0}, 1),
    2: (11, 300.0, 0, {"IMI": 100.0, "SR": 0.0}, 2),
    3: (11, None, 0, {"ASMI": 15.0, "LVH": 100.0}, 2),
    4: (12, 40.0, 1, {"NORM": 80.0, "IRBBB": 100.0}, 3),
    5: (13, 70.0, 1, {"IMI": 0.0}, 4),
    6: (14, 33.0, 0, {"NORM": 50.0}, 5),
    7: (15, 61.0, 0, {"LVH": 100.0}, 6),
    8: (16, 61.0, 0, {"NORM": 80.0, "IMI": 35.0}, 6),
}
_STATEMENTS = {"NORM": "NORM", "IMI": "MI", "ASMI": "MI", "LVH": "HYP", "IRBBB": "CD", "SR": None}


def _stem(record: int, rate: int) -> str:
    return f"{record:05d}_{'hr' if rate == 500 else 'lr'}"


def write_record(folder: Path, record: int, rate: int = 500, leads=LEADS, n_samples=None, header_rate=None, unit="mV"):
    """Write a record whose lead k has the constant value (k + 1) / 10 mV, wherever lead k stands in the file."""
    n_samples = 10 * rate if n_samples is None else n_samples
    levels = np.array([(LEADS.index(lead) + 1) / 10 if lead in LEADS else 9.0 for lead in leads])
    scale = {"mV": 1.0, "uV": 1000.0}.get(unit, 1.0)
    path = folder / f"records{rate}" / "00000"
    path.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        _stem(record, rate),
        fs=header_rate or rate,
        units=[unit] * len(leads),
        sig_name=[lead.replace("aV", "AV") for lead in leads],
        p_signal=np.tile(levels * scale, (n_samples, 1)),
        fmt=["16"] * len(leads),
        adc_gain=[1000.0 / scale] * len(leads),
        baseline=[0] * len(leads),
        write_dir=str(path),
    )
    return path / _stem(record, rate)


@pytest.fixture
def mini(tmp_path: Path) -> Path:
    """Return a folder with PTB-XL's layout and eight records at 500 Hz."""
    rows = [
        {
            "ecg_id": record,
            "patient_id": float(patient),
            "age": age,
            "sex": sex,
            "scp_codes": str(codes),
            "strat_fold": fold,
            "filename_lr": f"records100/00000/{_stem(record, 100)}",
            "filename_hr": f"records500/00000/{_stem(record, 500)}",
        }
        for record, (patient, age, sex, codes, fold) in _RECORDS.items()
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "ptbxl_database.csv", index=False)
    statements = pd.DataFrame({"diagnostic_class": _STATEMENTS}, dtype=object)
    statements.to_csv(tmp_path / "scp_statements.csv")
    for record in _RECORDS:
        write_record(tmp_path, record)
    return tmp_path


def _edit_database(folder: Path, change) -> None:
    table = pd.read_csv(folder / "ptbxl_database.csv")
    change(table).to_csv(folder / "ptbxl_database.csv", index=False)


def test_mi_vs_norm_takes_only_pure_normals_and_every_mi(mini):
    ptbxl = load_ptbxl(mini)
    assert ptbxl.record_ids.tolist() == [1, 2, 3, 5, 6, 8]
    assert ptbxl.y.tolist() == [0, 1, 1, 1, 0, 1]
    assert ptbxl.groups.tolist() == [10, 11, 11, 13, 14, 16]
    assert ptbxl.fold.tolist() == [1, 2, 2, 4, 5, 6]
    assert ptbxl.sex.tolist() == [1, 0, 0, 1, 0, 0]
    np.testing.assert_array_equal(ptbxl.age, [56, 90, np.nan, 70, 33, 61])
    assert ptbxl.target_names == ["normal", "MI"]
    assert ptbxl.skipped == []
    assert "NOT occlusion" in ptbxl.DESCR


def test_signals_are_millivolts_in_lead_order(mini):
    X = load_ptbxl(mini).X
    assert X.shape == (6, 12, 5000)
    assert X.dtype == np.float32
    np.testing.assert_allclose(X[0, :, 0], np.arange(1, 13) / 10, atol=1e-3)


def test_mi_vs_rest_takes_every_record(mini):
    ptbxl = load_ptbxl(mini, "mi_vs_rest")
    assert ptbxl.y.tolist() == [0, 1, 1, 0, 1, 0, 0, 1]
    assert ptbxl.target_names == ["no MI", "MI"]


def test_uncertain_mi_is_in_neither_class(mini):
    assert load_ptbxl(mini, "mi_vs_rest", min_likelihood=50).record_ids.tolist() == [1, 2, 4, 6, 7]
    assert load_ptbxl(mini, "mi_vs_norm", min_likelihood=80).record_ids.tolist() == [1, 2]


def test_superclasses_are_columns(mini):
    ptbxl = load_ptbxl(mini, "superclasses")
    assert ptbxl.target_names == ["NORM", "MI", "STTC", "CD", "HYP"]
    assert ptbxl.record_ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert ptbxl.y[[0, 2, 3, 7]].tolist() == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 1], [1, 0, 0, 1, 0], [1, 1, 0, 0, 0]]
    # Records 3, 5, 6 and 8 have a statement below 60, which is neither there nor absent.
    assert load_ptbxl(mini, "superclasses", min_likelihood=60).record_ids.tolist() == [1, 2, 4, 7]


def test_acute_mi_by_the_noted_stage(mini):
    stages = ["", "Stadium I", "Stadium III", "", "unknown", "", "Stadium I", "Stadium II"]
    later = ["", "", "Stadium I-II", "", "", "", "", "Stadium III"]
    _edit_database(mini, lambda table: table.assign(infarction_stadium1=stages, infarction_stadium2=later))
    ptbxl = load_ptbxl(mini, "acute_mi_vs_rest")
    # 5 is an MI of unknown stage; 7 has a stage, but no MI.
    assert ptbxl.record_ids.tolist() == [1, 2, 3, 4, 6, 7, 8]
    assert ptbxl.y.tolist() == [0, 1, 1, 0, 0, 0, 0]
    assert ptbxl.target_names == ["no acute MI", "acute MI"]


def test_acute_mi_needs_the_stages(mini):
    with pytest.raises(ValueError, match="infarction_stadium1, infarction_stadium2"):
        load_ptbxl(mini, "acute_mi_vs_rest")


def test_a_memory_map_holds_the_same(mini, tmp_path):
    path = mini / "records500" / "00000" / "00002_hr.dat"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.warns(UserWarning, match="Skipped 1"):
        mapped = load_ptbxl(mini, mmap_path=tmp_path / "X.npy").X
    with pytest.warns(UserWarning, match="Skipped 1"):
        X = load_ptbxl(mini).X
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, X)


def test_the_official_folds_are_a_list_for_every_cv(mini):
    ptbxl = load_ptbxl(mini, "mi_vs_rest")
    train, test = np.flatnonzero(ptbxl.fold <= 4), np.flatnonzero(ptbxl.fold == 6)
    assert ptbxl.fold[test].tolist() == [6, 6]
    assert set(ptbxl.fold[train].tolist()) == {1, 2, 3, 4}
    [(kept, tested)] = make_splits(ptbxl.X, ptbxl.y, groups=ptbxl.groups, cv=[(train, test)])
    assert np.array_equal(kept, train)
    assert np.array_equal(tested, test)
    scores = cross_val_score(DummyClassifier(), np.zeros((8, 1)), ptbxl.y, cv=[(train, test)], groups=ptbxl.groups)
    assert scores.shape == (1,)


def test_folds_that_share_a_patient_are_refused(mini):
    ptbxl = load_ptbxl(mini, "mi_vs_rest")
    cv = [(np.flatnonzero(ptbxl.fold <= 4), np.flatnonzero(ptbxl.fold == 6))]
    shared = np.where(np.arange(8) == cv[0][1][0], ptbxl.groups[cv[0][0][0]], ptbxl.groups)
    with pytest.raises(ValueError, match="has 1 patients in training and test"):
        make_splits(ptbxl.X, ptbxl.y, groups=shared, cv=cv)


def test_n_jobs_changes_nothing(mini):
    np.testing.assert_array_equal(load_ptbxl(mini).X, load_ptbxl(mini, n_jobs=2).X)


def test_leads_are_reordered_scaled_and_missing_ones_are_nan(mini):
    write_record(mini, 1, leads=("V6", "V5", "II", "I", "ART"), unit="uV")
    X = load_ptbxl(mini).X
    assert np.isnan(X[0]).all(axis=1).tolist() == [False, False, *[True] * 8, False, False]
    np.testing.assert_allclose(X[0, [0, 1, 10, 11], 7], [0.1, 0.2, 1.1, 1.2], atol=1e-3)


def test_low_rate(mini):
    for record in _RECORDS:
        write_record(mini, record, rate=100)
    ptbxl = load_ptbxl(mini, sampling_rate=100)
    assert ptbxl.X.shape == (6, 12, 1000)
    assert ptbxl.sampling_rate == 100


def _truncate(path):
    data = path.with_suffix(".dat")
    data.write_bytes(data.read_bytes()[:1001])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_truncate, ""),
        (lambda path: path.with_suffix(".dat").unlink(), "00002_hr.dat is absent"),
        (lambda path: path.with_suffix(".hea").unlink(), "00002_hr.hea is absent"),
        (lambda path: path.with_suffix(".hea").write_text(""), ""),
        (lambda path: path.with_suffix(".hea").write_bytes(b"\xff\x00 12 \n"), ""),
        (lambda path: write_record(path.parents[2], 2, n_samples=4000), "4000 samples, not 5000"),
        (lambda path: write_record(path.parents[2], 2, header_rate=250), "250 Hz, not 500 Hz"),
        (lambda path: write_record(path.parents[2], 2, unit="mmHg"), "mmHg"),
        (lambda path: write_record(path.parents[2], 2, leads=("ART", "RESP")), "none of the twelve leads"),
    ],
    ids=["cut", "no dat", "no hea", "empty hea", "garbage", "short", "rate", "unit", "leads"],
)
def test_damaged_record_is_skipped_and_named(mini, damage, reason):
    damage(mini / "records500" / "00000" / "00002_hr")
    with pytest.warns(UserWarning, match=rf"Skipped 1 of 6 PTB-XL records.*: 2 \(.*{reason}"):
        ptbxl = load_ptbxl(mini)
    assert ptbxl.record_ids.tolist() == [1, 3, 5, 6, 8]
    assert len(ptbxl.X) == len(ptbxl.y) == ptbxl.groups.size == ptbxl.age.size == 5
    np.testing.assert_allclose(ptbxl.X[:, 0, 0], 0.1, atol=1e-3)
    assert ptbxl.n_skipped == 1
    assert ptbxl.skipped[0][0] == 2
    with pytest.raises(ValueError, match=f"Record 2 of PTB-XL is damaged: .*{reason}"):
        load_ptbxl(mini, on_error="raise")


def test_a_class_lost_to_damage_is_an_error(mini):
    for record in (1, 6):
        (mini / "records500" / "00000" / f"{record:05d}_hr.dat").unlink()
    with (
        pytest.warns(UserWarning, match="Skipped 2 of 6"),
        pytest.raises(ValueError, match="after the damaged records were skipped none of the 4 left is 'normal'"),
    ):
        load_ptbxl(mini)


def test_all_records_of_another_rate_is_an_error_before_reading(mini):
    for record in _RECORDS:
        write_record(mini, record, header_rate=250)
    with pytest.raises(ValueError, match="says 250 Hz, but sampling_rate=500"):
        load_ptbxl(mini)


def test_missing_folders_and_tables(mini, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        load_ptbxl(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no folder records100 .* try sampling_rate=500"):
        load_ptbxl(mini, sampling_rate=100)
    (mini / "scp_statements.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no scp_statements\.csv"):
        load_ptbxl(mini)
    (mini / "ptbxl_database.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no ptbxl_database\.csv"):
        load_ptbxl(mini)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns=["scp_codes", "age"]), "lacks the columns age, scp_codes"),
        (lambda table: table.assign(scp_codes="NORM"), r"scp_codes 'NORM' for record 1; expected a dictionary"),
        (lambda table: table.assign(age="old"), "age that is not a number"),
        (lambda table: table.assign(patient_id=np.nan), "no patient_id for record 1"),
        (lambda table: table.assign(scp_codes="{'NORM': 100.0}"), "with these labels none of the 8 left is 'MI'"),
        (lambda table: table.iloc[:0], "names no record"),
    ],
    ids=["columns", "codes", "age", "patient", "one class", "no rows"],
)
def test_bad_database(mini, change, message):
    _edit_database(mini, change)
    with pytest.raises(ValueError, match=message):
        load_ptbxl(mini)


def test_empty_database_file(mini):
    (mini / "ptbxl_database.csv").write_text("")
    with pytest.raises(ValueError, match=r"ptbxl_database\.csv cannot be read as a CSV table"):
        load_ptbxl(mini)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "omi"}, "Unknown task 'omi'; the tasks are 'mi_vs_norm', 'mi_vs_rest'"),
        ({"sampling_rate": 250}, "published at 100 and 500 Hz; got sampling_rate=250"),
        ({"min_likelihood": 101}, "percentage from 0 to 100; got 101"),
        ({"on_error": "ignore"}, "on_error must be 'warn' or 'raise'; got 'ignore'"),
    ],
)
def test_bad_argument(mini, arguments, message):
    with pytest.raises(ValueError, match=message):
        load_ptbxl(mini, **arguments)


def test_without_wfdb_the_error_says_what_to_install(mini, monkeypatch):
    real_import = builtins.__import__

    def no_wfdb(name, *args, **kwargs):
        if name.split(".")[0] == "wfdb":
            raise ImportError("No module named 'wfdb'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_wfdb)
    with pytest.raises(ImportError, match=r"pip install .*wfdb>="):
        load_ptbxl(mini)


@pytest.mark.slow
def test_real_ptbxl(ptbxl_dir):
    norm = load_ptbxl(ptbxl_dir, "mi_vs_norm")
    assert np.bincount(norm.y).tolist() == [290, 73]
    assert norm.X.shape == (363, 12, 5000)
    assert np.abs(norm.X[:, 1] - norm.X[:, 0] - norm.X[:, 2]).max() < 0.01
    assert norm.n_skipped == 0
    rest = load_ptbxl(ptbxl_dir, "mi_vs_rest", n_jobs=2)
    assert np.bincount(rest.y).tolist() == [427, 73]
    assert len(np.unique(rest.groups)) == 466
