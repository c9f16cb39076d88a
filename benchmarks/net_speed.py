"""Training and prediction of ECG-SMART-NET against plain eager PyTorch loops on the same network.

Both sides run in turn in one process, with the same batches, the same optimizer and the same number of
threads; what is quoted is the ratio of medians. The plain loop is what a research script does: default
memory layout, batch normalisation as it is. The bare loop has our memory layout and shows our overhead. Ours is shown
in float32, the default on a CPU, and in bfloat16 (`mixed_precision=True`).
"""

from __future__ import annotations

import functools
import statistics
import time
from argparse import Namespace

import numpy as np
import torch
from sklearn.base import clone

from omi_estimators import ECGSmartNetClassifier
from omi_estimators.networks import ECGSmartNet

N_RECORDS = 256
N_EPOCHS = 2
BATCH_SIZE = 64
REPEATS = 5
PREDICTION_REPEATS = 15
PREDICTION_BATCH_SIZES = (32, 64, 256)


def run(data: Namespace) -> None:
    """Print the ratios."""
    torch.set_num_threads(min(4, torch.get_num_threads()))
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_RECORDS, 12, 200)).astype(np.float32)
    y = np.arange(N_RECORDS) % 2
    exact = ECGSmartNetClassifier(
        max_epochs=N_EPOCHS,
        batch_size=BATCH_SIZE,
        balance=None,
        early_stopping=False,
        n_threads=torch.get_num_threads(),
        device="cpu",
        random_state=0,
    )
    # Faster only where the processor has bfloat16 arithmetic, which not all have.
    reduced = clone(exact).set_params(mixed_precision=True)
    ours = {"ours": exact, "ours, bfloat16": reduced}
    sides = {name: functools.partial(classifier.fit, X, y) for name, classifier in ours.items()}
    sides["plain loop"] = lambda: train_by_hand(X, y, torch.contiguous_format)
    sides["bare loop, channels last"] = lambda: train_by_hand(X, y, torch.channels_last)
    times = measure(sides, REPEATS)
    report("training", times, list(ours), N_RECORDS * N_EPOCHS)
    print(f"overhead over the bare loop: {ratio(times, 'ours', 'bare loop, channels last') - 1:+.1%}")
    reduced.net_ = exact.net_
    network = ECGSmartNet().eval()
    network.load_state_dict(exact.net_.module_.state_dict())
    sides = {name: functools.partial(classifier.predict_proba, X) for name, classifier in ours.items()}
    for size in PREDICTION_BATCH_SIZES:
        sides[f"plain loop, batches of {size}"] = functools.partial(predict_by_hand, network, X, size)
    report("prediction", measure(sides, PREDICTION_REPEATS), list(ours), N_RECORDS)
    difference = np.abs(reduced.predict_proba(X) - exact.predict_proba(X)).max()
    print(f"largest change of a probability by bfloat16: {difference:.4f}")


def train_by_hand(X: np.ndarray, y: np.ndarray, memory_format: torch.memory_format) -> None:
    """Train as a research script does."""
    network = ECGSmartNet().to(memory_format=memory_format).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=1e-2)
    loss_function = torch.nn.CrossEntropyLoss()
    records = torch.from_numpy(X).unsqueeze(1)
    labels = torch.from_numpy(y)
    for _ in range(N_EPOCHS):
        for index in torch.randperm(len(records)).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = loss_function(network(records[index]), labels[index])
            loss.backward()
            optimizer.step()
            loss.item()


def predict_by_hand(network: torch.nn.Module, X: np.ndarray, batch_size: int) -> np.ndarray:
    """Predict as a research script does."""
    records = torch.from_numpy(X).unsqueeze(1)
    with torch.no_grad():
        return torch.cat([network(batch).softmax(dim=1) for batch in records.split(batch_size)]).numpy()


def measure(sides: dict, repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each side, run in turn after one warm-up."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            if repeat:
                times[name].append(time.perf_counter() - start)
    return times


def ratio(times: dict[str, list[float]], name: str, reference: str) -> float:
    """Return how many times as long one side takes as another: the median over rounds, each of which ran both."""
    return statistics.median(a / b for a, b in zip(times[name], times[reference], strict=True))


def report(title: str, times: dict[str, list[float]], ours: list[str], n_records: int) -> None:
    """Print the times per record of all sides, and how many times as fast each of ours is as the others."""
    for name, seconds in times.items():
        low, middle, high = (1e3 * f(seconds) / n_records for f in (min, statistics.median, max))
        print(f"{title:10} {name:26} {middle:6.2f} ms a record [{low:.2f}, {high:.2f}]")
    for name in ours:
        for reference in list(times)[len(ours) :]:
            print(f"{title}: {name} {ratio(times, reference, name):.2f} times as fast as the {reference}", flush=True)
