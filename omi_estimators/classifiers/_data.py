"""Training records as the networks get them: merged, weighted, split by patient, drawn in balanced, changed batches."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Batch = tuple[dict[str, Tensor], Tensor]

# Redrawing an epoch this often without one batch of two classes is not bad luck any more.
_MOST_REDRAWS = 100


class Records(NamedTuple):
    """Records with what training needs to know of each: arrays of equal length.

    The signals stay where they lie, be it in a memory map larger than memory: they are rows of `source`.
    """

    source: NDArray[np.float32]
    rows: NDArray[np.intp]
    y: NDArray[np.int64]
    weight: NDArray[np.float64]
    groups: NDArray[np.int64]

    def take(self, index: NDArray[np.intp]) -> Records:
        """Return the records at `index`."""
        return Records(self.source, self.rows[index], self.y[index], self.weight[index], self.groups[index])


def merge_records(records: Records, *, by_patient: bool) -> Records:
    """Merge equal records, adding up their weights, and put them in an order that their content fixes.

    A weight of two then means exactly what two copies mean, and neither the order of the records nor the names of the
    patients change a trained network.

    Parameters
    ----------
    records : Records
        Signals, labels, weights and patients.
    by_patient : bool
        Whether equal records of two patients stay two. Otherwise each merged record is a patient of its own.

    Returns
    -------
    Records
        Without copies. Patients are numbered by what their records hold, so that a split does not depend on names.
    """
    digests = np.frombuffer(digest_records(records), dtype=[("high", ">u8"), ("low", ">u8")])
    content = np.unique(digests, return_inverse=True)[1]
    patients = records.groups if by_patient else np.zeros_like(records.groups)
    # Weights too, so that the sum of those of copies is rounded alike in every order.
    order = np.lexsort((records.weight, patients, content))
    content, patients = content[order], patients[order]
    first = np.flatnonzero(np.diff(content, prepend=-1) | np.diff(patients, prepend=-1))
    content, patients = content[first], patients[first]
    merged = records.take(order[first])._replace(weight=np.add.reduceat(records.weight[order], first))
    if not by_patient:
        return merged._replace(groups=np.arange(len(first)))
    ranks = _rank_patients(content, patients, merged.weight)
    return merged._replace(groups=ranks).take(np.lexsort((ranks, content)))


def _rank_patients(
    content: NDArray[np.intp], patients: NDArray[np.int64], weight: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the number of each record's patient, which what the patient's records hold decides, and no name."""
    patients = np.unique(patients, return_inverse=True)[1]
    order = np.lexsort((content, patients))
    starts = np.flatnonzero(np.diff(patients[order], prepend=-1))[1:]
    parts = zip(np.split(content[order], starts), np.split(weight[order], starts), strict=True)
    keys = [(contents.tobytes(), weights.tobytes()) for contents, weights in parts]
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return ranks[patients]


def digest_records(records: Records) -> bytearray:
    """Return 16 bytes for each record, which signal and label decide."""
    digests = bytearray()
    for row, label in zip(records.rows, records.y, strict=True):
        # Adding zero turns -0.0 into 0.0: equal numbers have equal bytes then.
        digest = blake2b(np.add(records.source[row], 0, order="C").data, digest_size=16)
        digest.update(np.int64(label).tobytes())
        digests += digest.digest()
    return digests


def class_mass(records: Records, n_classes: int) -> NDArray[np.float64]:
    """Return the sum of weights in each class."""
    return np.bincount(records.y, weights=records.weight, minlength=n_classes).astype(np.float64)


