"""What all faults share: the faults themselves, and the judgement of what came of them."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

N_DAMAGES = 90
# Smaller than any file that is written here.
FULL_DISK_BYTES = 300
NOBODY = 65534
# Long before any file system, and long after us.
CLOCKS = {"long ago": 0.0, "in the future": 4e9}
# Children have all modules loaded, so that a kill meets work and not imports.
FORK = multiprocessing.get_context("fork")
# What the records themselves are warned about comes without faults too.
_ABOUT_FAULTS = ("damaged", "cache", "cannot be written", "is ignored")


def judge(work: Callable[[], Any], expected: Any) -> str:
    """Return in words how work ended."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = work()
        except Exception as error:  # the kind of error is what is measured
            return type(error).__name__
    caught = [item for item in caught if any(words in str(item.message) for words in _ABOUT_FAULTS)]
    right = np.array_equal(result, expected, equal_nan=True)
    return ("right" if right else "wrong") + (", with a warning" if caught else "")


def show(fault: str, outcomes: Counter[str]) -> None:
    """Print a fault, how often it was injected, and its outcomes."""
    print(f"  {fault:50} {outcomes.total():4}: {', '.join(f'{n} {name}' for name, n in sorted(outcomes.items()))}")


def damage(content: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """Return a file's content with one bit flipped, cut off, or 64 bytes zero, at a random place."""
    place = int(rng.integers(len(content)))
    if kind == "truncated":
        return content[:place]
    spoilt = bytearray(content)
    if kind == "flipped":
        spoilt[place] ^= 1 << int(rng.integers(8))
    else:
        spoilt[place : place + 64] = bytes(len(spoilt[place : place + 64]))
    return bytes(spoilt)


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file of this process grow beyond a few bytes; writing on is an OSError, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_DISK_BYTES, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody, not the administrator either, make a file in a folder."""
    is_root = os.geteuid() == 0
    # Whoever is not root needs a way to the folder.
    closed = [path for path in folder.parents if is_root and not path.stat().st_mode & 0o001]
    modes = {path: path.stat().st_mode for path in (folder, *closed)}
    for path in closed:
        path.chmod(modes[path] | 0o011)
    folder.chmod(0o555)
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        for path, mode in modes.items():
            path.chmod(mode)


def set_clock(folder: Path, seconds: float) -> None:
    """Let all files and folders below a folder have been changed at a time."""
    for path in folder.rglob("*"):
        os.utime(path, (seconds, seconds))


def kill_after(seconds: float, target: Callable[..., None], *args: Any) -> None:
    """Start a process and end it by SIGKILL."""
    process = FORK.Process(target=target, args=args)
    process.start()
    time.sleep(seconds)
    process.kill()
    process.join()
