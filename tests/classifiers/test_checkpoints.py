"""Training that is killed and goes on: the same end, or a beginning from anew that says so."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from skorch.callbacks import Checkpoint as SavesParams

from omi_estimators import ECGSmartNetClassifier, ResNet18Classifier

TINY = {"width": 4, "blocks": (1, 1), "n_members": 1, "max_epochs": 6, "lr": 1e-2}
TINY |= {"dropout": 0.3, "n_threads": 1, "random_state": 0}


class Power:
    """What ends a fit, and when: it is pickled without its state, so that is no part of what decides a fit."""

    epoch = None
    epochs_seen = 0
    error = RuntimeError("power")

    def __reduce_ex__(self, protocol):
        return Power, ()


POWER = Power()


class PowerCut(Callback):
    """Ends a fit in the middle of an epoch, counted from 1."""

    def on_epoch_begin(self, net, **kwargs):
        POWER.epochs_seen += 1

    def on_batch_end(self, net, training, **kwargs):
        if training and len(net.history) == POWER.epoch:
            POWER.epoch = None
            raise POWER.error


@pytest.fixture
def make_classifier(tmp_path, monkeypatch):
    monkeypatch.setattr(POWER, "epoch", None)
    monkeypatch.setattr(POWER, "epochs_seen", 0)

    def make(cls=ECGSmartNetClassifier, **params):
        given = {"checkpoint_dir": tmp_path, "callbacks": [PowerCut()]}
        return cls(**(TINY | given | params))

    return make


def _cut(classifier, epoch, *args, **kwargs):
    """Fit until the power goes in an epoch."""
    POWER.epoch = epoch
    with pytest.raises(RuntimeError, match="power"):
        classifier.fit(*args, **kwargs)
    POWER.epoch = None
    POWER.epochs_seen = 0


def _assert_same(first, second, X):
    for name, weight in first.net_.module_.state_dict().items():
        assert torch.equal(weight, second.net_.module_.state_dict()[name]), name
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    assert first.n_iter_ == second.n_iter_
    assert first.net_.history[:, "train_loss"] == second.net_.history[:, "train_loss"]
    assert first.net_.history[:, "event_lr"] == second.net_.history[:, "event_lr"]
    np.testing.assert_array_equal(first.training_prior_, second.training_prior_)


CASES = {
    "defaults": {},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 2, "max_epochs": 30},
    "sgd, constant, clipped": {
        "optimizer": "sgd",
        "schedule": "constant",
        "max_grad_norm": 1.0,
        "net_params": {"optimizer__momentum": 0.9},
    },
    "oversampled, weighted": {"balance": "oversample", "class_weight": {0: 1.0, 1: 3.0}, "warmup_epochs": 2},
    "channels last": {"width": 16, "cls": ResNet18Classifier},
    "bfloat16": {"mixed_precision": True, "verbose": 1, "early_stopping": True},
    "callbacks of skorch": {
        "callbacks": [
            PowerCut(),
            ("plateau", LRScheduler("ReduceLROnPlateau", monitor="train_loss", patience=0)),
            EarlyStopping(monitor="train_loss", patience=2, threshold=0.1, load_best=True, sink=print),
        ],
        "max_epochs": 20,
    },
}


@pytest.mark.filterwarnings("ignore:mixed_precision=True computes in bfloat16")
@pytest.mark.parametrize("params", CASES.values(), ids=CASES)
def test_a_fit_cut_twice_ends_as_an_undisturbed_one(make_classifier, make_beats, tmp_path, params):
    X, y, groups = make_beats(n_records=50, prevalence=0.3)
    X[::2] = np.random.default_rng(0).normal(size=X[::2].shape)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    given = {"sample_weight": weight, "groups": groups}
    undisturbed = make_classifier(**(params | {"checkpoint_dir": None})).fit(X, y, **given)
    _cut(make_classifier(**params), 2, X, y, **given)
    _cut(make_classifier(**params), 3, X, y, **given)
    assert len(list(tmp_path.iterdir())) == 1
    resumed = make_classifier(**params).fit(X, y, **given)
    assert POWER.epochs_seen == resumed.n_iter_ - 2
    _assert_same(resumed, undisturbed, X)
    assert not list(tmp_path.iterdir())
    assert "checkpoint" not in dict(resumed.net_.callbacks_)


_SCRIPT = """
import os, signal, sys
import numpy as np
from skorch.callbacks import Callback
from omi_estimators import ECGSmartNetClassifier

