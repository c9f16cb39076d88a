"""Run measurements by name; without a name, all that finish within minutes."""

from __future__ import annotations

import argparse
import importlib

QUICK = (
    "net_speed",
    "record_speed",
    "memory",
    "delineation",
    "quality",
    "pacing",
    "features",
    "coverage",
    "bootstrap_speed",
    "simulator",
)
SLOW = ("prior_correction", "recipe", "faults", "fit_simulator", "transfer")


def main() -> None:
    """Parse the command line and run what it names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(QUICK)}; slow: {', '.join(SLOW)}")
    parser.add_argument("--ptbxl", metavar="DIR", help="folder of PTB-XL, for the measurements on real ECGs")
    parser.add_argument("--ludb", metavar="DIR", help="folder of LUDB, for delineation, quality and pacing")
    parser.add_argument("--vendor", metavar="DIR", help="folder that holds muse/, files of GE MUSE, for delineation")
    parser.add_argument("--staff", metavar="CSV", help="ST60 by lead before and during occlusion, STAFF III")
    parser.add_argument("--out", metavar="CSV", help="where fit_simulator writes the population of normal hearts")
    args = parser.parse_args()
    unknown = set(args.names) - {*QUICK, *SLOW}
    if unknown:
        parser.error(f"no measurement is called {', '.join(sorted(unknown))}; there are {', '.join((*QUICK, *SLOW))}")
    for name in args.names or QUICK:
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").run(args)


if __name__ == "__main__":
    main()
