"""load_ecgs and ECGReader: many files into one array, bad ones among them."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from omi_estimators import make_forest_pipeline, read_ecg
from omi_estimators.datasets import make_omi_ecgs
from omi_estimators.pipelines import ECGPipeline
from omi_estimators.preprocessing import UnusableRecordWarning, judge
from omi_estimators.readers import ECGFileError, ECGReader, UnreadableFileWarning, load_ecgs

wfdb = pytest.importorskip("wfdb")


def write_wfdb(path: Path, signal: np.ndarray, rate: float, comments=()) -> Path:
    """Write a record of twelve leads in mV and return its header."""
    leads = ["I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6"]
    wfdb.wrsamp(
        path.name,
        fs=rate,
        units=["mV"] * 12,
        sig_name=leads,
        p_signal=np.asarray(signal, dtype=np.float64).T,
        fmt=["16"] * 12,
        adc_gain=[1000.0] * 12,
        baseline=[0] * 12,
        comments=list(comments),
        write_dir=str(path.parent),
    )
    return path.with_suffix(".hea")


def _reading_error(path: Path) -> str:
    """Return what reading a file ends in."""
    with pytest.raises(ECGFileError) as caught:
        read_ecg(path)
    return str(caught.value)


@pytest.fixture(scope="module")
def ecgs():
    return make_omi_ecgs(n_patients=6, records_per_patient=1, prevalence=0.5, random_state=0)


@pytest.fixture(scope="module")
def files(tmp_path_factory, ecgs) -> list[Path]:
    """Return six headers of WFDB records at 500 Hz."""
    folder = tmp_path_factory.mktemp("ecgs")
    return [write_wfdb(folder / f"r{i}", record, 500, ["Age: 50", "Sex: F"]) for i, record in enumerate(ecgs.X)]


@pytest.fixture
def broken(tmp_path) -> list[Path]:
    """Return three files that are no ECG: empty, text, absent."""
    (tmp_path / "empty.xml").touch()
    (tmp_path / "letter.xml").write_text("<letter>Dear colleague</letter>")
    return [tmp_path / "empty.xml", tmp_path / "letter.xml", tmp_path / "absent.hea"]


def test_values_and_table(files, ecgs):
    X, table = load_ecgs(files)
    assert table.attrs["sampling_rate"] == 500
    assert X.dtype == np.float32
    assert X.shape == ecgs.X.shape
    assert np.abs(X - ecgs.X).max() < 0.0011
    assert table["path"].tolist() == [str(path) for path in files]
    assert set(table["source_format"]) == {"WFDB"}
    assert table["age"].tolist() == [50.0] * 6
    assert table["sex"].tolist() == [1.0] * 6
    assert (table["error"] == "").all()
    assert table.attrs["skipped"] == []
    assert (table["missing_duration"] == 0).all()


def test_processes_and_memory_map_change_nothing(files, tmp_path):
    X, table = load_ecgs(files)
    mapped, same = load_ecgs(files, n_jobs=2, mmap_path=tmp_path / "X.npy")
    assert isinstance(mapped, np.memmap)
    assert np.array_equal(X, mapped)
    assert table.equals(same)
    assert np.array_equal(np.load(tmp_path / "X.npy"), X)


def test_a_memory_map_has_no_row_of_a_file_that_was_left_out(files, tmp_path):
    place = tmp_path / "X.npy"
    with pytest.warns(UnreadableFileWarning, match="1 of 3"):
        mapped, table = load_ecgs([files[0], tmp_path / "none.hea", files[1]], mmap_path=place)
    assert len(mapped) == len(table) == 2
    assert np.array_equal(np.load(place), load_ecgs(files[:2])[0])
    assert [path.name for path in tmp_path.iterdir()] == ["X.npy"]


def test_a_memory_map_is_there_once_it_is_whole(files, tmp_path):
    place = tmp_path / "X.npy"
    with pytest.raises(ECGFileError):
        load_ecgs([files[0], tmp_path / "none.hea"], mmap_path=place, on_error="raise")
    assert not any(tmp_path.iterdir())
    code = (
        "import os, sys\n"
        "import omi_estimators.readers._ecg_reader as reading\n"
        "read_one = reading._read_one\n"
        "reading._read_one = lambda path, *rest: read_one(path, *rest) if 'end' not in path.name else os._exit(9)\n"
        "reading.load_ecgs(sys.argv[2:], mmap_path=sys.argv[1])\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(place), str(files[0]), "end.hea"], check=False)
    assert killed.returncode == 9
    assert not place.exists()


def test_a_large_array_is_a_memory_map_by_itself(files, monkeypatch):
    monkeypatch.setattr("omi_estimators.readers._ecg_reader._MOST_BYTES", 1000)
    mapped, _ = load_ecgs(files[:2])
    assert isinstance(mapped, np.memmap)
    monkeypatch.undo()
    assert np.array_equal(mapped, load_ecgs(files[:2])[0])


def test_two_rates_in_one_call(tmp_path):
    times = {rate: np.arange(10 * rate) / rate for rate in (500, 1000)}
    waves = {rate: np.sin(2 * np.pi * 7 * t) * np.linspace(0.5, 1.5, 12)[:, np.newaxis] for rate, t in times.items()}
    paths = [write_wfdb(tmp_path / f"at{rate}", wave, rate) for rate, wave in waves.items()]
    X, table = load_ecgs(paths, sampling_rate=500)
    assert table["file_sampling_rate"].tolist() == [500.0, 1000.0]
    assert np.abs(X[0] - X[1])[:, 50:-50].max() < 0.005


def test_long_records_are_cut_and_short_ones_end_in_nan(tmp_path, ecgs):
    record = ecgs.X[0].astype(np.float64)
    paths = [
        write_wfdb(tmp_path / "long", np.concatenate([record, 2 * record], axis=1), 500),
        write_wfdb(tmp_path / "short", record[:, :3500], 500),
    ]
    X, table = load_ecgs(paths)
    assert np.abs(X[0] - record).max() < 0.0011
    assert np.abs(X[1, :, :3500] - record[:, :3500]).max() < 0.0011
    assert np.isnan(X[1, :, 3500:]).all()
    assert table["missing_duration"].tolist() == [0.0, 3.0]
    assert table["file_duration"].tolist() == [20.0, 7.0]


def test_three_bad_files_among_many(files, broken, ecgs):
    paths = [*files[:2], broken[0], *files[2:4], *broken[1:], *files[4:]] + files * 20
    with pytest.warns(UnreadableFileWarning, match=r"3 of 129 files could not be read: empty\.xml: it is empty"):
        X, table = load_ecgs(paths)
    assert len(X) == len(table) == 126
    assert np.abs(X[:6] - ecgs.X).max() < 0.0011
    assert [Path(path).name for path, _ in table.attrs["skipped"]] == ["empty.xml", "letter.xml", "absent.hea"]
    assert "root 'letter'" in table.attrs["skipped"][1][1]


def test_kept_rows_stand_beside_the_paths(files, broken):
    with pytest.warns(UnreadableFileWarning):
        X, table = load_ecgs([broken[0], files[0]], on_error="keep")
    assert np.isnan(X[0]).all()
    assert np.isfinite(X[1]).all()
    assert table["error"].tolist() == ["empty.xml: it is empty; export or copy it again.", ""]
    assert np.isnan(table["age"][0])


def test_raise_names_the_first(files, broken):
    with pytest.raises(ECGFileError, match=r"letter\.xml: it is XML with the root 'letter'"):
        load_ecgs([files[0], broken[1], broken[0]], on_error="raise")


def test_none_readable_is_an_error(broken):
    with pytest.raises(ECGFileError, match="None of the 3 files could be read"):
        load_ecgs(broken)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"paths": "a.xml"}, r"sequence of files; got the one 'a.xml'"),
        ({"paths": []}, "paths is empty"),
        ({"paths": ["a"], "sampling_rate": 0}, "sampling_rate must be"),
        ({"paths": ["a"], "duration": -1}, "duration must be"),
        ({"paths": ["a"], "on_error": "ignore"}, "on_error must be"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_ecgs(**arguments)


def test_a_pipeline_from_paths_is_one_from_arrays(files, ecgs):
    forest = make_forest_pipeline(500, n_estimators=10, random_state=0)
    from_paths = make_pipeline(ECGReader(), clone(forest)).fit([str(path) for path in files], ecgs.y)
    X, _ = load_ecgs(files)
    assert np.array_equal(from_paths.predict_proba(files), clone(forest).fit(X, ecgs.y).predict_proba(X))
    again = pickle.loads(pickle.dumps(from_paths))
    assert np.array_equal(again.predict_proba(np.array(files)[:, np.newaxis]), from_paths.predict_proba(files))


def test_reader_keeps_a_row_for_a_bad_file(files, broken):
    with pytest.warns(UnreadableFileWarning, match="1 of 2"):
        X = ECGReader(duration=5).fit_transform([files[0], broken[1]])
    assert X.shape == (2, 12, 2500)
    assert np.isnan(X[1]).all()
    with pytest.raises(ECGFileError, match=r"letter\.xml"):
        ECGReader(on_error="raise").fit_transform([files[0], broken[1]])


def test_a_pipeline_from_paths_says_why_a_file_is_not_judged(files, broken, ecgs):
    forest = make_forest_pipeline(500, n_estimators=10, random_state=0)
    paths, y = [*files, broken[0]], [*ecgs.y, 1]
    from_paths = ECGPipeline([("read", ECGReader()), *clone(forest).steps])
    with pytest.warns(UnusableRecordWarning, match=r"6 \(empty\.xml: it is empty"):
        from_paths.fit(paths, y)
    assert from_paths.n_unusable_ == 1
    asked = [broken[1], files[0], broken[2]]
    plain = make_pipeline(ECGReader(), clone(forest)).fit(files, ecgs.y)
    from_arrays = clone(forest).fit(load_ecgs(files)[0], ecgs.y)
    for model in (from_paths, plain):
        prob, usable = judge(model, asked)
        assert usable.mask.tolist() == [False, True, False]
        assert usable.reasons[0].startswith("letter.xml: it is XML with the root 'letter'")
        assert usable.reasons[2].startswith("absent.hea: there is no such file")
        assert np.array_equal(prob[1], from_arrays.predict_proba(load_ecgs(files[:1])[0])[0])
    with pytest.warns(UnusableRecordWarning, match=r"2 of 3 records .* 0 \(letter\.xml"):
        assert np.array_equal(from_paths.predict_proba(asked)[[0, 2]], [from_paths.class_prior_] * 2)


def test_measure_gives_what_transform_does_and_the_reasons(files, broken):
    values, usable = ECGReader(duration=5).measure([files[0], broken[1]])
    with pytest.warns(UnreadableFileWarning):
        assert np.array_equal(values, ECGReader(duration=5).transform([files[0], broken[1]]), equal_nan=True)
    assert usable.mask.tolist() == [True, False]
    assert usable.reasons.tolist() == ["", _reading_error(broken[1])]
    with pytest.raises(ECGFileError, match=r"letter\.xml"):
        ECGReader(on_error="raise").measure([files[0], broken[1]])


@pytest.mark.parametrize("wrong", [np.zeros((2, 12, 500)), [1.5, 2.5], [["a", "b"]], "a.xml"])
def test_reader_wants_paths(wrong):
    with pytest.raises(ValueError, match="X must hold"):
        ECGReader().fit(wrong)


def test_a_record_reads_as_in_the_array(files):
    record = read_ecg(files[0])
    assert record.signal.shape == (12, 5000)
    assert record.duration == 10.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(load_ecgs(files[:1])[0][0], record.signal.astype(np.float32))
