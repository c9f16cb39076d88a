"""How long `import omi_estimators` takes, beside the libraries that it does not load until they are needed."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace

from benchmarks._figures import Figure, make_figure

REPEATS = 5
MODULES = ("omi_estimators", "sklearn", "torch", "neurokit2")
_CODE = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def run(data: Namespace) -> list[Figure]:
    """Print and return the seconds of each import, in fresh processes in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in MODULES}
    for repeat in range(REPEATS + 1):
        for name in MODULES:
            command = [sys.executable, "-c", _CODE.format(name)]
            taken = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            # The first time files come from the disk.
            if repeat:
                seconds[name].append(taken)
    wanted = {"omi_estimators": "< 0.3"}
    return [make_figure(f"import {name}", "s", values, wanted.get(name, "")) for name, values in seconds.items()]
