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

SPEED = (
    "start_up",
    "record_speed",
    "net_speed",
    "gpu_speed",
    "bootstrap_speed",
    "grid_search",
    "file_speed",
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
    "recalibration",
    "validation",
    "drift",
    "simulator",
    "inspection",
)
SLOW = ("ptbxl_whole", "prior_correction", "recipe", "faults", "fit_simulator", "transfer")


def main() -> None:
    """Parse the command line and run what it names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = (
        f"speed: {', '.join(SPEED)}; memory and accuracy, minutes each: {', '.join(OTHERS)}; slow: {', '.join(SLOW)}"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--ptbxl", metavar="DIR", help="folder of PTB-XL, for the measurements on real ECGs")
    parser.add_argument("--ludb", metavar="DIR", help="folder of LUDB, for delineation, quality, pacing, validation")
    parser.add_argument("--vendor", metavar="DIR", help="folder with muse/ and philips/, for delineation and files")
    parser.add_argument("--staff", metavar="CSV", help="ST60 by lead before and during occlusion, STAFF III")
    parser.add_argument("--peers", metavar="PYTHON", help="of an environment with other delineators (_peers.py)")
    parser.add_argument("--out", metavar="CSV", help="where fit_simulator writes the population of normal hearts")
    parser.add_argument("--json", metavar="FILE", type=Path, help="add the figures of speed to this file")
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
