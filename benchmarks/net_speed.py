"""Training and prediction of ECG-SMART-NET against plain eager PyTorch loops on the same network.

Both sides run in turn in one process, with the same batches, the same optimizer and the same number of
threads; what is quoted is the ratio of medians. The plain loop is what a research script does: default
memory layout, batch normalisation as it is. The bare loop has our memory layout and shows our overhead. Ours is shown
in float32, the default on a CPU, and, where the processor has arithmetic for it, in bfloat16 (`mixed_precision=True`).
"""

from __future__ import annotations

import functools
import statistics
import time
from argparse import Namespace

import numpy as np
import torch
from sklearn.base import clone

from benchmarks._figures import Figure, make_figure
from omi_estimators import ECGSmartNetClassifier
from omi_estimators.classifiers._machine import has_bfloat16
from omi_estimators.networks import ECGSmartNet

# So many for prediction, half of them for training.
N_RECORDS = 256
N_EPOCHS = 4
BATCH_SIZE = 64
REPEATS = 4
PREDICTION_REPEATS = 7
SINGLE_REPEATS = 25
PREDICTION_BATCH_SIZES = (32, 64, 256)
# Multiplications and additions of ECG-SMART-NET for one 12 x 200 beat; backwards takes about twice as much again.
GFLOP_FORWARD, GFLOP_TRAINING = 0.92, 2.8


def run(data: Namespace) -> list[Figure]:
    """Print and return the ratios."""
    torch.set_num_threads(min(4, torch.get_num_threads()))
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_RECORDS, 12, 200)).astype(np.float32)
    y = np.arange(N_RECORDS) % 2
    exact = ECGSmartNetClassifier(
        n_members=1,
        max_epochs=N_EPOCHS,
        batch_size=BATCH_SIZE,
        balance=None,
        early_stopping=False,
        n_threads=torch.get_num_threads(),
        device="cpu",
        random_state=0,
    )
    reduced = clone(exact).set_params(mixed_precision=True)
    ours = {"ours": exact}
    if has_bfloat16():
        ours["ours, bfloat16"] = reduced
    half = X[: N_RECORDS // 2], y[: N_RECORDS // 2]
    sides = {name: functools.partial(classifier.fit, *half) for name, classifier in ours.items()}
    sides["plain loop"] = lambda: train_by_hand(*half, torch.contiguous_format)
    sides["bare loop, channels last"] = lambda: train_by_hand(*half, torch.channels_last)
    times = measure(sides, REPEATS)
    limit = measure_sgemm()
    figures = [make_figure(f"sgemm, {torch.get_num_threads()} threads", "GFLOP/s", limit)]
    figures += report("training", times, len(half[0]) * N_EPOCHS, GFLOP_TRAINING, statistics.median(limit))
    overhead = 100 * (ratios(times, "ours", "bare loop, channels last") - 1)
    figures.append(make_figure("training: overhead over the bare loop", "%", overhead, "<= 5"))
    reduced.nets_ = exact.nets_
    network = ECGSmartNet().eval()
    network.load_state_dict(exact.net_.module_.state_dict())
    sides = {name: functools.partial(classifier.predict_proba, X) for name, classifier in ours.items()}
    for size in PREDICTION_BATCH_SIZES:
        sides[f"plain loop, batches of {size}"] = functools.partial(predict_by_hand, network, X, size)
    times = measure(sides, PREDICTION_REPEATS)
    figures += report("prediction", times, N_RECORDS, GFLOP_FORWARD, statistics.median(limit))
    figures += measure_single(exact, X)
    if has_bfloat16():
        difference = np.abs(reduced.predict_proba(X) - exact.predict_proba(X)).max()
        figures.append(make_figure("largest change of a probability by bfloat16", "", [difference]))
    return figures


def measure_single(classifier: ECGSmartNetClassifier, X: np.ndarray) -> list[Figure]:
    """Return how much more a record costs that is asked for alone than one of a batch of 32, by width."""
    figures = []
    for width in (64, 16):
        if width != classifier.width:
            narrow = clone(classifier).set_params(width=width, max_epochs=1)
            classifier = narrow.fit(X[:32], np.arange(32) % 2)
        sides = {str(size): functools.partial(classifier.predict_proba, X[:size]) for size in (1, 32)}
        times = measure(sides, SINGLE_REPEATS)
        ratio = 32 * ratios(times, "1", "32")
        figures.append(make_figure(f"single record, width {width}", "ms", 1e3 * np.array(times["1"])))
        figures.append(make_figure(f"single record against one of 32, width {width}", "times", ratio, "<= 2"))
    return figures


def train_by_hand(
    X: np.ndarray,
    y: np.ndarray,
    memory_format: torch.memory_format,
    device: torch.device | str = "cpu",
    n_epochs: int = N_EPOCHS,
    batch_size: int = BATCH_SIZE,
) -> None:
    """Train as a research script does."""
    network = ECGSmartNet().to(device=device, memory_format=memory_format).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=1e-2)
    loss_function = torch.nn.CrossEntropyLoss()
    records = torch.from_numpy(X).unsqueeze(1).to(device)
    labels = torch.from_numpy(y).to(device)
    for _ in range(n_epochs):
        for index in torch.randperm(len(records), device=device).split(batch_size):
            optimizer.zero_grad()
            loss = loss_function(network(records[index]), labels[index])
            loss.backward()
            optimizer.step()
            loss.item()


def predict_by_hand(
    network: torch.nn.Module, X: np.ndarray, batch_size: int, device: torch.device | str = "cpu"
) -> np.ndarray:
    """Predict as a research script does."""
    records = torch.from_numpy(X).unsqueeze(1).to(device)
    with torch.no_grad():
        return torch.cat([network(batch).softmax(dim=1) for batch in records.split(batch_size)]).cpu().numpy()


def measure(sides: dict, repeats: int, device: torch.device | None = None) -> dict[str, list[float]]:
    """Return the seconds of each side, run in turn after one warm-up; a GPU has then finished its queue."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            if device is not None and device.type == "cuda":
                torch.cuda.synchronize(device)
            if repeat:
                times[name].append(time.perf_counter() - start)
    return times


def measure_sgemm() -> list[float]:
    """Return the GFLOP/s of a large product of float32 matrices: what this machine can do at most."""
    size = 2048
    a, b = torch.rand(size, size), torch.rand(size, size)
    seconds = measure({"sgemm": lambda: a @ b}, 7)["sgemm"]
    return [2 * size**3 / 1e9 / taken for taken in seconds]


def ratios(times: dict[str, list[float]], name: str, reference: str) -> np.ndarray:
    """Return how many times as long one side takes as another, for each round, which ran both."""
    return np.divide(times[name], times[reference])


def report(title: str, times: dict[str, list[float]], n_records: int, gflop: float, limit: float) -> list[Figure]:
    """Return the times per record of all sides, how much of the limit ours reach, and how they stand to the others."""
    wanted = {"training": ">= 1.2", "prediction": ">= 1.3"}[title]
    ours = [name for name in times if name.startswith("ours")]
    figures = [
        make_figure(f"{title}: {name}", "ms a record", 1e3 * np.divide(s, n_records)) for name, s in times.items()
    ]
    reached = 100 * gflop * n_records / np.array(times["ours"]) / limit
    figures.append(make_figure(f"{title}: share of sgemm's GFLOP/s that ours reaches", "%", reached))
    for name in ours:
        for reference in [name for name in times if name.startswith("plain")]:
            faster = ratios(times, reference, name)
            figures.append(make_figure(f"{title}: {name} against the {reference}", "times", faster, wanted))
    return figures
