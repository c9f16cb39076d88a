"""Simulated ECGs per second on one core, against NeuroKit2's simulator lead by lead."""

from __future__ import annotations

import time
from argparse import Namespace

import neurokit2
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks._figures import Figure, make_figure
from omi_estimators.datasets import make_omi_ecgs

N_PATIENTS = 150
N_NAIVE = 3
REPEATS = 5


def run(data: Namespace) -> list[Figure]:
    """Print and return records per second and the ratio."""
    ours, naive = [], []
    with threadpool_limits(1):
        for repeat in range(REPEATS + 1):
            start = time.perf_counter()
            n_records = len(make_omi_ecgs(n_patients=N_PATIENTS, random_state=repeat).y)
            middle = time.perf_counter()
            for seed in range(N_NAIVE):
                simulate_by_neurokit(seed)
            # The first time libraries load.
            if repeat:
                ours.append(n_records / (middle - start))
                naive.append(N_NAIVE / (time.perf_counter() - middle))
    return [
        make_figure("make_omi_ecgs, 10 s at 500 Hz", "records/s", ours, ">= 100"),
        make_figure("neurokit2.ecg_simulate, twelve leads", "records/s", naive),
        make_figure("make_omi_ecgs against it", "times", np.divide(ours, naive)),
    ]


def simulate_by_neurokit(seed: int) -> None:
    """Simulate one record of twelve leads."""
    neurokit2.ecg_simulate(duration=10, sampling_rate=500, method="multileads", random_state=seed)
