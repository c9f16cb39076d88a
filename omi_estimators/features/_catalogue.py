"""Everything that is measured, in one table: name, group, unit, meaning."""

from __future__ import annotations

from typing import NamedTuple

from omi_estimators.features._measures import BANDS, DIPOLE_PARTS, RATIO_PARTS
from omi_estimators.features._vectors import USUAL_T, VECTORS
from omi_estimators.leads import LEADS, TERRITORIES


class Measure(NamedTuple):
    """One measurement.

    Attributes
    ----------
    name : str
        Of the column, or its beginning, if there is one column for each lead: ``st80`` for ``st80_V2``.
    group : str
        Of `GROUPS`.
    unit : str
        Such as "ms", "mV"; "1" without a unit.
    meaning : str
        In words.
    scope : {"record", "standard", "lead"}
        One value for a record; one value that needs the twelve leads; one for each lead.
    since : int
        The first version of the catalogue that has it: a model fitted on an earlier one goes without.
    """

    name: str
    group: str
    unit: str
    meaning: str
    scope: str = "record"
    since: int = 1


# Raised whenever measures are added; these say the new number as `since`.
CATALOGUE_VERSION = 2


GROUPS = (
    "rhythm",
    "intervals",
    "axes",
    "amplitudes",
    "q_wave",
    "st",
    "t_wave",
    "vcg",
    "pca",
    "spectrum",
    "scores",
    "quality",
)
"""The groups of features that are measured by default, as `include` of `NeuroKitFeatures` names them."""
NEUROKIT_GROUPS = ("hrv_time", "hrv_other", "neurokit")
"""Groups of NeuroKit2's own indices, measured where `include` names them."""
# Those that ten seconds allow; of the other domains those that some records of ten seconds have.
_HRV_TIME = (
    "MeanNN SDNN RMSSD SDSD CVNN CVSD MedianNN MadNN MCVNN IQRNN SDRMSSD Prc20NN Prc80NN pNN50 pNN20 MinNN MaxNN HTI "
    "TINN"
)
_HRV_OTHER = (
    "HF VHF TP HFn LnHF SD1 SD2 SD1SD2 S CSI CVI CSI_Modified PIP IALS PSS PAS GI SI AI PI C1d C1a SD1d SD1a C2d C2a "
    "SD2d SD2a Cd Ca SDNNd SDNNa DFA_alpha1 ApEn SampEn ShanEn FuzzyEn CD HFD KFD LZC"
)
_PARTS = {
    "beat": "whole beat",
    "qrs": "QRS",
    "j": "J ± 20 ms",
    "st": "ST, to half-way from J to the T peak",
    "stt": "ST and T",
    "t": "T",
}
_VECTOR_WORDS = {
    "qrs": "mean QRS vector",
    "qrs_initial40": "mean vector of the first 40 ms of QRS",
    "qrs_terminal40": "mean vector of the last 40 ms of QRS",
    "st60": "vector 60 ms after J",
    "t": "mean T vector",
    "gradient": "ventricular gradient (QRST)",
}
_AXIS_WORDS = {"p": "P", "qrs": "QRS", "st": "ST (J to J + 60 ms)", "t": "T"}


def _lead(group: str, unit: str, **meanings: str) -> list[Measure]:
    return [Measure(name, group, unit, meaning, "lead") for name, meaning in meanings.items()]


def _record(group: str, unit: str, **meanings: str) -> list[Measure]:
    return [Measure(name, group, unit, meaning) for name, meaning in meanings.items()]


def _standard(group: str, unit: str, **meanings: str) -> list[Measure]:
    return [Measure(name, group, unit, meaning, "standard") for name, meaning in meanings.items()]


