"""What all writers of ECG files share: who was recorded, counts from millivolts, a decoy of a median beat."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import ArrayLike, NDArray

PER_MILLIVOLT = {"V": 1e-3, "mV": 1.0, "uV": 1e3, "nV": 1e6}
INDEPENDENT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


@dataclass(frozen=True)
class About:
    """What a file says beside the signal."""

    patient_id: str = "PAT-0042"
    last_name: str = "Müller"
    sex: str = "female"
    age: int = 66
    birth_date: date = date(1957, 9, 1)
    recording_time: datetime = datetime(2024, 3, 15, 9, 26, 53)
    measurements: dict[str, int] = field(
        default_factory=lambda: {
            "heart_rate": 72,
            "pr": 164,
            "p_duration": 108,
            "qrs": 92,
            "qt": 396,
            "qtc": 434,
            "p_axis": 47,
            "qrs_axis": -12,
            "t_axis": 38,
        }
    )
    statements: tuple[str, ...] = ("Sinus rhythm", "Inferior infarct, acute")


ABOUT = About()


def to_counts(signal: ArrayLike, step: ArrayLike, zero: ArrayLike = 0, gap: int = 0) -> NDArray[np.int64]:
    """Return the whole numbers that stand for `signal`, where `zero` counts are 0 mV and one count is `step` mV.

    Where `signal` is NaN they are `gap`.
    """
    signal = np.asarray(signal, dtype=np.float64)
    step, zero = (np.broadcast_to(value, len(signal))[:, np.newaxis] for value in (step, zero))
    counts = np.rint(np.nan_to_num(signal) / step + zero).astype(np.int64)
    return np.where(np.isnan(signal), gap, counts)


def make_decoy(n_leads: int, sampling_rate: float, duration: float = 1.2) -> NDArray[np.float64]:
    """Return a median beat in mV that no one can take for the rhythm: one hump of 2 mV."""
    times = np.arange(round(duration * sampling_rate)) / sampling_rate
    return np.tile(2 * np.exp(-0.5 * ((times - duration / 2) / 0.05) ** 2), (n_leads, 1))


def to_base64(counts: NDArray[np.integer], dtype: str = "<i2", width: int = 0) -> str:
    """Return the bytes of whole numbers as base64, in lines of `width` characters if that is not 0."""
    text = base64.b64encode(counts.astype(dtype).tobytes()).decode()
    return "\n".join(text[i : i + width] for i in range(0, len(text), width)) if width else text


def element(tag: str, /, *children: ElementTree.Element | str, **attributes: object) -> ElementTree.Element:
    """Return an XML element; a child that is a string is text, an attribute `xsi_type` is written `xsi:type`."""
    made = ElementTree.Element(
        tag, {re.sub("^(xsi|xmlns)_", r"\1:", name): str(value) for name, value in attributes.items()}
    )
    for child in children:
        if isinstance(child, str):
            made.text = child
        else:
            made.append(child)
    return made


def write_xml(path: Path, root: ElementTree.Element, *, encoding: str = "utf-8", prologue: str = "") -> None:
    """Write an XML file with a declaration, and a document type or comment between it and the root."""
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    path.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>\n{prologue}{text}\n'.encode(encoding))


def check_leads(signal: NDArray[np.floating], leads: Sequence[str]) -> None:
    """Raise a ValueError if names and rows do not match."""
    if len(signal) != len(leads):
        raise ValueError(f"there are {len(signal)} rows, but {len(leads)} names of leads")
