"""ECG files of every format, written to its published description by other hands than the readers."""

from readers._writing import ABOUT, INDEPENDENT, About
from readers._writing_cardiosoft import write_cardiosoft
from readers._writing_dicom import write_dicom
from readers._writing_hl7 import write_hl7
from readers._writing_mortara import write_mortara
from readers._writing_scp import write_scp
from readers._writing_signals import write_csv, write_edf, write_mat, write_npy, write_wfdb
from readers._writing_vendors import write_muse, write_philips

__all__ = [
    "ABOUT",
    "INDEPENDENT",
    "About",
    "write_cardiosoft",
    "write_csv",
    "write_dicom",
    "write_edf",
    "write_hl7",
    "write_mat",
    "write_mortara",
    "write_muse",
    "write_npy",
    "write_philips",
    "write_scp",
    "write_wfdb",
]
