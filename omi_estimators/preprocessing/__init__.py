"""From waveform to waveform: filtering, the median beat, and scaling; and how good a waveform is."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "_average": ["AverageBeat", "BeatShapeWarning", "NoBeatError", "average_beats", "warn_of_shapes"],
        "_beat": ["MedianBeat", "median_beat"],
        "_ecg_filter": ["ECGFilter"],
        "_filter": ["filter_ecg", "find_mains"],
        "_limb_leads": ["limb_lead_reversal"],
        "_mask": ["BadLeadMasker"],
        "_pacing": ["LEAST_PACING_RATE", "remove_pacing_spikes"],
        "_peaks": ["find_r_peaks"],
        "_rate": ["SamplingRateWarning", "likely_sampling_rate", "rate_evidence", "warn_of_rate"],
        "_records": [
            "Judgement",
            "Measured",
            "RecordTransformer",
            "UnusableRecordWarning",
            "Usable",
            "check_usable",
            "find_fault",
            "judge",
            "measure_steps",
            "report_unusable",
        ],
        "_resample": ["cut_windows", "fill_gaps", "recorded_span", "resample_ecg"],
        "_scale": ["LeadScaler", "scale_leads"],
        "_signal_quality": [
            "LEAST_QUALITY_RATE",
            "RecordQuality",
            "SignalQuality",
            "quality_features",
            "quality_names",
            "signal_quality",
            "usable_records",
        ],
    },
)
