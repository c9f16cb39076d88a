"""Intervals between the fiducial points of a beat."""

from __future__ import annotations

import numpy as np

from omi_estimators.features._beat import DelineatedBeat


def measure_intervals(beat: DelineatedBeat) -> dict[str, float]:
    """Return the intervals in ms, QTc by Bazett's and by Fridericia's formula, and the part that Tp-Te has of QT.

    Parameters
    ----------
    beat : DelineatedBeat
        What to measure.

    Returns
    -------
    dict of str to float
        NaN where a point was not found.
    """
    points = beat.points
    # A global QT ends where T has ended in every lead; that is what machines measure.
    qt = beat.ms(points.qrs_onset, points.t_latest)
    qrs = beat.ms(points.qrs_onset, points.qrs_offset)
    tpeak_tend = beat.ms(points.t_peak, points.t_offset)
    return {
        "p_duration": beat.ms(points.p_onset, points.p_offset),
        "pr_interval": beat.ms(points.p_onset, points.qrs_onset),
        "pr_segment": beat.ms(points.p_offset, points.qrs_onset),
        "qrs_duration": qrs,
        "qt_interval": qt,
        "qtc_bazett": qt / np.sqrt(beat.rr),
        "qtc_fridericia": qt / np.cbrt(beat.rr),
        "jt_interval": qt - qrs,
        "jtc_bazett": (qt - qrs) / np.sqrt(beat.rr),
        "jt_peak": beat.ms(points.qrs_offset, points.t_peak),
        "tpeak_tend": tpeak_tend,
        "tpeak_tend_qt_ratio": tpeak_tend / qt if qt else np.nan,
    }
