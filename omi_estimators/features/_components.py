"""How far the leads of a beat keep to few directions, and how large they are together."""

from __future__ import annotations

import numpy as np

from omi_estimators.features._beat import DelineatedBeat

RATIO_PARTS = ("beat", "qrs", "st", "stt", "t")
DIPOLE_PARTS = ("beat", "qrs", "j", "st", "stt", "t")


def measure_components(beat: DelineatedBeat) -> dict[str, float]:
    """Measure principal components and the root mean square over leads.

    Parameters
    ----------
    beat : DelineatedBeat
        Of which the leads that are present are used.

    Returns
    -------
    dict of str to float
        ``pca_ratio_*``: second over first eigenvalue of the leads' products, in percent; ``nondipolar_*`` and
        ``nondipolar_energy_*``: what lies beyond three components, which a single dipole would not give, in percent
        of the energy and as root mean square in mV, for more than three leads; ``rms_*``: root mean square over
        leads and time, in mV; ``rms_minimum`` and ``rms_variance`` (mV²): of the root mean square over leads in
        the course of the beat.
    """
    leads = beat.leads[beat.present]
    over_leads = np.sqrt(np.mean(leads**2, axis=0))
    measured = {"rms_minimum": float(over_leads.min()), "rms_variance": float(over_leads.var())}
    for part, (start, stop) in beat.parts().items():
        signal = leads[:, start:stop]
        if signal.size == 0:
            continue
        measured[f"rms_{part}"] = float(np.sqrt(np.mean(signal**2)))
        energies = np.maximum(np.linalg.eigvalsh(signal @ signal.T)[::-1], 0)
        if energies[0] <= 1e-12:
            continue
        if len(energies) > 1:
            measured[f"pca_ratio_{part}"] = float(100 * energies[1] / energies[0])
        if len(energies) > 3:
            beyond = float(energies[3:].sum())
            measured[f"nondipolar_{part}"] = 100 * beyond / float(energies.sum())
            measured[f"nondipolar_energy_{part}"] = float(np.sqrt(beyond / signal.size))
    return measured
