"""XML files of GE CardioSoft (CardiologyXML), after what public programs read of those of UK Biobank."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray
from readers._writing import ABOUT, About, check_leads, element, make_decoy, to_counts, write_xml

from omi_estimators.leads import LEADS


def write_cardiosoft(
    path: Path,
    signal: NDArray[np.floating],
    sampling_rate: float,
    *,
    leads: Sequence[str] = LEADS,
    about: About = ABOUT,
    resolution: float = 5,
    layout: str = "strip",
    birth: bool = True,
) -> float:
    """Write a CardioSoft XML file, and return its quantisation step in mV.

    Parameters
    ----------
    path, signal, sampling_rate, leads, about
        As for all writers.
    resolution : float
        Microvolts per count.
    layout : {"strip", "strips", "seconds", "samples", "none"}
        The strip of an ECG at rest; several strips, of which the others are none of the ECG, as of exercise; the full
        disclosure alone, a second of each lead in turn or a sample of each; or the median beat alone.
    birth : bool
        Whether the file tells the date of birth, or the age.
    """
    check_leads(signal, leads)
    counts = to_counts(signal, resolution / 1000)
    beats = to_counts(make_decoy(len(leads), sampling_rate), resolution / 1000)
    said = [element("SampleRate", f"{sampling_rate:g}", units="Hz")]
    said.append(element("Resolution", f"{resolution:g}", units="uVperLsb"))
    size = element("ChannelSampleCountTotal", str(counts.shape[1]))
    rhythm = []
    if layout == "strip":
        n_leads = element("NumberOfLeads", str(len(leads)))
        rhythm = [element("StripData", n_leads, said[0], size, said[1], *_wave(leads, counts))]
    elif layout == "strips":
        strips = [element("Strip", *_wave(leads, each)) for each in (counts, counts[:, ::-1])]
        rhythm = [element("StripData", *said, *strips)]
    elif layout in ("seconds", "samples"):
        second = round(sampling_rate)
        pieces = np.split(counts, range(second, counts.shape[1], second), axis=1) if layout == "seconds" else [counts.T]
        values = np.concatenate([piece.ravel() for piece in pieces])
        lines = (",".join(map(str, values[i : i + 100].tolist())) for i in range(0, values.size, 100))
        rhythm = [
            element(
                "FullDisclosure",
                element("StartTime", element("Minute", "0"), element("Second", "7")),
                element("NumberOfChannels", str(len(leads))),
                *said,
                element("LeadOrder", ",".join(leads)),
                element("FullDisclosureData", "\n\t\t" + ",\n\t\t".join(lines) + ",\n"),
            )
        ]
    born = _moment("BirthDateTime", about.birth_date) if birth else element("Age", str(about.age), units="Years")
    root = element(
        "CardiologyXML",
        element("ObservationType", "RestECG"),
        _moment("ObservationDateTime", about.recording_time),
        element("DeviceInfo", element("Desc", "CardioSoft"), element("SoftwareVer", "6.73")),
        element(
            "PatientInfo",
            element("PID", about.patient_id),
            element("Name", element("FamilyName", about.last_name), element("GivenName")),
            born,
            element("Gender", about.sex.upper()),
        ),
        element(
            "Interpretation",
            element(
                "Diagnosis",
                *(element("DiagnosisText", text) for text in (*about.statements, "---")),
            ),
        ),
        element(
            "RestingECGMeasurements",
            *_measurements(about),
            element("MedianSamples", *said, *_wave(leads, beats)),
        ),
        *rhythm,
    )
    write_xml(path, root, encoding="ISO8859-1")
    return resolution / 1000


def _moment(tag: str, moment: date) -> Element:
    """Return a date, or date and time, in parts without leading zeros."""
    parts = {"Day": moment.day, "Month": moment.month, "Year": moment.year}
    if isinstance(moment, datetime):
        parts = {"Hour": moment.hour, "Minute": moment.minute, "Second": moment.second} | parts
    return element(tag, *(element(name, str(value)) for name, value in parts.items()))


def _measurements(about: About) -> list[Element]:
    names = {
        "VentricularRate": ("heart_rate", "BPM"),
        "PQInterval": ("pr", "ms"),
        "PDuration": ("p_duration", "ms"),
        "QRSDuration": ("qrs", "ms"),
        "QTInterval": ("qt", "ms"),
        "QTCInterval": ("qtc", "ms"),
        "PAxis": ("p_axis", "degrees"),
        "RAxis": ("qrs_axis", "degrees"),
        "TAxis": ("t_axis", "degrees"),
    }
    return [element(tag, str(about.measurements[name]), units=units) for tag, (name, units) in names.items()]


def _wave(leads: Sequence[str], counts: NDArray[np.integer]) -> list[Element]:
    """Return leads as numbers with commas between them, in lines."""
    made = []
    for lead, row in zip(leads, counts.tolist(), strict=True):
        lines = (",".join(map(str, row[i : i + 20])) for i in range(0, len(row), 20))
        made.append(element("WaveformData", "\n\t\t" + ",\n\t\t".join(lines) + "\n\t", lead=lead))
    return made