class Kill(Callback):
    def on_batch_end(self, net, training, **kwargs):
        if training and len(net.history) == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

data = np.load(sys.argv[1] + "/data.npz")
classifier = ECGSmartNetClassifier(
    width=4, n_members=1, blocks=(1, 1), max_epochs=6, lr=1e-2, dropout=0.3, n_threads=1, random_state=0,
    early_stopping=True,
    callbacks=[Kill()], checkpoint_dir=sys.argv[1] + "/checkpoints",
)
classifier.fit(data["X"], data["y"], groups=data["groups"])
np.save(sys.argv[1] + "/prob.npy", classifier.predict_proba(data["X"]))
"""


def test_a_process_killed_three_times_ends_as_an_undisturbed_one(make_classifier, make_beats, tmp_path):
    X, y, groups = make_beats()
    np.savez(tmp_path / "data.npz", X=X, y=y, groups=groups)
    command = [sys.executable, "-c", _SCRIPT, str(tmp_path)]
    for epoch in (1, 3, 6):
        assert subprocess.run([*command, str(epoch)], check=False).returncode == -signal.SIGKILL
        assert len(list((tmp_path / "checkpoints").iterdir())) == (epoch > 1)
    subprocess.run([*command, "0"], check=True)
    undisturbed = make_classifier(early_stopping=True, checkpoint_dir=None).fit(X, y, groups=groups)
    np.testing.assert_array_equal(np.load(tmp_path / "prob.npy"), undisturbed.predict_proba(X))
    assert not list((tmp_path / "checkpoints").iterdir())


def test_nothing_else_goes_on_from_it(make_classifier, make_beats, tmp_path):
    X, y, groups = make_beats()
    _cut(make_classifier(early_stopping=True), 4, X, y, groups=groups)
    weight = np.ones(len(y))
    weight[0] = 2
    others = [
        (make_classifier(early_stopping=True, lr=1e-3), X, {"groups": groups}),
        (make_classifier(early_stopping=True, random_state=1), X, {"groups": groups}),
        (make_classifier(ResNet18Classifier, early_stopping=True), X, {"groups": groups}),
        (make_classifier(early_stopping=True, callbacks=[PowerCut(), EarlyStopping()]), X, {"groups": groups}),
        (make_classifier(early_stopping=True), X + np.float32(1e-6), {"groups": groups}),
        (make_classifier(early_stopping=True), X, {"groups": groups // 2}),
        (make_classifier(early_stopping=True), X, {"groups": groups, "sample_weight": weight}),
    ]
    for other, signals, given in others:
        POWER.epochs_seen = 0
        other.set_params(max_epochs=1 if other.lr != TINY["lr"] else 6).fit(signals, y, **given)
        assert POWER.epochs_seen == other.n_iter_
    assert len(list(tmp_path.iterdir())) == 1


def test_class_weights_of_other_labels_are_another_fit(make_classifier, make_beats):
    X, y, _ = make_beats()
    classifier = make_classifier(class_weight={0: 5.0})
    _cut(classifier, 4, X, y)
    classifier.fit(X, y - 1)
    assert POWER.epochs_seen == 6


def test_what_changes_no_weight_is_the_same_fit(make_classifier, make_beats, notebook):
    X, y, _ = make_beats()
    _cut(make_classifier(), 4, X, y)
    make_classifier(verbose=1, correct_prior=False, on_interrupt="keep").fit(X, y)
    assert POWER.epochs_seen == 3
    assert "6/6" in notebook.readouterr().err


def test_a_finished_fit_is_trained_anew(make_classifier, make_beats):
    X, y, _ = make_beats()
    first = make_classifier().fit(X, y).predict_proba(X)
    POWER.epochs_seen = 0
    np.testing.assert_array_equal(make_classifier().fit(X, y).predict_proba(X), first)
    assert POWER.epochs_seen == 6


def test_fine_tuning_goes_on_from_the_same_weights_only(make_classifier, make_beats):
    X, y, _ = make_beats()
    given = {"warm_start": True, "freeze": "features"}
    undisturbed = make_classifier(**given, checkpoint_dir=None).fit(X, y).fit(X, y)
    tuned = make_classifier(**given).fit(X, y)
    _cut(tuned, 4, X, y)
    fresh = make_classifier(**given).fit(X, y)
    assert POWER.epochs_seen == 6
    POWER.epochs_seen = 0
    for classifier in (fresh, tuned):
        _assert_same(classifier.fit(X, y), undisturbed, X)
    assert POWER.epochs_seen == 3 + 6


def test_ctrl_c_leaves_the_checkpoint(make_classifier, make_beats, tmp_path, monkeypatch):
    X, y, _ = make_beats()
    undisturbed = make_classifier(checkpoint_dir=None).fit(X, y)
    monkeypatch.setattr(POWER, "error", KeyboardInterrupt)
    POWER.epoch = 3
    with pytest.raises(KeyboardInterrupt):
        make_classifier().fit(X, y)
    POWER.epoch = 5
    with pytest.warns(UserWarning, match="interrupted after 4 of 6 epochs"):
        kept = make_classifier(on_interrupt="keep").fit(X, y)
    assert kept.n_iter_ == 4
    POWER.epoch, POWER.epochs_seen = None, 0
    _assert_same(make_classifier().fit(X, y), undisturbed, X)
    assert POWER.epochs_seen == 2
    assert not list(tmp_path.iterdir())


def _flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


SPOILT = {
    "flipped": _flip,
    "half": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "other": lambda content: b"PK" + bytes(500),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_damaged_checkpoint_is_ignored(make_classifier, make_beats, tmp_path, spoil):
    X, y, _ = make_beats()
    undisturbed = make_classifier(checkpoint_dir=None).fit(X, y)
    _cut(make_classifier(), 4, X, y)
    (file,) = tmp_path.iterdir()
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.warns(UserWarning, match="is ignored .*damaged.*starts from the beginning"):
        again = make_classifier().fit(X, y)
    assert POWER.epochs_seen == 6
    _assert_same(again, undisturbed, X)


def test_a_checkpoint_of_another_fit_is_ignored(make_classifier, make_beats, tmp_path):
    X, y, _ = make_beats()
    _cut(make_classifier(), 4, X, y)
    (mine,) = tmp_path.iterdir()
    _cut(make_classifier(lr=1e-3), 4, X, y)
    (other,) = set(tmp_path.iterdir()) - {mine}
    other.replace(mine)
    with pytest.warns(UserWarning, match="belongs to another key"):
        make_classifier().fit(X, y)
    assert POWER.epochs_seen == 6


def test_two_fits_in_one_folder_do_not_disturb_each_other(make_classifier, make_beats, tmp_path, monkeypatch):
    X, y, _ = make_beats()
    undisturbed = make_classifier(checkpoint_dir=None).fit(X, y)
    other = make_classifier()
    begin = PowerCut.on_epoch_begin

    def begin_and_run_the_other(self, net, **kwargs):
        # The same call, from its beginning to its end, between two epochs of the first.
        if len(net.history) == 3 and not hasattr(other, "net_"):
            monkeypatch.setattr(PowerCut, "on_epoch_begin", begin)
            other.fit(X, y)
        begin(self, net, **kwargs)

    monkeypatch.setattr(PowerCut, "on_epoch_begin", begin_and_run_the_other)
    first = make_classifier().fit(X, y)
    for classifier in (first, other):
        _assert_same(classifier, undisturbed, X)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_an_error_before_training(make_classifier, make_beats, tmp_path):
    X, y, _ = make_beats()
    (tmp_path / "file").write_text("no folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match=r"checkpoint_dir=.* cannot be written to \(.*; give a folder"):
            make_classifier(checkpoint_dir=folder).fit(X, y)
    assert POWER.epochs_seen == 0


def test_a_disk_that_fills_up_is_a_warning_and_training_goes_on(make_classifier, make_beats, tmp_path):
    X, y, _ = make_beats()
    undisturbed = make_classifier(checkpoint_dir=None).fit(X, y)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores the signal that goes with it, so a write beyond the limit is an OSError, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.warns(UserWarning, match="cannot be written .*File too large.*Training goes on"):
            classifier = make_classifier().fit(X, y)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    _assert_same(classifier, undisturbed, X)
    assert not list(tmp_path.iterdir())


def test_half_written_files_are_removed_once_they_are_old(make_classifier, make_beats, tmp_path):
    X, y, _ = make_beats()
    _cut(make_classifier(), 3, X, y)
    (file,) = tmp_path.iterdir()
    young, old, foreign = (tmp_path / f"{stem}.part" for stem in (f".{file.stem}.a", f".{file.stem}.b", ".other.c"))
    for part in (young, old, foreign):
        part.write_bytes(b"half")
    for part in (old, foreign):
        os.utime(part, (0, 0))
    make_classifier().fit(X, y)
    assert set(tmp_path.iterdir()) == {young, foreign}


def test_a_checkpoint_needs_a_seed_and_names(make_classifier, make_beats):
    X, y, _ = make_beats()
    with pytest.raises(ValueError, match="checkpoint_dir needs a random_state"):
        make_classifier(random_state=None).fit(X, y)
    locked = PowerCut()
    locked.lock = threading.Lock()
    with pytest.raises(
        ValueError, match="parameters of ECGSmartNetClassifier cannot be told apart from others on disk"
    ):
        make_classifier(callbacks=[locked]).fit(X, y)
    _cut(make_classifier(random_state=np.random.RandomState(3)), 3, X, y)
    make_classifier(random_state=np.random.RandomState(3)).fit(X, y)
    assert POWER.epochs_seen == 4


def test_what_a_callback_leaves_in_the_history_may_be_beyond_a_checkpoint(make_classifier, make_beats, monkeypatch):
    X, y, _ = make_beats()
    monkeypatch.setattr(PowerCut, "on_epoch_end", lambda self, net, **kwargs: net.history.record("thing", object()))
    with pytest.warns(UserWarning, match="cannot be written .*a object"):
        make_classifier().fit(X, y)


def test_a_search_shares_one_folder(make_classifier, make_beats, tmp_path):
    X, y, _ = make_beats()
    searches = []
    for folder in (None, tmp_path):
        search = GridSearchCV(
            make_classifier(callbacks=None, checkpoint_dir=folder, max_epochs=2), {"lr": [0.1, 0.01]}, cv=2
        )
        searches.append(search.fit(X, y))
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    np.testing.assert_array_equal(*scores)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_a_schedule_without_a_name_is_known_by_what_it_does(make_classifier, make_beats, factor):
    X, y, _ = make_beats()

    def make(factor):
        return make_classifier(callbacks=[PowerCut(), LRScheduler("LambdaLR", lr_lambda=lambda epoch: factor)])

    _cut(make(1.0), 3, X, y)
    make(factor).fit(X, y)
    assert POWER.epochs_seen == (4 if factor == 1.0 else 6)


def test_a_file_that_skorch_writes_is_no_other_fit(make_classifier, make_beats, tmp_path):
    X, y, _ = make_beats()
    kept = SavesParams(monitor=None, dirname=str(tmp_path / "skorch"), f_params=str(tmp_path / "params.pt"))
    _cut(make_classifier(callbacks=[kept, PowerCut()]), 3, X, y)
    make_classifier(callbacks=[kept, PowerCut()]).fit(X, y)
    assert POWER.epochs_seen == 4
