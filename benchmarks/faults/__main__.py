"""The process that `report_fit` kills: python -m benchmarks.faults OUT [CHECKPOINTS]."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.faults._fit import fit_and_save

fit_and_save(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
