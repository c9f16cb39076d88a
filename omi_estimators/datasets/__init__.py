"""ECG data sets as ``X, y, groups``: simulated OMI, and readers of public data."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_ptbxl": ["fetch_ptbxl", "load_ptbxl"],
        "_simulator": ["make_omi_ecgs"],
    },
)
