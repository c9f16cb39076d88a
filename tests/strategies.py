"""Hypothesis strategies: records, labels, patients and parameters as users, and not only they, may give them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

RATES = (100, 250, 257, 500, 1000)
_LEADS = (12, 12, 12, 12, 1, 2, 3, 8, 15)


def _ecg(rng: np.random.Generator, n_leads: int, times: np.ndarray, heart_rate: float) -> np.ndarray:
    """Return leads with beats: P, QRS and T of random height, some of them upside down."""
    record = 0.01 * rng.normal(size=(n_leads, len(times)))
    waves = ((-0.16, 0.022, 0.1), (-0.02, 0.008, -0.1), (0.0, 0.011, 1.0), (0.028, 0.01, -0.4), (0.28, 0.045, 0.3))
    heights = rng.normal(1, 1, size=(n_leads, len(waves)))
    for beat in np.arange(rng.uniform(0, 1), times[-1] + 1, 60 / heart_rate) * (1 + rng.normal(0, 0.01)):
        for (centre, width, height), of_leads in zip(waves, heights.T, strict=True):
            shape = np.exp(-0.5 * ((times - beat - centre) / width) ** 2)
            record += height * of_leads[:, np.newaxis] * shape
    return record


_KINDS = {
    "ecg": lambda rng, n, times: _ecg(rng, n, times, rng.uniform(30, 220)),
    "noise": lambda rng, n, times: rng.normal(size=(n, len(times))),
    "flat": lambda rng, n, times: np.zeros((n, len(times))),
    "fibrillation": lambda rng, n, times: np.sin(2 * np.pi * 5 * times + 3 * np.sin(np.pi * times)) * np.ones((n, 1)),
    "sawtooth": lambda rng, n, times: (times % 0.2) * np.ones((n, 1)),
    "walk": lambda rng, n, times: np.cumsum(rng.normal(size=(n, len(times))), axis=1),
}


def _saturate(record, leads, part, size, rng):
    record[leads] = np.clip(record[leads], -0.3 * size, 0.3 * size)


def _set(value):
    def fault(record, leads, part, size, rng):
        record[leads, part] = value

    return fault


def _add_spike(record, leads, part, size, rng):
    record[leads, part.start % record.shape[1]] += 50 * size


def _scale(factor):
    def fault(record, leads, part, size, rng):
        record[leads] *= factor

    return fault


def _add_drift(record, leads, part, size, rng):
    record[leads] += np.linspace(0, 100 * size, record.shape[1])


def _make_noisy(record, leads, part, size, rng):
    record[leads, part] += size * rng.normal(size=record[leads, part].shape)


def _swap(record, leads, part, size, rng):
    record[:] = rng.permutation(record)


FAULTS = {
    "missing": _set(np.nan),
    "flat": _set(0.0),
    "held": _set(1.7),
    "huge": _scale(1e6),
    "tiny": _scale(1e-9),
    "microvolts": _scale(1e3),
    "saturated": _saturate,
    "spike": _add_spike,
    "drift": _add_drift,
    "noisy": _make_noisy,
    "swapped": _swap,
    "upside down": _scale(-1.0),
}


@st.composite
def malformed_records(
    draw, max_seconds: float = 12.0, n_records: int = 1, rates=RATES, leads=_LEADS, shape: tuple[int, int] | None = None
):
    """Draw `X` of shape (n_records, n_leads, n_samples), in mV as is pretended, and its sampling rate."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sampling_rate = draw(st.sampled_from(rates))
    if shape is None:
        n_leads = draw(st.sampled_from(leads))
        # Mostly whole records, now and then some samples only.
        seconds = draw(st.one_of(st.floats(1, max_seconds), st.floats(0.001, 1)))
        shape = n_leads, max(1, round(seconds * sampling_rate))
    n_leads, n_samples = shape
    times = np.arange(n_samples) / sampling_rate
    X = np.empty((n_records, n_leads, len(times)))
    for record in X:
        record[:] = _KINDS[draw(st.sampled_from(("ecg", "ecg", "ecg", *_KINDS)))](rng, n_leads, times)
        for name in draw(st.lists(st.sampled_from(sorted(FAULTS)), max_size=4)):
            chosen = rng.random(n_leads) < draw(st.sampled_from((0.1, 0.5, 1.0)))
            start = int(rng.integers(len(times)))
            part = slice(start, start + int(rng.integers(1, len(times) + 1)))
            FAULTS[name](record, chosen, part, float(rng.uniform(0.1, 3)), rng)
    dtype = draw(st.sampled_from((np.float64, np.float64, np.float32, np.int16)))
    if dtype is np.int16:
        X = np.nan_to_num(np.clip(X * 1000, -32768, 32767))
    return X.astype(dtype), sampling_rate


