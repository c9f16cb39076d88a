"""Run measurements by name; without a name, those of speed, which together take less than 15 minutes."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from omi_estimators.candidates import CANDIDATES

SPEED = (
    "start_up",
    "record_speed",
    "net_speed",
    "gpu_speed",
    "bootstrap_speed",
    "grid_search",
    "file_speed",
    "predict_speed",
    "simulator_speed",
    "scaling",
)
OTHERS = (
    "memory",
    "precision",
    "delineation",
    "fibrillation",
    "quality",
    "pacing",
    "sampling_rate",
    "features",
    "coverage",
    "promises",
    "repeats",
    "trees",
    "recalibration",
    "validation",
    "drift",
    "simulator",
    "inspection",
    "model_files",
)
SLOW = ("ptbxl_whole", "prior_correction", "recipe", "faults", "fit_simulator", "transfer", "learning_curves")


def main() -> None:
    """Parse the command line and run what it names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = (
        f"speed: {', '.join(SPEED)}; memory and accuracy, minutes each: {', '.join(OTHERS)}; slow: {', '.join(SLOW)}"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--ptbxl", "--data", metavar="DIR", help="folder of PTB-XL, for the measurements on real ECGs")
    parser.add_argument("--ludb", metavar="DIR", help="folder of LUDB, for delineation, quality, pacing, validation")
    parser.add_argument("--vendor", metavar="DIR", help="folder with muse/ and philips/, for delineation and files")
    parser.add_argument("--staff", metavar="CSV", help="ST60 by lead before and during occlusion, STAFF III")
    parser.add_argument("--peers", metavar="PYTHON", help="of an environment with other delineators (_peers.py)")
    parser.add_argument("--out", metavar="PATH", help="where fit_simulator writes hearts; folder of learning_curves")
    parser.add_argument("--cache", metavar="DIR", help="where trees and learning_curves keep beats and features")
    parser.add_argument("--json", metavar="FILE", type=Path, help="add the figures of speed to this file")
    curves = parser.add_argument_group("learning_curves")
    curves.add_argument("--models", nargs="+", default=CANDIDATES, choices=CANDIDATES, help="(default: all)")
    curves.add_argument("--sizes", nargs="*", type=int, default=(50, 100, 200, 363), help="real ECGs to train on")
    curves.add_argument("--simulated", nargs="*", type=int, default=(500, 2000, 8000), help="simulated ones")
    curves.add_argument("--splits", type=int, default=5, help="of patients, with new seeds (default: 5)")
    curves.add_argument("--width", type=int, default=16, help="of the networks (default: 16)")
    args = parser.parse_args()
    unknown = set(args.names) - {*SPEED, *OTHERS, *SLOW}
    if unknown:
        parser.error(f"no measurement is called {', '.join(sorted(unknown))}; there are {names}")
    for name in args.names or SPEED:
        print(f"\n== {name}", flush=True)
        start = time.perf_counter()
        figures = importlib.import_module(f"benchmarks.{name}").run(args)
        print(f"({time.perf_counter() - start:.0f} s)", flush=True)
        if args.json and figures:
            add(args.json, name, [asdict(figure) for figure in figures])


def add(path: Path, name: str, figures: list[dict]) -> None:
    """Put the figures of one measurement into a file, beside those of others on this machine."""
    found = json.loads(path.read_text()) if path.exists() else {}
    found["machine"] = describe_machine()
    found.setdefault("figures", {})[name] = figures
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1))


def describe_machine() -> dict[str, str]:
    """Return what figures of speed depend on."""
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), processor)
    packages = ("numpy", "scipy", "scikit-learn", "torch", "neurokit2")
    return {
        "processor": processor,
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
        "date": time.strftime("%Y-%m-%d"),
    }


if __name__ == "__main__":
    main()
