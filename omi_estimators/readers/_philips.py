"""Philips SierraECG XML: compressed (XLI), base64 or plain numbers, 11 s that can end in a calibration pulse."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from omi_estimators.leads import LEADS
from omi_estimators.readers._errors import ECGFileError
from omi_estimators.readers._fields import (
    age_at,
    decode_base64,
    decode_int16,
    keep_measured,
    parse_integers,
    to_age,
    to_date,
    to_sex,
    to_time,
)
from omi_estimators.readers._leads import check_rate, make_signal
from omi_estimators.readers._record import ECGRecord
from omi_estimators.readers._xml import find_number, find_text, to_number

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from omi_estimators.readers._read import Source

# Tags of the reported values, first those that the reader confirmed, then those of the program alone.
_MEASUREMENTS = {
    "heart_rate": ("heartrate", "meanventrate"),
    "pr": ("print", "meanprint"),
    "p_duration": ("pdur",),
    "qrs": ("qrsdur", "meanqrsdur"),
    "qt": ("qtint", "meanqtint"),
    "qtc": ("qtcb", "qtc", "meanqtc"),
    "p_axis": ("pfrontaxis",),
    "qrs_axis": ("qrsfrontaxis",),
    "t_axis": ("tfrontaxis",),
}
_PLACES = (
    "interpretations/interpretation/globalmeasurements",
    "interpretations/interpretation/interpretationmeasurements",
    "measurements/globalmeasurements",
    "internalmeasurements/globalmeasurements",
)
_LEAST_PULSE = 0.5  # mV


def read(source: Source) -> ECGRecord:
    """Read a Philips SierraECG XML file, versions 1.03, 1.04, 1.04.01 and 1.04.02.

    Parameters
    ----------
    source : Source
        With the root, restingecgdata.

    Returns
    -------
    ECGRecord
        Without the calibration pulse, if there is one. QTc is Bazett's where the file has several.

    Raises
    ------
    ECGFileError
        If the waveform is missing, of an unknown encoding, or not as long as the file says.
    """
    root = source.root
    assert root is not None
    waveform = root.find("waveforms/parsedwaveforms")
    if waveform is None:
        waveform = next(root.iter("parsedwaveforms"), None)
    if waveform is None:
        raise ECGFileError("it has no waveform (parsedwaveforms); export it with the waveform")
    about = root.find("dataacquisition/signalcharacteristics")
    sampling_rate = to_number(waveform.get("samplespersecond")) or find_number(about, "samplingrate")
    resolution = to_number(waveform.get("resolution"))
    for tag in ("signalresolution", "resolution"):
        resolution = resolution or find_number(about, tag)
    if not sampling_rate or not resolution or resolution < 0:
        raise ECGFileError("it does not say its sampling rate and resolution")
    check_rate(sampling_rate)
    counts, labels = _read_counts(waveform, about, sampling_rate)
    cut, notes = _cut_calibration(counts * (resolution / 1000.0), sampling_rate)
    signal, derived, missing, left_out = make_signal(zip(labels, cut, strict=True), sampling_rate)
    time = _find_time(root)
    age, age_notes = _find_age(root.find("patient/generalpatientdata/age"), time)
    return ECGRecord(
        signal=signal,
        sampling_rate=sampling_rate,
        source_format=f"Philips SierraECG XML {find_text(root, 'documentinfo/documentversion') or ''}".strip(),
        age=age,
        sex=to_sex(find_text(root, "patient/generalpatientdata/sex")),
        patient_id=find_text(root, "patient/generalpatientdata/patientid"),
        recording_time=time,
        measurements=_find_measurements(root),
        statements=_find_statements(root),
        derived_leads=derived,
        missing_leads=missing,
        notes=notes + left_out + age_notes,
    )


def _read_counts(
    waveform: Element, about: Element | None, sampling_rate: float
) -> tuple[NDArray[np.float64], list[str]]:
    """Return the stored numbers, shape (n_leads, n_samples), and the names of the leads."""
    labels = (waveform.get("leadlabels") or "").split()
    stated = to_number(waveform.get("numberofleads")) or find_number(about, "numberchannelsallocated") or len(LEADS)
    n_leads = int(stated) if 1 <= stated <= 100 else 0
    labels = labels or list(LEADS[:n_leads])
    if not n_leads or len(labels) < n_leads:
        raise ECGFileError(f"it says that it has {stated:g} leads, but names {len(labels)}")
    labels = labels[:n_leads]
    duration = to_number(waveform.get("durationperchannel"))
    if duration is None or not 0 < duration < 1e8:
        raise ECGFileError("it does not say how long its leads are (durationperchannel)")
    n_samples = int(duration * sampling_rate / 1000)
    encoding = (waveform.get("dataencoding") or "").lower()
    compression = (waveform.get("compressmethod") or waveform.get("compression") or "uncompressed").lower()
    text = waveform.text
    if encoding == "base64" and compression == "xli":
        leads = _decode_xli(decode_base64(text, "the leads"), labels, n_samples)
        return _restore_limb_leads(leads, labels), labels
    if compression not in ("uncompressed", "none", ""):
        raise ECGFileError(f"its waveform is compressed by {compression!r}; XLI and none are read")
    if encoding not in ("base64", "plain"):
        raise ECGFileError(f"its waveform is encoded as {encoding!r}; Base64 and Plain are read")
    values = parse_integers(text, "the leads") if encoding == "plain" else decode_int16(text, "the leads")
    if values.size != n_leads * n_samples:
        raise ECGFileError(
            f"it has {values.size} values, not {n_leads} leads x {n_samples} samples as it says; it is damaged or cut"
        )
    return _restore_if_differences(values.reshape(n_leads, n_samples), labels), labels


def _decode_xli(data: bytes, labels: list[str], n_samples: int) -> NDArray[np.float64]:
    """Return the decompressed leads: chunks of a size, 2 unknown bytes, a first value, and the compressed rest."""
    try:
        from sierraecg.xli import xli_decode
    except ImportError as error:
        raise ImportError(
            "Reading compressed Philips files needs the package sierraecg, which is not installed; "
            "install it with: pip install omi-estimators[io]"
        ) from error
    # The library trusts the sizes: a negative one would never end, and a small chunk can unpack to a huge one.
    position = 0
    for label in labels:
        size = int.from_bytes(data[position : position + 4], "little", signed=True)
        if not 0 < size <= min(len(data) - position - 8, 4 * n_samples + 1024):
            raise ECGFileError(f"its compressed lead {label} does not have the size that it says; the file is damaged")
        position += 8 + size
    # Version 1.03 has more leads after those that are named.
    leads = xli_decode(data[:position], labels)
    if any(len(lead) < n_samples for lead in leads):
        raise ECGFileError(f"its leads have {min(map(len, leads))} samples, not {n_samples} as it says; it is damaged")
    return np.array([lead[:n_samples] for lead in leads], dtype=np.float64)


def _restore_limb_leads(leads: NDArray[np.float64], labels: list[str]) -> NDArray[np.float64]:
    """Return leads with III and the augmented ones restored, which are stored as what Einthoven's law misses."""
    where = {label: row for row, label in enumerate(labels)}
    if "I" not in where or "II" not in where:
        return leads
    restored = leads.copy()
    first, second = leads[where["I"]], leads[where["II"]]
    third = second - first
    if "III" in where:
        third = restored[where["III"]] = third - leads[where["III"]]
    sums = {"aVR": -np.floor((first + second) / 2), "aVL": np.floor((first - third) / 2)}
    sums["aVF"] = np.floor((second + third) / 2)
    for label, expected in sums.items():
        if label in where:
            restored[where[label]] = expected - leads[where[label]]
    return restored