def _scatter(values):
    """Return a function that puts a value into some places of X."""

    def fault(X, rng):
        X[rng.random(X.shape) < rng.choice((0.01, 0.3))] = values
        return X

    return fault


# What arrives where records should: of another kind, in another shape, or beyond what float32 holds.
NOT_RECORDS = {
    "nothing": lambda X, rng: None,
    "text": lambda X, rng: "ecg.dat",
    "number": lambda X, rng: 1.5,
    "names": lambda X, rng: np.full(X.shape, "mV"),
    "numbers as text": lambda X, rng: X.astype(str),
    "objects": lambda X, rng: X.astype(object),
    "objects without meaning": lambda X, rng: np.full(X.shape, None, dtype=object),
    "complex": lambda X, rng: X + 1j,
    "booleans": lambda X, rng: X > 0,
    "dates": lambda X, rng: np.zeros(X.shape, dtype="datetime64[s]"),
    "list": lambda X, rng: X.tolist(),
    "ragged": lambda X, rng: [lead.tolist()[: 1 + int(rng.integers(lead.size))] for lead in X[0]],
    "no records": lambda X, rng: X[:0],
    "no leads": lambda X, rng: X[:, :0],
    "no samples": lambda X, rng: X[..., :0],
    "a lead short": lambda X, rng: X[:, 1:],
    "a sample short": lambda X, rng: X[..., 1:],
    "swapped axes": lambda X, rng: X.transpose(0, 2, 1),
    "leads first": lambda X, rng: X.transpose(1, 0, 2),
    "one record": lambda X, rng: X[0],
    "one lead": lambda X, rng: X[0, 0],
    "four axes": lambda X, rng: X[np.newaxis],
    "backwards": lambda X, rng: X[..., ::-1],
    "columns first": lambda X, rng: np.asfortranarray(X),
    "read only": lambda X, rng: np.broadcast_to(X[:1], X.shape),
    "other byte order": lambda X, rng: X.astype(">f8"),
    "half precision": lambda X, rng: np.clip(X, -6e4, 6e4).astype(np.float16),
    "long integers": lambda X, rng: np.nan_to_num(np.clip(X, -1e6, 1e6)).astype(np.int64),
    "infinite": _scatter(np.inf),
    "minus infinity": _scatter(-np.inf),
    "missing": _scatter(np.nan),
    "all missing": lambda X, rng: np.full(X.shape, np.nan),
    "too large": _scatter(1e300),
    "the largest": _scatter(-1.7e308),
    "large": _scatter(3e38),
    "smallest": lambda X, rng: X * 1e-310,
    "zero": lambda X, rng: X * 0,
    "huge": lambda X, rng: X * 1e30,
    "constant": lambda X, rng: np.ones(X.shape),
    "as it was": lambda X, rng: X,
}


