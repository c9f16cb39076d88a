"""XML files of Philips (SierraECG) and GE (MUSE), after files of their devices."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray
from readers._writing import (
    ABOUT,
    INDEPENDENT,
    About,
    check_leads,
    element,
    make_decoy,
    to_base64,
    to_counts,
    write_xml,
)

from omi_estimators.leads import LEADS


def write_philips(
    path: Path,
    signal: NDArray[np.floating],
    sampling_rate: float,
    *,
    leads: Sequence[str] = LEADS,
    about: About = ABOUT,
    encoding: str = "Plain",
    resolution: float = 5,
    calibration: bool = False,
    text_encoding: str = "utf-8",
    birth: bool = True,
) -> float:
    """Write a Philips SierraECG 1.04.01 file without compression, and return its quantisation step in mV.

    The leads follow each other, all samples of one before the next.

    Parameters
    ----------
    path, signal, sampling_rate, leads, about
        As for all writers.
    encoding : {"Plain", "Base64"}
        Whole numbers in text, or 16-bit words.
    resolution : float
        Microvolts per count.
    calibration : bool
        Whether a pulse of 1 mV overwrites the last 0.4 s, as in files of 11 s of these devices.
    text_encoding : {"utf-8", "utf-16"}
        Devices write both.
    birth : bool
        Whether the file tells the date of birth, or the age.
    """
    check_leads(signal, leads)
    counts = to_counts(signal, resolution / 1000)
    if calibration:
        counts[:, counts.shape[1] - round(0.4 * sampling_rate) :] = 0
        pulse = slice(*(counts.shape[1] - np.rint([0.3 * sampling_rate, 0.1 * sampling_rate]).astype(int)))
        counts[:, pulse] = round(1000 / resolution)
    if encoding == "Plain":
        data = "\n".join(" ".join(map(str, row)) for row in counts.tolist())
    else:
        data = to_base64(counts, width=76)
    moment = {"date": f"{about.recording_time:%Y-%m-%d}", "time": f"{about.recording_time:%H:%M:%S}"}
    waveforms = element(
        "parsedwaveforms",
        data,
        dataencoding=encoding,
        numberofleads=len(leads),
        leadlabels=" ".join(leads),
        durationperchannel=round(1000 * counts.shape[1] / sampling_rate),
        samplespersecond=f"{sampling_rate:g}",
        resolution=f"{resolution:g}",
        signaloffset=0,
        signalsigned="True",
        bitspersample=16,
        hipass="0.05",
        lowpass="150",
    )
    if encoding == "Base64":
        waveforms.set("compression", "Uncompressed")
    root = element(
        "restingecgdata",
        element(
            "documentinfo",
            element("documentname", "7eacbc80-0549-11df-4823-000000000001.xml"),
            element("documenttype", "PhilipsECG"),
            element("documentversion", "1.04.01"),
        ),
        element("reportinfo", element("reporttype", "STD-12"), **moment),
        _philips_acquisition(leads, sampling_rate, resolution, moment),
        _philips_patient(about, birth),
        _philips_interpretation(about, moment),
        element("waveforms", waveforms, _philips_beats(leads, sampling_rate)),
        status="Confirmed",
        lang="en",
        xmlns="http://www3.medical.philips.com",
        xmlns_xsi="http://www.w3.org/2001/XMLSchema-instance",
        xsi_schemaLocation="http://www3.medical.philips.com PhilipsECG.xsd",
    )
    write_xml(path, root, encoding=text_encoding)
    return resolution / 1000


def _philips_acquisition(
    leads: Sequence[str], sampling_rate: float, resolution: float, moment: dict[str, str]
) -> Element:
    signal = element(
        "signalcharacteristics",
        element("samplingrate", f"{sampling_rate:g}"),
        element("resolution", f"{resolution:g}"),
        element("hipass", "0.05"),
        element("lowpass", "150"),
        element("acquisitiontype", "10-WIRE"),
        element("bitspersample", "16"),
        element("signaloffset", "0"),
        element("signalsigned", "True"),
        element("numberchannelsallocated", str(len(leads))),
        element("numberchannelsvalid", str(len(leads))),
        element("electrodeplacement", "STD"),
    )
    machine = element("machine", "PageWriter", machineid="ECG1", detaildescription="Some electrocardiograph")
    return element("dataacquisition", machine, signal, **moment, statflag="False")


def _philips_patient(about: About, birth: bool) -> Element:
    if birth:
        age = element("age", element("dateofbirth", about.birth_date.isoformat()), defaultage="50")
    else:
        age = element("age", element("years", str(about.age)))
    patient = element(
        "generalpatientdata",
        element("patientid", about.patient_id),
        element("MRN"),
        element("name", element("lastname", about.last_name), element("firstname")),
        age,
        element("pacestatus", "Unknown"),
        element("sex", about.sex.capitalize()),
    )
    return element("patient", patient, criteriaversionforpatientdata="0A")


def _philips_interpretation(about: About, moment: dict[str, str]) -> Element:
    names = {
        "heartrate": "heart_rate",
        "pdur": "p_duration",
        "print": "pr",
        "qrsdur": "qrs",
        "qtint": "qt",
        "qtcb": "qtc",
        "pfrontaxis": "p_axis",
        "qrsfrontaxis": "qrs_axis",
        "tfrontaxis": "t_axis",
    }
    measured = [element(tag, str(about.measurements[name]), editedflag="False") for tag, name in names.items()]
    # What Philips writes for an angle that it could not find.
    measured.append(element("sthorizaxis", "Indeterminate", editedflag="False"))
    statements = [
        element(
            "statement",
            element("statementcode", "SR"),
            element("leftstatement", text),
            element("rightstatement"),
            editedflag="False",
        )
        for text in about.statements
    ]
    interpretation = element(
        "interpretation",
        element("globalmeasurements", *measured, editedflag="False"),
        element("mdsignatureline", "Confirmed"),
        element("severity", "- ABNORMAL ECG -", code="AB", id="4"),
        *statements,
        **moment,
        criteriaversion="0A",
        criteriaversiondate="2002-06-21",
    )
    return element("interpretations", interpretation)


def _philips_beats(leads: Sequence[str], sampling_rate: float) -> Element:
    """Return representative beats, at twice the resolution, with measurements of each lead alone."""
    beats = to_counts(make_decoy(len(leads), sampling_rate), 0.0025)
    made = [
        element(
            "repbeat",
            element("pdur", "76"),
            element("print", "120"),
            element("qrsdur", "72"),
            element("qtint", "336"),
            element("waveform", to_base64(beat, width=76), duration=1200),
            leadname=lead,
        )
        for lead, beat in zip(leads, beats, strict=True)
    ]
    return element(
        "repbeats",
        *made,
        dataencoding="Base64",
        samplespersec=f"{sampling_rate:g}",
        resolution="2.5",
        repbeatmethod="mean",
    )


def write_muse(
    path: Path,
    signal: NDArray[np.floating],
    sampling_rate: float,
    *,
    leads: Sequence[str] = INDEPENDENT,
    about: About = ABOUT,
    units_per_bit: float = 4.88,
    median: bool = True,
) -> float:
    """Write a GE MUSE XML file (RestingECG), and return its quantisation step in mV.

    Parameters
    ----------
    path, signal, sampling_rate, leads, about
        As for all writers; devices store I, II and V1 to V6.
    units_per_bit : float
        Microvolts per count.
    median : bool
        Whether a waveform of the median beat stands before the rhythm.
    """
    check_leads(signal, leads)
    waveforms = [_muse_waveform("Rhythm", signal, sampling_rate, leads, units_per_bit)]
    if median:
        beat = make_decoy(len(leads), sampling_rate)
        waveforms.insert(0, _muse_waveform("Median", beat, sampling_rate, leads, units_per_bit))
    root = element(
        "RestingECG",
        element("MuseInfo", element("MuseVersion", "9.0.7.17363")),
        element(
            "PatientDemographics",
            element("PatientID", about.patient_id),
            element("PatientAge", str(about.age)),
            element("AgeUnits", "YEARS"),
            element("DateofBirth", f"{about.birth_date:%m-%d-%Y}"),
            element("Gender", about.sex.upper()),
            element("PatientLastName", about.last_name),
        ),
        element(
            "TestDemographics",
            element("DataType", "RESTING"),
            element("Status", "CONFIRMED"),
            element("AcquisitionTime", f"{about.recording_time:%H:%M:%S}"),
            element("AcquisitionDate", f"{about.recording_time:%m-%d-%Y}"),
            # When it was edited must not be taken for when it was recorded.
            element("EditTime", "11:22:33"),
            element("EditDate", "04-01-2024"),
        ),
        _muse_measurements("RestingECGMeasurements", about.measurements),
        _muse_measurements(
            "OriginalRestingECGMeasurements", {name: value + 1 for name, value in about.measurements.items()}
        ),
        element("Diagnosis", element("Modality", "RESTING"), *_muse_statements(about.statements)),
        element("OriginalDiagnosis", element("Modality", "RESTING"), *_muse_statements(("Not this one",))),
        element("QRSTimesTypes", element("GlobalRR", "833"), element("QTRGGR", "248")),
        *waveforms,
    )
    write_xml(path, root, encoding="ISO-8859-1", prologue='<!DOCTYPE RestingECG SYSTEM "restecg.dtd">\n')
    return units_per_bit / 1000


def _muse_measurements(tag: str, measurements: dict[str, int]) -> Element:
    names = {
        "VentricularRate": "heart_rate",
        "AtrialRate": "heart_rate",
        "PRInterval": "pr",
        "QRSDuration": "qrs",
        "QTInterval": "qt",
        "QTCorrected": "qtc",
        "PAxis": "p_axis",
        "RAxis": "qrs_axis",
        "TAxis": "t_axis",
    }
    # Onsets are samples of the median beat, of 2 ms each.
    onset = 216 - measurements["pr"] // 2
    rest = {
        "QRSCount": 12,
        "QOnset": 216,
        "QOffset": 216 + measurements["qrs"] // 2,
        "POnset": onset,
        "POffset": onset + measurements["p_duration"] // 2,
        "TOffset": 216 + measurements["qt"] // 2,
        "ECGSampleBase": 500,
        "ECGSampleExponent": 0,
    }
    stated = {name: measurements[key] for name, key in names.items()} | rest
    return element(tag, *(element(name, str(value)) for name, value in stated.items()))


def _muse_statements(statements: Sequence[str]) -> list[Element]:
    """Return statements with the flag that ends a line."""
    return [
        element("DiagnosisStatement", element("StmtFlag", "ENDSLINE"), element("StmtText", text)) for text in statements
    ]


def _muse_waveform(
    kind: str, signal: NDArray[np.floating], sampling_rate: float, leads: Sequence[str], units_per_bit: float
) -> Element:
    counts = to_counts(signal, units_per_bit / 1000).astype("<i2")
    made = [
        element(
            "LeadData",
            element("LeadByteCountTotal", str(row.nbytes)),
            element("LeadTimeOffset", "0"),
            element("LeadSampleCountTotal", str(row.size)),
            element("LeadAmplitudeUnitsPerBit", f"{units_per_bit:g}"),
            element("LeadAmplitudeUnits", "MICROVOLTS"),
            element("LeadHighLimit", "32767"),
            element("LeadLowLimit", "-32768"),
            element("LeadID", lead),
            element("LeadOffsetFirstSample", "0"),
            element("FirstSampleBaseline", "0"),
            element("LeadSampleSize", "2"),
            element("LeadOff", "FALSE"),
            element("BaselineSway", "FALSE"),
            # The CRC-32 of zlib over the bytes, as in files of MUSE 9.
            element("LeadDataCRC32", str(zlib.crc32(row.tobytes()))),
            element("WaveFormData", f"\n{to_base64(row, width=68)}\n"),
        )
        for lead, row in zip(leads, counts, strict=True)
    ]
    return element(
        "Waveform",
        element("WaveformType", kind),
        element("WaveformStartTime", "0"),
        element("NumberofLeads", str(len(leads))),
        element("SampleType", "CONTINUOUS_SAMPLES"),
        element("SampleBase", f"{sampling_rate:g}"),
        element("SampleExponent", "0"),
        element("HighPassFilter", "16"),
        element("LowPassFilter", "150"),
        element("ACFilter", "60"),
        *made,
    )