CATALOGUE: tuple[Measure, ...] = (
    *_record("rhythm", "1/min", heart_rate="from the mean RR interval"),
    *_record("rhythm", "1", rr_range_ratio="longest minus shortest RR interval, over the mean"),
    *_record("rhythm", "ms", hrv_sdnn="SD of RR intervals", hrv_rmssd="root mean square of successive RR differences"),
    *_record("rhythm", "1", paced="spikes of a pacemaker (0 or 1)"),
    *(
        Measure(name, "rhythm", "1", meaning, since=2)
        for name, meaning in {
            "atrial_fibrillation": "probability of atrial fibrillation or flutter",
            "n_morphologies": "shapes of QRS complexes that at least two beats have",
            "dominant_fraction": "share of the beats that were averaged: of the heart's own shape, neither early nor "
            "noisy",
        }.items()
    ),
    *_record("rhythm", "%", hrv_pnn50="successive RR differences above 50 ms"),
    *_lead(
        "rhythm",
        "mV",
        beat_sd="SD from beat to beat, QRS onset to T end",
        qrs_sd="SD from beat to beat, QRS",
        stt_sd="SD from beat to beat, ST and T",
    ),
    *_record(
        "intervals",
        "ms",
        p_duration="P onset to P end",
        pr_interval="P onset to QRS onset",
        pr_segment="P end to QRS onset",
        qrs_duration="QRS onset to J",
        qt_interval="QRS onset to where T has ended in all leads",
        qtc_bazett="QT over the square root of RR in s",
        qtc_fridericia="QT over the cube root of RR in s",
        jt_interval="QT without QRS",
        jtc_bazett="JT over the square root of RR in s",
        jt_peak="J to T peak",
        tpeak_tend="T peak to T end, in the middle of the leads",
    ),
    *_record("intervals", "1", tpeak_tend_qt_ratio="T peak to T end, over QT"),
    *_lead("intervals", "ms", activation_time="QRS onset to the peak of R, or R'"),
    *(
        Measure(f"{wave}_axis{plane}", "axes", "degrees", f"axis of {word} in the {words} plane", "standard")
        for wave, word in _AXIS_WORDS.items()
        for plane, words in (("", "frontal"), ("_horizontal", "horizontal"))
    ),
    *_standard(
        "axes",
        "degrees",
        qrs_t_angle="between QRS and T axis, frontal plane",
        qrs_t_angle_horizontal="between QRS and T axis, horizontal plane",
    ),
    *_lead("amplitudes", "mV", p_amplitude="signed, at the common P peak"),
    *_lead("amplitudes", "mV·ms", p_area="signed area of P"),
    *_lead(
        "amplitudes",
        "mV",
        r_amplitude="height of R",
        s_amplitude="depth of S, negative",
        r_prime_amplitude="height of R'",
        s_prime_amplitude="depth of S', negative",
        qrs_amplitude="QRS, peak to peak",
    ),
    *_lead("amplitudes", "ms", r_duration="duration of R", s_duration="duration of S"),
    *_lead("amplitudes", "mV·ms", r_area="area of R", s_area="area of S, negative", qrs_area="signed area of QRS"),
    *_lead("amplitudes", "1", r_qrs_ratio="R over QRS, peak to peak"),
    *_lead("q_wave", "mV", q_amplitude="depth of Q, or of QS, negative"),
    *_lead("q_wave", "ms", q_duration="duration of Q, or of QS"),
    *_lead("q_wave", "mV·ms", q_area="area of Q, or of QS, negative"),
    *_lead("q_wave", "1", q_r_ratio="depth of Q over that of Q and R together; 1 for QS"),
    *_record("st", "mV", st60_max="largest ST60 over leads", st60_min="smallest ST60 over leads"),
    *_record("st", "mV", st60_abs_sum="sum of absolute ST60 over leads"),
    *_standard(
        "st", "1", st_elevated_leads="leads with J at least 0.1 mV", st_depressed_leads="leads with J at most -0.05 mV"
    ),
    *(
        Measure(f"{name}_{territory}", "st", "mV", f"{words}, mean of {', '.join(leads)}", "standard")
        for name, words in (("st60", "ST60"), ("st_concavity", "sag of ST below the line from J to T peak"))
        for territory, leads in TERRITORIES.items()
    ),
    *_lead(
        "st",
        "mV",
        j_amplitude="at J",
        st60="60 ms after J",
        st80="80 ms after J",
        st_amplitude="median from J to J + 80 ms",
    ),
    *_lead("st", "mV/s", st_slope="from J to J + 80 ms"),
    *_lead("st", "mV·ms", st_area="signed area from J to the T peak"),
    *_record("t_wave", "1", t_asymmetry="steepest fall over steepest rise of T"),
    *_record("t_wave", "1", t_inflections="changes of curvature in T, mean over leads"),
    *_record("t_wave", "ms", t_half_width="time that T is above half its height"),
    *_record("t_wave", "mV", t_rms_amplitude="root mean square over leads at the T peak"),
    *_record(
        "t_wave",
        "degrees",
        t_dispersion="mean angle between leads in T, in the plane of its two largest components",
        t_dispersion_before_peak="the same before the T peak",
        t_dispersion_after_peak="the same after the T peak",
    ),
    *_lead(
        "t_wave",
        "mV",
        t_amplitude="signed, at the common T peak",
        t_maximum="highest point of T",
        t_minimum="lowest point of T",
    ),
    *_lead("t_wave", "mV·ms", t_area="signed area of T"),
    *_lead("t_wave", "1", t_qrs_ratio="T amplitude over QRS, peak to peak"),
    *_lead("t_wave", "ms", t_area_qrs_ratio="T area over QRS, peak to peak; large in hyperacute T waves"),
    *(
        Measure(f"vcg_{vector}_{what}", "vcg", unit, f"{words} of the {_VECTOR_WORDS[vector]}", "standard")
        for vector in VECTORS
        for what, unit, words in (
            ("azimuth", "degrees", "azimuth, forward positive,"),
            ("elevation", "degrees", "elevation, downward positive,"),
            ("magnitude", "mV·ms" if vector == "gradient" else "mV", "length"),
        )
    ),
    *(
        Measure(f"vcg_{loop}_{name}", "vcg", "1", f"{words} of the {loop.upper()} loop", "standard")
        for loop in ("qrs", "t")
        for name, words in (("planarity", "flatness (1: in one plane)"), ("roundness", "width over length"))
    ),
    *_standard(
        "vcg",
        "degrees",
        qrs_t_angle_spatial="between mean QRS and T vectors",
        qrs_t_angle_peak="between the longest QRS and T vectors",
        t_axis_deviation="between the mean T vector and where T points in health: azimuth {:g}, elevation {:g}".format(
            *USUAL_T
        ),
    ),
    *_standard("vcg", "1", tcrt="total cosine R to T"),
    *(
        Measure(f"pca_ratio_{part}", "pca", "%", f"second over first eigenvalue, {_PARTS[part]}")
        for part in RATIO_PARTS
    ),
    *(
        Measure(f"nondipolar_{part}", "pca", "%", f"energy beyond three components, {_PARTS[part]}")
        for part in DIPOLE_PARTS
    ),
    *(
        Measure(f"nondipolar_energy_{part}", "pca", "mV", f"root mean square beyond three components, {_PARTS[part]}")
        for part in DIPOLE_PARTS
    ),
    *(
        Measure(f"rms_{part}", "pca", "mV", f"root mean square over leads and time, {_PARTS[part]}")
        for part in DIPOLE_PARTS
    ),
    *_record("pca", "mV", rms_minimum="smallest root mean square over leads in the beat"),
    *_record("pca", "mV²", rms_variance="variance of the root mean square over leads in the beat"),
    *(
        Measure(f"power_{band}", "spectrum", "%", f"power from {low:g} to {high:g} Hz, of that to 100 Hz", "lead")
        for band, (low, high) in BANDS.items()
    ),
    *_standard(
        "scores",
        "1",
        selvester="Selvester QRS score, 31 points",
        lbbb="complete left bundle branch block (0 or 1)",
        rbbb="complete right bundle branch block (0 or 1)",
        stemi_criteria="ST elevation in two neighbouring leads, 0.2 mV in V2 and V3, else 0.1 mV (0 or 1)",
        four_variable="Smith's four-variable formula for subtle LAD occlusion",
        st_s_ratio="largest ST at J over S, V1 to V4 (modified Sgarbossa)",
    ),
    *_standard(
        "scores",
        "% of LV",
        aldrich_anterior="Aldrich score for anterior infarction",
        aldrich_inferior="Aldrich score for inferior infarction",
    ),
    *_standard("scores", "mV", sokolow_lyon="S in V1 and R in V5 or V6", cornell_voltage="R in aVL and S in V3"),
    *_record(
        "quality",
        "1",
        quality="signal quality of the record, 0 to 1",
        quality_worst_lead="signal quality of the worst lead, 0 to 1",
        n_bad_leads="leads missing, flat, saturated or noisy",
        missing_share="share of samples that are missing",
    ),
    *_standard("quality", "1", reversed_limb_leads="swapped limb electrodes (0 or 1)"),
    *_lead("quality", "mV", noise_level="noise above 25 Hz between the beats"),
    *(
        Measure(f"HRV_{name}", group, "as NeuroKit2", f"NeuroKit2's {name}")
        for group, names in (("hrv_time", _HRV_TIME), ("hrv_other", _HRV_OTHER))
        for name in names.split()
    ),
    *_record("neurokit", "1/min", ecg_rate="mean of NeuroKit2's ecg_rate", ecg_rate_sd="its standard deviation"),
    *_record("neurokit", "1", ecg_quality="mean of NeuroKit2's ecg_quality, likeness to the average beat"),
)