def split_patients(
    y: NDArray[np.int64], groups: NDArray[np.int64], fraction: float, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split records into training and validation so that no patient is on both sides.

    Patients are drawn separately for each class; a patient with records of several classes counts
    for the rarest of them.

    Parameters
    ----------
    y : ndarray of shape (n_records,)
        Classes as 0, 1, ….
    groups : ndarray of shape (n_records,)
        Patient of each record as 0, 1, ….
    fraction : float
        Share of the patients of each class for validation: at least one, unless the class has only one.
    rng : numpy Generator
        Draws the patients.

    Returns
    -------
    train, valid : ndarray of int
        Indices of records.

    Raises
    ------
    ValueError
        If no class has two patients, so that there is nothing to put aside.
    """
    rank_of_patient = _rank_by_rarity(y, groups)
    aside = np.zeros(len(rank_of_patient), dtype=bool)
    for rank in range(rank_of_patient.max() + 1):
        patients = rng.permutation(np.flatnonzero(rank_of_patient == rank))
        if len(patients) > 1:
            aside[patients[: min(max(1, round(fraction * len(patients))), len(patients) - 1)]] = True
    valid = aside[groups]
    if not valid.any():
        raise ValueError(
            f"Early stopping needs two patients of at least one class, to train on one and validate on the other; "
            f"got {len(np.unique(groups))} patient(s) for {len(np.unique(y))} classes. "
            "Give more patients, or set early_stopping=False."
        )
    return np.flatnonzero(~valid), np.flatnonzero(valid)


def _rank_by_rarity(y: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for each patient, how many classes are rarer than the rarest of the patient's own."""
    rank_of_class = np.argsort(np.argsort(np.bincount(y), kind="stable"))
    rank_of_patient = np.full(groups.max() + 1, len(rank_of_class), dtype=np.int64)
    np.minimum.at(rank_of_patient, groups, rank_of_class[y])
    return rank_of_patient


def deal_patients(
    y: NDArray[np.int64], groups: NDArray[np.int64], most_folds: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Return a fold for each record so that no patient is in two, and classes are spread evenly.

    Parameters
    ----------
    y : ndarray of shape (n_records,)
        Classes as 0, 1, ….
    groups : ndarray of shape (n_records,)
        Patient of each record as 0, 1, ….
    most_folds : int
        As many folds, or as many as the rarest class has patients.
    rng : numpy Generator
        Draws the patients.

    Returns
    -------
    ndarray of shape (n_records,)
        Numbers of folds from 0 on.
    """
    fewest = min(len(np.unique(groups[y == label])) for label in np.unique(y))
    n_folds = min(most_folds, fewest)
    rank_of_patient = _rank_by_rarity(y, groups)
    # Shuffled, then by class: dealt out one by one, each fold gets as many patients of each class, give or take one.
    order = rng.permutation(len(rank_of_patient))
    order = order[np.argsort(rank_of_patient[order], kind="stable")]
    fold_of_patient = np.empty(len(order), dtype=np.intp)
    fold_of_patient[order] = np.arange(len(order)) % n_folds
    return fold_of_patient[groups]


class TensorRecords(torch.utils.data.Dataset):
    """Records for batches, each of which is one indexing and no Python loop.

    On the CPU the signals stay where they are, and a batch is copied out of them. On another device they stay there as
    one tensor, unless that would take more than half of its free memory.

    Parameters
    ----------
    records : Records
        What to hold. Batches have the channel axis that convolutions need.
    weight : ndarray of shape (n_records,)
        The factor of each record in the loss.
    device : torch.device
        Where labels and weights live.

    Attributes
    ----------
    n_drawn : ndarray of shape (n_records,)
        How often batches have drawn each record so far.
    """

    def __init__(self, records: Records, weight: NDArray[np.float64], device: torch.device):
        self._source, self._rows = records.source, records.rows
        self._resident = self._gather(slice(None)).to(device) if _fits(records, device) else None
        self.y = torch.from_numpy(records.y).to(device)
        self.weight = torch.from_numpy(weight.astype(np.float32)).to(device)
        self.n_drawn = np.zeros(len(records.y), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: NDArray[np.intp]) -> Batch:
        at = torch.from_numpy(index).to(self.y.device)
        signals = self._gather(index).to(self.y.device) if self._resident is None else self._resident[at]
        return {"x": signals, "weight": self.weight[at]}, self.y[at]

    def _gather(self, index: NDArray[np.intp] | slice) -> Tensor:
        """Return signals as a tensor of shape (n_records, 1, n_leads, n_samples) in the computer's memory."""
        return torch.from_numpy(self._source[self._rows[index]]).unsqueeze(1)


def _fits(records: Records, device: torch.device) -> bool:
    """Return whether signals shall stay on a device."""
    if device.type != "cuda":
        return device.type != "cpu"
    size = records.source[:1].nbytes * len(records.rows)
    return size < 0.5 * torch.cuda.mem_get_info(device)[0]


class Batches:
    """Iterate over records in batches of nearly equal size; shuffled and balanced in training.

    Parameters
    ----------
    dataset : TensorRecords
        The records.
    batch_size : int
        Records per batch, before balancing. Sizes are evened out, so no last batch is left with one
        record, on which batch normalisation fails.
    balance : {"undersample", "oversample"} or None, default=None
        Inside each batch, drop records of the larger classes, or repeat those of the smaller ones,
        until all classes in the batch are as frequent. A batch of one class only is skipped.
    augmentation : Augmentation or None, default=None
        Changes the records of a batch; needs `rng`.
    rng : numpy Generator or None, default=None
        Shuffles anew in every epoch; None keeps the order.
    """

    def __init__(
        self,
        dataset: TensorRecords,
        batch_size: int,
        balance: str | None = None,
        augmentation: Augmentation | None = None,
        rng: np.random.Generator | None = None,
    ):
        self.dataset = dataset
        self.batch_size = batch_size
        self.balance = balance
        self.augmentation = augmentation
        self.rng = rng
        self._y = dataset.y.cpu().numpy()

    def __len__(self) -> int:
        return max(1, -(-len(self.dataset) // self.batch_size))

    def __iter__(self) -> Iterator[Batch]:
        for index in self._draw():
            np.add.at(self.dataset.n_drawn, index, 1)
            inputs, labels = self.dataset[index]
            if self.augmentation is not None and self.rng is not None:
                inputs["x"] = self.augmentation(inputs["x"], self.rng)
            yield inputs, labels

    def _draw(self) -> list[NDArray[np.intp]]:
        """Return the indices of each batch of one epoch."""
        order = np.arange(len(self.dataset))
        if self.rng is None:
            return np.array_split(order, len(self))
        for _ in range(_MOST_REDRAWS):
            batches = np.array_split(self.rng.permutation(order), len(self))
            if self.balance is None:
                return batches
            batches = [balance_batch(batch, self._y[batch], self.balance) for batch in batches]
            batches = [batch for batch in batches if len(batch)]
            if batches:
                return batches
        raise ValueError(
            f"No batch of batch_size={self.batch_size} held records of two classes in {_MOST_REDRAWS} draws, so "
            f"balance={self.balance!r} skipped them all. Raise batch_size, or set balance=None."
        )


def balance_batch(index: NDArray[np.intp], y: NDArray[np.int64], how: str) -> NDArray[np.intp]:
    """Return the part, or the repetition, of a shuffled batch in which its classes are equally frequent.

    Parameters
    ----------
    index : ndarray of shape (n_records,)
        The batch.
    y : ndarray of shape (n_records,)
        Its classes.
    how : {"undersample", "oversample"}
        Whether to cut the larger classes or to repeat the smaller.

    Returns
    -------
    ndarray of int
        Empty if the batch has one class only.
    """
    members = [index[y == label] for label in np.unique(y)]
    if len(members) < 2:
        return index[:0]
    sizes = [len(member) for member in members]
    size = min(sizes) if how == "undersample" else max(sizes)
    return np.concatenate([np.resize(member, size) for member in members])


class Augmentation(NamedTuple):
    """How far training records are changed; zero leaves that part alone.

    Attributes
    ----------
    time_shift : float
        A record is moved earlier or later by up to this share of its length; its ends are repeated to fill up.
    amplitude_scale : float
        A lead is multiplied by a factor drawn from ``1 ± amplitude_scale``: electrodes and body
        shape change the size of a lead, not its message.
    baseline_wander : float
        Most height, in the units of the record, of a straight line with random ends added to a lead.
    lead_dropout : float
        Probability that a lead is zero, as if its electrode had come off. One lead always stays.
    """

    time_shift: float = 0.0
    amplitude_scale: float = 0.0
    baseline_wander: float = 0.0
    lead_dropout: float = 0.0

    def __call__(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        """Return changed copies of records of shape (n_records, 1, n_leads, n_samples)."""
        n_records, _, n_leads, n_samples = x.shape
        furthest = int(self.time_shift * n_samples)
        if furthest:
            shifts = rng.integers(-furthest, furthest, (n_records, 1, 1, 1), endpoint=True)
            index = np.clip(np.arange(n_samples) - shifts, 0, n_samples - 1)
            x = x.gather(3, torch.from_numpy(index).to(x.device).expand_as(x))
        if self.amplitude_scale:
            factor = 1 + rng.uniform(-self.amplitude_scale, self.amplitude_scale, (n_records, 1, n_leads, 1))
            x = x * _like(factor, x)
        if self.baseline_wander:
            first, last = rng.uniform(-self.baseline_wander, self.baseline_wander, (2, n_records, 1, n_leads, 1))
            # A flat lead has no baseline: it stays the zero that says so.
            line = _like(first + (last - first) * np.linspace(0, 1, n_samples), x)
            x = x + line * (x != 0).any(dim=3, keepdim=True)
        if self.lead_dropout and n_leads > 1:
            draws = rng.random((n_records, 1, n_leads, 1))
            stays = (draws >= self.lead_dropout) | (draws == draws.max(axis=2, keepdims=True))
            x = x * _like(stays, x)
        return x


def _like(array: np.ndarray, x: Tensor) -> Tensor:
    """Return an array as a tensor of the type and on the device of `x`."""
    return torch.from_numpy(np.asarray(array, dtype=np.float32)).to(x.device, x.dtype)
