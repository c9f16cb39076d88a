"""Records of GE's MUSE system, as far as the comparison needs them: twelve leads and what the machine measured."""

from __future__ import annotations

import base64
from pathlib import Path

try:
    # A file from elsewhere may hold an XML bomb; defusedxml refuses it.
    from defusedxml import ElementTree
except ImportError:
    from xml.etree import ElementTree

import numpy as np

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
# Its names for what we compare: ms, but for the heart rate (1/min).
MEASURED = {"heart_rate": "VentricularRate", "pr": "PRInterval", "qrs": "QRSDuration", "qt": "QTInterval"}


def read_muse(path: Path) -> tuple[np.ndarray, float, dict[str, float]]:
    """Return the rhythm strip, its sampling rate and the machine's own measurements.

    Parameters
    ----------
    path : Path
        An XML file of MUSE: eight leads, base64 of little-endian 16-bit integers.

    Returns
    -------
    signal : ndarray of shape (12, n_samples)
        In millivolts; III, aVR, aVL and aVF follow from I and II.
    sampling_rate : float
        In Hz.
    measured : dict
        By the keys of `MEASURED`; NaN where the file has none.
    """
    root = ElementTree.parse(path).getroot()
    strip = next(node for node in root.iter("Waveform") if node.findtext("WaveformType") == "Rhythm")
    sampling_rate = float(strip.findtext("SampleBase")) * 10 ** float(strip.findtext("SampleExponent") or 0)
    leads = {}
    for node in strip.iter("LeadData"):
        counts = np.frombuffer(base64.b64decode(node.findtext("WaveFormData")), dtype="<i2")
        leads[node.findtext("LeadID")] = counts * float(node.findtext("LeadAmplitudeUnitsPerBit")) / 1000
    one, two = leads["I"], leads["II"]
    leads |= {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    block = root.find("RestingECGMeasurements")
    measured = {key: float(block.findtext(name) or "nan") for key, name in MEASURED.items()}
    return np.stack([leads[name] for name in LEADS]), sampling_rate, measured
