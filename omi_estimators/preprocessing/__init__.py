"""From waveform to waveform: filtering, the median beat, and scaling; and how good a waveform is."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_average": ["NoBeatError"],
        "_base": ["UnusableRecordWarning"],
        "_beat": ["MedianBeat", "median_beat"],
        "_ecg_filter": ["ECGFilter"],
        "_filter": ["filter_ecg"],
        "_limb_leads": ["limb_lead_reversal"],
        "_mains": ["find_mains"],
        "_mask": ["BadLeadMasker"],
        "_pacing": ["remove_pacing_spikes"],
        "_peaks": ["find_r_peaks"],
        "_records": ["Judgement", "Usable", "judge"],
        "_quality": ["RecordQuality", "signal_quality"],
        "_quality_table": ["quality_features", "quality_names"],
        "_resample": ["resample_ecg"],
        "_scale": ["LeadScaler", "scale_leads"],
        "_signal_quality": ["SignalQuality", "usable_records"],
    },
)
