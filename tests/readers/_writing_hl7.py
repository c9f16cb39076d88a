"""HL7 aECG files (ANSI/HL7 V3 ECG R1-2004), after the implementation guide of 2005 and FDA's examples."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from textwrap import fill
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray
from readers._writing import ABOUT, PER_MILLIVOLT, About, check_leads, element, make_decoy, to_counts, write_xml

from omi_estimators.leads import LEADS

_MDC = {"codeSystem": "2.16.840.1.113883.6.24", "codeSystemName": "MDC"}
_ACT = {"codeSystem": "2.16.840.1.113883.5.4", "codeSystemName": "ActCode"}
_MEASUREMENTS = {
    "heart_rate": ("MDC_ECG_HEART_RATE", "bpm"),
    "p_duration": ("MDC_ECG_TIME_PD_P", "ms"),
    "pr": ("MDC_ECG_TIME_PD_PR", "ms"),
    "qrs": ("MDC_ECG_TIME_PD_QRS", "ms"),
    "qt": ("MDC_ECG_TIME_PD_QT", "ms"),
    "qtc": ("MDC_ECG_TIME_PD_QTc", "ms"),
    "p_axis": ("MDC_ECG_ANGLE_P_FRONT", "deg"),
    "qrs_axis": ("MDC_ECG_ANGLE_QRS_FRONT", "deg"),
    "t_axis": ("MDC_ECG_ANGLE_T_FRONT", "deg"),
}


def write_hl7(
    path: Path,
    signal: NDArray[np.floating],
    sampling_rate: float,
    *,
    leads: Sequence[str] = LEADS,
    about: About = ABOUT,
    time: str = "absolute",
    unit: str = "uV",
    scale: float = 2.5,
    origin: float = 0,
    values: str = "SLIST_PQ",
    prefix: str = "",
    measured_on: str = "series",
    one_lead_first: bool = False,
    birth: bool = True,
) -> float:
    """Write an HL7 annotated ECG, and return its quantisation step in mV.

    Parameters
    ----------
    path : Path
        The file.
    signal : ndarray of shape (n_leads, n_samples)
        Millivolts.
    sampling_rate : float
        Hz.
    leads : sequence of str
        Names of the rows.
    about : About
        What else the file says.
    time : {"absolute", "relative"}
        Time stamps (GLIST_TS) or milliseconds from the start (GLIST_PQ).
    unit : {"uV", "mV", "nV"}
        Of origin and scale.
    scale, origin : float
        A value is `origin + scale * digit`, in `unit`.
    values : {"SLIST_PQ", "SLIST_INT"}
        The latter has no unit; it is to be given to the reader.
    prefix : str
        Of the namespace.
    measured_on : {"series", "derived series"}
        Whether the annotations hang on the rhythm, or on the representative beat.
    one_lead_first : bool
        Whether a QT interval of lead II alone stands before the global one.
    birth : bool
        Whether the file tells the time of birth, or the reported age.
    """
    check_leads(signal, leads)
    step = scale / PER_MILLIVOLT[unit]

    def sequence_set(data: NDArray[np.floating], kind: str) -> Element:
        counts = to_counts(data, step, -origin / scale)
        named = zip(leads, counts, strict=True)
        return element(
            "sequenceSet",
            _time(kind, about, sampling_rate),
            *(_lead(lead, row, values, unit, scale, origin) for lead, row in named),
        )

    annotations = _annotate(about, one_lead_first)
    waves = _annotate_waves()
    on_series = measured_on == "series"
    low, high = about.recording_time, about.recording_time + timedelta(seconds=signal.shape[1] / sampling_rate)
    beat = element(
        "derivedSeries",
        element("id", root="f2e3d5a0-7a7f-4c39-9d3e-1f6ef1b3a001"),
        element("code", code="REPRESENTATIVE_BEAT", **_ACT),
        element("component", sequence_set(make_decoy(len(leads), sampling_rate), "relative")),
        element("subjectOf", element("annotationSet", *(waves if on_series else [*waves, *annotations]))),
    )
    series = element(
        "series",
        element("id", root="dd7b629e-9be1-4686-a1bf-7896e16e2d47"),
        element("code", code="RHYTHM", displayName="Rhythm Waveforms", **_ACT),
        element(
            "effectiveTime",
            element("low", value=_stamp(low), inclusive="true"),
            element("high", value=_stamp(high), inclusive="false"),
        ),
        _author(),
        _filter("LOW_PASS", 150),
        _filter("HIGH_PASS", 0.05),
        element("component", sequence_set(signal, time)),
        *([element("subjectOf", element("annotationSet", *annotations))] if on_series else []),
        element("derivation", beat),
    )
    root = element(
        "AnnotatedECG",
        element("id", root="61d1a24f-b47e-41aa-ae95-f8ac302f4eec", extension="ECG-1"),
        element("code", code="93000", codeSystem="2.16.840.1.113883.6.12", codeSystemName="CPT-4"),
        element("effectiveTime", element("low", value=_stamp(low)), element("high", value=_stamp(high))),
        element("confidentialityCode", code="B", codeSystem="1.2.3.4.5"),
        _subject(about, birth),
        *([] if birth else [_reported_age(about)]),
        element("component", series),
    )
    _name_space(root, prefix)
    write_xml(path, root)
    return step


def _stamp(moment: Any) -> str:
    return f"{moment:%Y%m%d%H%M%S}.{moment.microsecond // 1000:03d}"


def _name_space(root: Element, prefix: str) -> None:
    """Declare the namespace of HL7, as the default or with a prefix on every tag."""
    if prefix:
        for each in root.iter():
            each.tag = f"{prefix}:{each.tag}"
    root.set(f"xmlns:{prefix}" if prefix else "xmlns", "urn:hl7-org:v3")
    root.set("xmlns:voc", "urn:hl7-org:v3/voc")
    root.set("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
    root.set("xsi:schemaLocation", "urn:hl7-org:v3 ../schema/PORT_MT020001.xsd")
    root.set("type", "Observation")


def _subject(about: About, birth: bool) -> Element:
    person = element(
        "subjectDemographicPerson",
        element("name", about.last_name),
        element(
            "administrativeGenderCode",
            code={"male": "M", "female": "F"}[about.sex],
            codeSystem="2.16.840.1.113883.5.1",
            codeSystemName="AdministrativeGender",
        ),
        *([element("birthTime", value=f"{about.birth_date:%Y%m%d}")] if birth else []),
    )
    subject = element(
        "trialSubject",
        element("id", root="2.16.840.1.113883.3.400", extension=about.patient_id),
        element("code", code="ENROLLED", codeSystem="2.16.840.1.113883.5.111"),
        person,
    )
    trial = element("clinicalTrial", element("id", root="2.16.840.1.113883.3.400", extension="TRIAL-7"))
    assignment = element("subjectAssignment", element("subject", subject), element("componentOf", trial))
    event = element(
        "timepointEvent",
        element("code", code="VISIT_3", codeSystem="2.16.840.1.113883.3.2"),
        element("performer", element("studyEventPerformer", element("id", root="2.16.840.1.113883", extension="SC-3"))),
        element("componentOf", assignment),
    )
    return element("componentOf", event)


def _reported_age(about: About) -> Element:
    code = element("code", code="21612-7", codeSystem="2.16.840.1.113883.6.1", codeSystemName="LOINC")
    value = element("value", xsi_type="PQ", value=about.age, unit="a")
    return element("controlVariable", element("relatedObservation", code, value))


def _author() -> Element:
    device = element(
        "manufacturedSeriesDevice",
        element("id", root="1.2.3.4.5", extension="SN-1"),
        element("code", code="12LEAD_ELECTROCARDIOGRAPH", codeSystem="1.2.3.4.5"),
        element("manufacturerModelName", "ECG-1"),
        element("softwareName", "1.0"),
    )
    maker = element("manufacturerOrganization", element("name", "Some Maker"))
    return element("author", element("seriesAuthor", device, maker))


def _filter(kind: str, frequency: float) -> Element:
    name = "MDC_ECG_CTL_VBL_ATTR_FILTER"
    cutoff = element(
        "controlVariable",
        element("code", code=f"{name}_CUTOFF_FREQ", **_MDC),
        element("value", xsi_type="PQ", value=frequency, unit="Hz"),
    )
    inner = element("controlVariable", element("code", code=f"{name}_{kind}", **_MDC), element("component", cutoff))
    return element("controlVariable", inner)


def _time(kind: str, about: About, sampling_rate: float) -> Element:
    if kind == "absolute":
        value = element(
            "value",
            element("head", value=_stamp(about.recording_time)),
            element("increment", value=f"{1 / sampling_rate:.10g}", unit="s"),
            xsi_type="GLIST_TS",
        )
    else:
        value = element(
            "value",
            element("head", value="0", unit="ms"),
            element("increment", value=f"{1000 / sampling_rate:.10g}", unit="ms"),
            xsi_type="GLIST_PQ",
        )
    return element("component", element("sequence", element("code", code=f"TIME_{kind.upper()}", **_ACT), value))


def _lead(lead: str, counts: NDArray[np.int64], values: str, unit: str, scale: float, origin: float) -> Element:
    units = {"unit": unit} if values == "SLIST_PQ" else {}
    value = element(
        "value",
        element("origin", value=f"{origin:g}", **units),
        element("scale", value=f"{scale:g}", **units),
        element("digits", fill(" ".join(map(str, counts.tolist())), 100)),
        xsi_type=values,
    )
    code = element("code", code=f"MDC_ECG_LEAD_{lead.upper()}", **_MDC)
    return element("component", element("sequence", code, value))


def _annotation(code: str, *children: Element) -> Element:
    return element("component", element("annotation", element("code", code=code, **_MDC), *children))


def _region(boundary: Element, kind: str = "ROIPS") -> Element:
    code = element("code", code=kind, codeSystem="2.16.840.1.113883.5.4", codeSystemName="HL7V3")
    region = element("supportingROI", code, element("component", boundary), classCode="ROIBND")
    return element("support", region)


def _annotate(about: About, one_lead_first: bool) -> list[Element]:
    """Return the measurements, and the interpretation, of the whole ECG."""
    made = []
    if one_lead_first:
        boundary = element("boundary", element("code", code="MDC_ECG_LEAD_II", **_MDC))
        value = element("value", xsi_type="PQ", value=about.measurements["qt"] + 30, unit="ms")
        made.append(_annotation("MDC_ECG_TIME_PD_QT", value, _region(boundary)))
    for name, (code, unit) in _MEASUREMENTS.items():
        value = element("value", xsi_type="PQ", value=about.measurements[name], unit=unit)
        made.append(_annotation(code, value))
    statements = [
        _annotation("MDC_ECG_INTERPRETATION_STATEMENT", element("value", text, xsi_type="ST"))
        for text in about.statements
    ]
    return [
        element("activityTime", value=_stamp(about.recording_time)),
        *made,
        _annotation("MDC_ECG_INTERPRETATION", *statements),
    ]


def _annotate_waves() -> list[Element]:
    """Return where the waves of the representative beat lie."""
    made = []
    for wave, low, high in (("PWAVE", 286, 394), ("QRSWAVE", 450, 542), ("TWAVE", 700, 846)):
        interval = element(
            "value", element("low", value=low, unit="ms"), element("high", value=high, unit="ms"), xsi_type="IVL_PQ"
        )
        boundary = element("boundary", element("code", code="TIME_RELATIVE", **_ACT), interval)
        value = element("value", xsi_type="CE", code=f"MDC_ECG_WAVC_{wave}", **_MDC)
        made.append(_annotation("MDC_ECG_WAVC", value, _region(boundary)))
    return made
