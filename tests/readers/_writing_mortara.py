"""XML files of Mortara ELI electrocardiographs, after what public programs read and imitate of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from readers._writing import ABOUT, About, check_leads, element, make_decoy, to_base64, to_counts, write_xml

from omi_estimators.leads import LEADS


def write_mortara(
    path: Path,
    signal: NDArray[np.floating],
    sampling_rate: float,
    *,
    leads: Sequence[str] = LEADS,
    about: About = ABOUT,
    units_per_mv: int = 400,
    birth: bool = True,
) -> float:
    """Write a Mortara ELI XML file, and return its quantisation step in mV.

    Parameters
    ----------
    path, signal, sampling_rate, leads, about
        As for all writers.
    units_per_mv : int
        Counts of the rhythm per millivolt; the typical cycle has 200.
    birth : bool
        Whether the file tells the date of birth beside the age.
    """
    check_leads(signal, leads)
    time, measured = about.recording_time, about.measurements
    born = {"DOB": f"{about.birth_date:%Y%m%d}", "DOB_XML": about.birth_date.isoformat()} if birth else {}
    beats = to_counts(make_decoy(len(leads), 250), 1 / 200)
    coding = {"BITS": 16, "FORMAT": "SIGNED", "ENCODING": "BASE64"}
    cycle = element(
        "TYPICAL_CYCLE",
        *(
            element("TYPICAL_CYCLE_CHANNEL", NAME=lead, DATA=to_base64(beat))
            for lead, beat in zip(leads, beats, strict=True)
        ),
        R_PEAK=150,
        P_DURATION=measured["p_duration"],
        PR_DURATION=measured["pr"],
        QRS_DURATION=measured["qrs"],
        QT=measured["qt"],
        QTC=measured["qtc"],
        QTF=measured["qtc"] - 11,
        P_AXIS=measured["p_axis"],
        QRS_AXIS=measured["qrs_axis"],
        T_AXIS=measured["t_axis"],
        UNITS_PER_MV=200,
        DURATION=beats.shape[1],
        SAMPLE_FREQ=250,
        **coding,
    )
    channels = [
        element(
            "CHANNEL",
            OFFSET=0,
            UNITS_PER_MV=units_per_mv,
            DURATION=row.size,
            SAMPLE_FREQ=f"{sampling_rate:g}",
            NAME=lead,
            **coding,
            DATA=to_base64(row),
        )
        for lead, row in zip(leads, to_counts(signal, 1 / units_per_mv), strict=True)
    ]
    fields = {"Last:": about.last_name, "ID:": about.patient_id}
    root = element(
        "ECG",
        element("DEMOGRAPHIC_FIELDS", *(element("DEMOGRAPHIC_FIELD", LABEL=k, VALUE=v) for k, v in fields.items())),
        element("SITE", ID=3),
        element("SUBJECT", LAST_NAME=about.last_name, GENDER=about.sex.capitalize(), ID=about.patient_id, **born),
        # When it was sent must not be taken for when it was recorded.
        element(
            "SOURCE",
            TYPE="RESTING",
            MANUFACTURER="Mortara Instrument, Inc.",
            MODEL="ELI280",
            TRANSMISSION_TIME="20240401112233",
            TRANSMISSION_TIME_XML="2024-04-01T11:22:33",
            LOW_PASS_FILTER=150,
        ),
        element(
            "AUTOMATIC_INTERPRETATION",
            *(
                element("STATEMENT", STATEMENT_NUMBER=i, TEXT=text, REASON="")
                for i, text in enumerate((*about.statements, ""), start=1)
            ),
        ),
        cycle,
        *channels,
        ACQUISITION_TIME=f"{time:%Y%m%d%H%M%S}",
        ACQUISITION_TIME_XML=time.isoformat(),
        AGE=about.age,
        AGE_UNITS="Y",
        NUM_QRS=12,
        AVERAGE_RR=833,
        VENT_RATE=measured["heart_rate"],
    )
    write_xml(path, root)
    return 1 / units_per_mv