def catalogue(
    n_leads: int = len(LEADS), include: tuple[str, ...] | None = None, version: int = CATALOGUE_VERSION
) -> tuple[Measure, ...]:
    """Return the measurements of records of so many leads, in the order of their columns.

    Parameters
    ----------
    n_leads : int, default=12
        With another number than twelve, what needs the twelve leads is left out.
    include : tuple of str, optional
        Groups, of `GROUPS` and `NEUROKIT_GROUPS`; by default the former.
    version : int, optional
        Of the catalogue; by default the newest. An earlier one lacks what was added since.

    Returns
    -------
    tuple of Measure
        Each with name, group, unit, meaning and scope.

    Raises
    ------
    ValueError
        If a group is unknown.

    Examples
    --------
    >>> from omi_estimators.features import catalogue
    >>> [measure.name for measure in catalogue(include=("rhythm",))][:2]
    ['heart_rate', 'rr_range_ratio']
    """
    chosen = GROUPS if include is None else tuple(include)
    known = GROUPS + NEUROKIT_GROUPS
    unknown = [group for group in chosen if group not in known]
    if unknown:
        raise ValueError(f"there is no group of features {unknown[0]!r}; take any of {', '.join(known)}.")
    is_standard = n_leads == len(LEADS)
    return tuple(
        measure
        for measure in CATALOGUE
        if measure.group in chosen and measure.since <= version and (is_standard or measure.scope != "standard")
    )


