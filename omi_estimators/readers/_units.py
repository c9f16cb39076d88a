"""Units of voltage to millivolts."""

from __future__ import annotations

from omi_estimators.readers._errors import ECGFileError

# Both signs that look like a Greek mu, and the names of HL7 and DICOM.
_MILLIVOLTS = {
    "v": 1e3,
    "volt": 1e3,
    "volts": 1e3,
    "mv": 1.0,
    "millivolt": 1.0,
    "millivolts": 1.0,
    "uv": 1e-3,
    "\N{MICRO SIGN}v": 1e-3,
    "\N{GREEK SMALL LETTER MU}v": 1e-3,
    "microv": 1e-3,
    "microvolt": 1e-3,
    "microvolts": 1e-3,
    "nv": 1e-6,
    "nanovolt": 1e-6,
    "nanovolts": 1e-6,
}


def to_millivolts(unit: object) -> float:
    """Return the factor from `unit` to millivolts.

    Parameters
    ----------
    unit : str
        Such as "mV", "uV", "MICROVOLTS".

    Returns
    -------
    float
        What a value is multiplied by.

    Raises
    ------
    ECGFileError
        If it is no unit of voltage that is known.
    """
    try:
        return _MILLIVOLTS[str(unit).strip().lower()]
    except KeyError:
        raise ECGFileError(f"its values are in {str(unit)[:40]!r}, not in one of V, mV, uV, nV") from None
