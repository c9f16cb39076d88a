"""From waveform to waveform: filtering, the median beat, and scaling."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_average": ["NoBeatError"],
        "_base": ["UnusableRecordWarning"],
        "_beat": ["MedianBeat", "median_beat"],
        "_ecg_filter": ["ECGFilter"],
        "_filter": ["filter_ecg"],
        "_mains": ["find_mains"],
        "_pacing": ["remove_pacing_spikes"],
        "_peaks": ["find_r_peaks"],
        "_resample": ["resample_ecg"],
        "_scale": ["LeadScaler", "scale_leads"],
    },
)
