"""What torch computes on: the device, its precision, its threads, and its one random generator."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

# More threads than this hardly speed up a network of this size.
_MOST_THREADS = 4

_FIXING = threading.Lock()
_FIXED = threading.local()
# The number that threads inside `fixed_threads` found outside, once for each of them.
_FOUND: list[int] = []

_SEEDING = threading.RLock()


def find_device(device: str | torch.device) -> torch.device:
    """Return the device that is meant; "auto" is a CUDA GPU if there is one, else the CPU.

    Raises
    ------
    ValueError
        If the device is unknown or not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here ({str(error).splitlines()[0]}); try device='auto' or 'cpu'."
        ) from error
    return found


def find_autocast_dtype(mixed_precision: bool | str, device: torch.device) -> torch.dtype | None:
    """Return the reduced precision to compute in: "auto" takes bfloat16 on a GPU that has it."""
    if mixed_precision == "auto":
        mixed_precision = device.type == "cuda" and torch.cuda.is_bf16_supported()
    if not mixed_precision:
        return None
    if device.type == "cpu" and not has_bfloat16():
        warnings.warn(
            "mixed_precision=True computes in bfloat16, which this processor has no arithmetic for: it will take "
            'many times as long as float32. Set mixed_precision="auto".',
            UserWarning,
            stacklevel=4,
        )
    return torch.bfloat16


def has_bfloat16() -> bool:
    """Return whether bfloat16 is not hopelessly slow on this processor: x86 without AVX-512 has to emulate it."""
    return torch.backends.cpu.get_cpu_capability() != "AVX2"


def count_threads(n_threads: int | None) -> int:
    """Return the number of threads that is meant; None is one for each core, up to a few."""
    return n_threads or min(_MOST_THREADS, os.cpu_count() or 1)


@contextmanager
def fixed_threads(n_threads: int | None) -> Iterator[None]:
    """Compute with a number of threads that does not depend on where this runs.

    Sums in float32 depend on the number of threads, and joblib gives its workers fewer than it has
    itself: left to that, `n_jobs` would change the network that comes out.
    """
    outermost = not getattr(_FIXED, "inside", False)
    with _FIXING:
        # torch keeps a number for each thread of Python, which begins, when first asked for, with what was last set in
        # any other: so it is asked for here, and not believed while others are in here.
        before = torch.get_num_threads()
        before = _FOUND[0] if outermost and _FOUND else before
        if outermost:
            _FOUND.append(before)
        torch.set_num_threads(count_threads(n_threads))
    _FIXED.inside = True
    try:
        yield
    finally:
        _FIXED.inside = not outermost
        with _FIXING:
            if outermost:
                _FOUND.pop()
            torch.set_num_threads(before)


@contextmanager
def seeded_torch(rng: np.random.Generator, device: torch.device) -> Iterator[None]:
    """Seed torch's global generator inside the block, for one thread at a time, and give its state back after it."""
    with _SEEDING, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(rng.integers(2**31)))
        yield
