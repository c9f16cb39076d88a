"""Training records as the networks get them: merged, weighted, split by patient, drawn in balanced batches."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omi_estimators.classifiers._augment import Augmentation

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


def merge_records(records: Records) -> Records:
    """Merge equal records, adding up their weights, and put them in an order that their content fixes.

    A weight of two then means exactly what two copies mean, and the order of the records does not
    change a trained network.

    Parameters
    ----------
    records : Records
        Signals, labels, weights and patients. Records are equal if signal, label and patient are.

    Returns
    -------
    Records
        Without copies, sorted by a digest of their content.
    """
    digests = np.frombuffer(digest_records(records), dtype=[("high", ">u8"), ("low", ">u8")])
    keys, first, copy_of = np.unique(digests, return_index=True, return_inverse=True)
    weight = np.bincount(copy_of, weights=records.weight, minlength=len(keys)).astype(np.float64)
    return records.take(first)._replace(weight=weight)


def digest_records(records: Records) -> bytearray:
    """Return 16 bytes for each record, which signal, label and patient decide."""
    digests = bytearray()
    for row, label, patient in zip(records.rows, records.y, records.groups, strict=True):
        # Adding zero turns -0.0 into 0.0: equal numbers have equal bytes then.
        digest = blake2b(np.add(records.source[row], 0, order="C").data, digest_size=16)
        digest.update(np.array([label, patient], dtype=np.int64).data)
        digests += digest.digest()
    return digests


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
    by_rarity = np.argsort(np.bincount(y), kind="stable")
    rank_of_class = np.argsort(by_rarity)
    rank_of_patient = np.full(groups.max() + 1, len(by_rarity), dtype=np.int64)
    np.minimum.at(rank_of_patient, groups, rank_of_class[y])
    aside = np.zeros(len(rank_of_patient), dtype=bool)
    for rank in range(len(by_rarity)):
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