@st.composite
def not_records(draw, shape: tuple[int, int] = (2, 40)):
    """Draw something that is no array of records, or barely: for `shape` of a record where it has one."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X = rng.normal(size=(draw(st.integers(1, 4)), *shape))
    return NOT_RECORDS[draw(st.sampled_from(sorted(NOT_RECORDS)))](X, rng)


_LABELS = (
    *([0, 1], [0, 1], [0, 1, 2], [1], [False, True], ["no", "OMI"], [0.0, 1.0], [0.5, 1.25], [-1, 7], [0, None]),
    *([0, "1"], [np.nan, 1.0], [np.inf, 0.0], [b"a", b"b"], [[0], [1]], [[0, 1], [1, 0]], [np.datetime64(0, "s")]),
)
_PATIENTS = ([0, 1, 2, 3], ["a", "b", "c"], [1], [np.nan, 1.0], [0, "a"], [None, 1], [1.5, 2.5, 3.5])


@st.composite
def _lists(draw, kinds, sizes):
    """Draw a list of values of one kind."""
    size = draw(st.sampled_from(sizes))
    return draw(st.lists(st.sampled_from(draw(st.sampled_from(kinds))), min_size=size, max_size=size))


def labels(n_records: int) -> st.SearchStrategy:
    """Return a strategy for `y`, from good to none at all; mostly of the right length."""
    lists = _lists(_LABELS, (n_records,) * 8 + (0, 1, n_records + 1))
    return st.one_of(lists, lists, lists, st.sampled_from((None, 1, "y", {}, np.zeros((n_records, 2)))))


def groups(n_records: int) -> st.SearchStrategy:
    """Return a strategy for patients."""
    lists = _lists(_PATIENTS, (n_records,) * 8 + (0, n_records - 1))
    return st.one_of(st.none(), st.just(np.arange(n_records)), lists, st.sampled_from((5, "patients")))


def weights(n_records: int) -> st.SearchStrategy:
    """Return a strategy for `sample_weight`."""
    value = st.one_of(st.floats(0.1, 10), st.sampled_from((0.0, 0.0, -1.0, 1e-300, 1e300, np.nan, np.inf)))
    lists = st.lists(st.floats(0, 3), min_size=n_records, max_size=n_records)
    odd = st.lists(value, min_size=n_records - 1, max_size=n_records)
    return st.one_of(st.none(), st.none(), lists, odd, st.sampled_from((0, 2.0, "heavy")))


# Values of single parameters of a network, good and bad.
NET_PARAMS = {
    "width": (1, 3, 0, -1, 1.5, None, "2"),
    "blocks": ((1,), (1, 1, 1), (), (0,), (-1,), (1.5,), "ab", 3, None),
    "kernel_size": (1, 2, 4, 0, 5, 99, None),
    "stem_kernel_size": (1, 2, 0, 41, 99, None),
    "dropout": (0.5, 1.0, -0.1, np.nan, None),
    "time_shift": (0.0, 0.5, 1.0, -1, np.nan),
    "amplitude_scale": (0.0, 0.99, 1, np.nan),
    "baseline_wander": (0, 1e3, 1e38, np.inf, np.nan, -1),
    "lead_dropout": (0.9, 1, -1, np.nan),
    "max_epochs": (2, 0, -1, 1.5, None),
    "lr": (1e-9, 1.0, 1e30, 0, -1, np.nan, np.inf, "a", None),
    "first_epoch_lr": (1e-3, 1e30, 0, np.nan, np.inf),
    "schedule": ("cosine", "constant", "other", None),
    "warmup_epochs": (0, 5, -1, None),
    "batch_size": (2, 3, 1000, 1, 0, None),
    "optimizer": ("adamw", "sgd", "adamx", None, 3),
    "weight_decay": (0, 1e3, 1e30, np.nan, np.inf, -1),
    "max_grad_norm": (1e-9, 1e9, 0, np.nan, np.inf),
    "balance": (None, "oversample", "undersample", "other"),
    "correct_prior": (False, True, 3),
    "class_weight": ("balanced", "other", {}, {0: 1, 1: 5}, {0: -1}, {0: 0, 1: 0}, {0: np.inf}, {0: np.nan}, {9: 1}),
    "early_stopping": (True, 2),
    "validation_fraction": (0.01, 0.99, 0, 1, np.nan),
    "n_iter_no_change": (1, 0),
    "freeze": ("features", "other"),
    "callbacks": ([], "a"),
    "device": ("cpu", "auto", "nowhere", 3),
    "n_threads": (1, 0, -1, 1.5),
    "on_interrupt": ("keep", "other"),
    "random_state": (0, np.random.RandomState(0), -1, "a", 1.5),
    "verbose": (0, -1, "loud"),
}


@st.composite
def net_params(draw, most: int = 3):
    """Draw parameters of a network by name: a few, each from the good and the bad."""
    names = draw(st.lists(st.sampled_from(sorted(NET_PARAMS)), max_size=most, unique=True))
    return {name: draw(st.sampled_from(NET_PARAMS[name])) for name in names}


@st.composite
def training_sets(draw):
    """Draw what `fit` of a network is given: X, y, groups, sample_weight and parameters."""
    n_records = draw(st.integers(2, 16))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X = rng.normal(size=(n_records, draw(st.integers(1, 3)), draw(st.sampled_from((40, 40, 40, 24, 24, 8, 1)))))
    kind = draw(st.sampled_from(("as it was",) * (5 * len(NOT_RECORDS)) + tuple(sorted(NOT_RECORDS))))
    good = st.just(np.arange(n_records) % 2)
    return {
        "X": NOT_RECORDS[kind](X, rng),
        # Mostly one thing is wrong, so that much else is reached.
        "y": draw(st.one_of(good, good, good, labels(n_records))),
        "groups": draw(st.one_of(st.none(), st.none(), groups(n_records))),
        "sample_weight": draw(st.one_of(st.none(), st.none(), weights(n_records))),
        "params": draw(net_params(most=draw(st.sampled_from((0, 0, 1, 1, 2))))),
    }
