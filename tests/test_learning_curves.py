"""`python -m benchmarks learning_curves`: patients stay together, sets grow, a run that was stopped goes on."""

from __future__ import annotations

from argparse import Namespace

import numpy as np
import pandas as pd
import pytest
from sklearn.utils import Bunch

from benchmarks import learning_curves


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Return options of a run of seconds."""
    monkeypatch.setattr(learning_curves, "N_TEST_PATIENTS", 40)
    known = {
        "ptbxl": None,
        "sizes": [],
        "simulated": [40, 80],
        "splits": 1,
        "width": 4,
        "n_members": 1,
        "models": ["extra_trees", "prior"],
    }
    return Namespace(out=tmp_path / "curves", cache=tmp_path / "cache", **known)


def test_patients_are_drawn_whole_in_their_share_and_the_smaller_set_is_in_the_larger():
    rng = np.random.default_rng(0)
    groups = rng.integers(150, size=300)
    ecgs = Bunch(y=(groups % 5 == 0).astype(int), groups=groups)
    train = np.flatnonzero(groups < 120)
    sets = [learning_curves.draw_patients(train, ecgs, size, [1]) for size in (50, 100, 10_000)]
    for drawn, size in zip(sets, (50, 100, len(train)), strict=True):
        assert size <= len(drawn) <= size + 8
        assert set(drawn) <= set(train)
        assert not set(groups[drawn]) & set(groups[np.setdiff1d(train, drawn)])
        assert abs(ecgs.y[drawn].mean() - ecgs.y[train].mean()) < 0.06
    assert set(sets[0]) < set(sets[1]) < set(sets[2])
    assert set(learning_curves.draw_patients(train, ecgs, 50, [2])) != set(sets[0])


def test_a_stopped_run_goes_on_and_writes_table_and_picture(options, monkeypatch, capsys):
    learning_curves.run(Namespace(**vars(options) | {"simulated": [40]}))
    first = pd.read_csv(options.out / "learning_curves.csv")
    assert first[["size", "split", "model"]].to_numpy().tolist() == [[40, 0, "extra_trees"], [40, 0, "prior"]]
    measured, measure = [], learning_curves.measure

    def watch(task, name, *given):
        measured.append((task.size, name))
        if name == "prior":
            raise KeyboardInterrupt
        return measure(task, name, *given)

    monkeypatch.setattr(learning_curves, "measure", watch)
    with pytest.raises(KeyboardInterrupt):
        learning_curves.run(options)
    monkeypatch.setattr(learning_curves, "measure", measure)
    learning_curves.run(options)
    assert measured == [(80, "extra_trees"), (80, "prior")]
    rows = pd.read_csv(options.out / "learning_curves.csv")
    assert rows[["size", "model"]].to_numpy().tolist() == [[s, m] for s in (40, 80) for m in ("extra_trees", "prior")]
    assert (rows["n_train"] >= rows["size"]).all()
    np.testing.assert_allclose(rows[rows["model"] == "prior"]["roc_auc"], 0.5)
    table = (options.out / "learning_curves.md").read_text()
    assert table.count("\n| `") == 2
    assert f"**{rows['roc_auc'].iloc[0]:.3f}" in table
    assert (options.out / "learning_curves.png").read_bytes()[:4] == b"\x89PNG"
    capsys.readouterr()
