"""Training and prediction of ECG-SMART-NET on a GPU, beside plain eager PyTorch loops on the same network and device.

Both sides run in turn in one process with the same batches, the data on the device from the beginning. Ours is shown in
bfloat16 (the default on a GPU that has it), in float32, and with `compile=True`.
"""

from __future__ import annotations

import functools
from argparse import Namespace

import numpy as np
import torch

from benchmarks._figures import Figure, make_figure
from benchmarks.net_speed import measure, predict_by_hand, ratios, train_by_hand
from omi_estimators import ECGSmartNetClassifier
from omi_estimators.networks import ECGSmartNet

N_RECORDS = 10_000
N_EPOCHS = 3
BATCH_SIZE = 256
REPEATS = 3
OURS = {
    "ours": {},
    "ours, float32": {"mixed_precision": False},
    "ours, compiled": {"compile": True},
}


def run(data: Namespace) -> list[Figure]:
    """Print and return records per second and ratios."""
    if not torch.cuda.is_available():
        print("  no GPU here")
        return []
    print(f"  {torch.cuda.get_device_name()}")
    return compare(torch.device("cuda"), N_RECORDS)


def compare(device: torch.device, n_records: int) -> list[Figure]:
    """Return the figures on a device."""
    X = np.random.default_rng(0).normal(size=(n_records, 12, 200)).astype(np.float32)
    y = np.arange(n_records) % 2
    shared = {"n_members": 1, "max_epochs": N_EPOCHS, "batch_size": BATCH_SIZE, "balance": None}
    ours = {
        name: ECGSmartNetClassifier(**shared, device=str(device), random_state=0, **params)
        for name, params in OURS.items()
    }
    sides = {name: functools.partial(classifier.fit, X, y) for name, classifier in ours.items()}
    plain = functools.partial(train_by_hand, X, y, torch.contiguous_format, device, N_EPOCHS, BATCH_SIZE)
    figures = report("training", measure(sides | {"plain loop": plain}, REPEATS, device), n_records * N_EPOCHS)
    network = ECGSmartNet().eval().to(device)
    sides = {name: functools.partial(classifier.predict_proba, X) for name, classifier in ours.items()}
    plain = functools.partial(predict_by_hand, network, X, BATCH_SIZE, device)
    return figures + report("prediction", measure(sides | {"plain loop": plain}, REPEATS, device), n_records)


def report(title: str, times: dict[str, list[float]], n_records: int) -> list[Figure]:
    """Return records per second of all sides, and the ratios to the plain loop."""
    figures = [
        make_figure(f"{title}: {name}", "records/s", n_records / np.array(seconds)) for name, seconds in times.items()
    ]
    for name in OURS:
        figures.append(
            make_figure(f"{title}: {name} against the plain loop", "times", ratios(times, "plain loop", name))
        )
    return figures