def _restore_if_differences(leads: NDArray[np.float64], labels: list[str]) -> NDArray[np.float64]:
    """Return uncompressed leads restored if III is stored as a difference: where it is small beside II - I."""
    if not {"I", "II", "III"} <= set(labels):
        return leads
    first, second, third = (leads[labels.index(label)] for label in ("I", "II", "III"))
    misses = np.abs(second - first - third).sum()
    return _restore_limb_leads(leads, labels) if np.abs(third).sum() < 0.5 * misses else leads


def _cut_calibration(leads: NDArray[np.float64], sampling_rate: float) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return leads in mV without their last second, if that ends in a pulse, the same in all leads, from zero."""
    second = round(sampling_rate)
    if len(leads) < 3 or leads.shape[1] < 2 * second:
        return leads, ()
    last = leads[:, -second:]
    differs = np.flatnonzero(np.ptp(last, axis=0) > 0.011)
    same = last[:, int(differs[-1]) + 1 if differs.size else 0 :]
    # A pulse, rather than leads that all fell off: it rises and falls again.
    if same.shape[1] < 0.1 * sampling_rate or np.ptp(same) < _LEAST_PULSE or abs(same[0, -1] - same[0].min()) > 0.1:
        return leads, ()
    return leads[:, :-second], ("Cut off the last second, which ends in the calibration pulse.",)


def _find_time(root: Element) -> datetime | None:
    for place in ("dataacquisition", "reportinfo"):
        found = root.find(place)
        if found is not None and (time := to_time(f"{found.get('date')} {found.get('time')}")) is not None:
            return time
    return None


def _find_age(age: Element | None, time: datetime | None) -> tuple[float | None, tuple[str, ...]]:
    """Return the age in years; what the device assumes without knowing (defaultage) is not one."""
    if age is None:
        return None, ()
    for tag in ("years", "months", "weeks", "days", "hours"):
        text = find_text(age, tag)
        if text is not None:
            return to_age(text, tag)
    return age_at(to_date(find_text(age, "dateofbirth")), time)


def _find_measurements(root: Element) -> dict[str, float]:
    """Return what was reported; words such as "Indeterminate" are left out."""
    places = [found for place in _PLACES if (found := root.find(place)) is not None]
    measured: dict[str, float | None] = {}
    for name, tags in _MEASUREMENTS.items():
        values = (find_number(place, tag) for place in places for tag in tags)
        measured[name] = next((value for value in values if value is not None), None)
    return keep_measured(measured)


def _find_statements(root: Element) -> tuple[str, ...]:
    """Return the statements, each with its reason."""
    statements = []
    for statement in root.findall("interpretations/interpretation/statement"):
        words = (find_text(statement, "leftstatement"), find_text(statement, "rightstatement"))
        statements.append(" - ".join(word for word in words if word))
    return tuple(filter(None, statements))