def lead_names(n_leads: int) -> tuple[str, ...]:
    """Return what the leads of records of so many leads are called in the columns.

    Parameters
    ----------
    n_leads : int
        Twelve for those of `LEADS`.

    Returns
    -------
    tuple of str
        `LEADS`, or lead0, lead1, …
    """
    return LEADS if n_leads == len(LEADS) else tuple(f"lead{number}" for number in range(n_leads))


def feature_names(
    n_leads: int = len(LEADS), include: tuple[str, ...] | None = None, version: int = CATALOGUE_VERSION
) -> list[str]:
    """Return the names of the features of `measure_record`, in order.

    Parameters
    ----------
    n_leads : int, default=12
        With twelve leads, names end in the names of `LEADS`; with another number, in lead0, lead1, …, and
        what needs the twelve leads is left out.
    include : tuple of str, optional
        Groups, of `GROUPS` and `NEUROKIT_GROUPS`; by default the former.
    version : int, optional
        Of the catalogue; by default the newest.

    Returns
    -------
    list of str
        Names such as "qrs_duration" and "st80_V2".

    Raises
    ------
    ValueError
        If a group is unknown.

    Examples
    --------
    >>> from omi_estimators.features import feature_names
    >>> len(feature_names()), feature_names(include=("axes",))[:2]
    (561, ['p_axis', 'p_axis_horizontal'])
    """
    names: list[str] = []
    for measure in catalogue(n_leads, include, version):
        names += (
            [f"{measure.name}_{lead}" for lead in lead_names(n_leads)] if measure.scope == "lead" else [measure.name]
        )
    return names
