"""Files to records: `read_ecg` for any format, `load_ecgs` for many files, `ECGReader` for pipelines."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_ecg_reader": ["ECGReader", "UnreadableFileWarning", "load_ecgs"],
        "_read": ["FORMATS", "find_ecg_files", "read_ecg"],
        "_record": ["ECGFileError", "ECGRecord"],
        "_wfdb": ["read_wfdb_leads"],
    },
)
