"""Time and memory of loading as many records as the whole of PTB-XL has, 21,799, from a subset named over and over.

Each measurement runs in a process of its own. Linux only.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks._figures import Figure, make_figure

N_RECORDS = 21_799


def run(data: Namespace) -> list[Figure]:
    """Print and return seconds and the most memory."""
    if data.ptbxl is None:
        print("  needs --ptbxl")
        return []
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        enlarge(Path(data.ptbxl).resolve(), Path(folder))
        for name, mmap_path in (("in memory", ""), ("as a memory map", str(Path(folder, "X.npy")))):
            command = [sys.executable, "-m", "benchmarks.ptbxl_whole", folder, mmap_path]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            seconds, gigabytes, shape = float(printed[0]), float(printed[1]), printed[2]
            figures.append(make_figure(f"load_ptbxl, {shape} {name}", "s", [seconds]))
            figures.append(make_figure(f"load_ptbxl, {shape} {name}: allocated at most", "GB", [gigabytes], "< 24"))
    return figures


def enlarge(subset: Path, folder: Path) -> None:
    """Make a folder like PTB-XL's, whose database names the records of a subset until there are enough."""
    table = pd.read_csv(subset / "ptbxl_database.csv")
    many = table.iloc[np.arange(N_RECORDS) % len(table)].assign(ecg_id=np.arange(1, N_RECORDS + 1))
    many.to_csv(folder / "ptbxl_database.csv", index=False)
    for name in ("scp_statements.csv", "records500"):
        (folder / name).symlink_to(subset / name)


def load(folder: str, mmap_path: str) -> None:
    """Load, and print seconds, the most anonymous memory in GB, and the shape."""
    import resource

    from omi_estimators.datasets import load_ptbxl

    start = time.perf_counter()
    X = load_ptbxl(folder, "mi_vs_rest", n_jobs=2, mmap_path=mmap_path or None).X
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    # Pages of a map count as resident while there is room for these; the system takes them back as it needs.
    mapped = X.nbytes if mmap_path else 0
    print(seconds, max(0, peak - mapped) / 1e9, "x".join(map(str, X.shape)))


if __name__ == "__main__":
    load(sys.argv[1], sys.argv[2])
