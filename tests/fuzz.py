"""A long campaign of malformed inputs: `python tests/fuzz.py` tries a hundred thousand and prints what they came to.

Ends with status 1 if one of them came to anything but a good result or a documented exception.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from malformed import TARGETS, Tally, try_input
from malformed_models import EVERYTHING

# Between rounds hypothesis forgets, and memory is looked at. A process may need the first ones to load and fit
# everything.
WARM_ROUNDS = 3
MOST_GROWTH = 64.0
# What one input may take beside all that is loaded; the readers promise to hold at most 1 GiB of samples.
MOST_ADDRESS_SPACE = 4 * 2**30


def resident_mb() -> float:
    """Return the memory that this process has now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def limit_memory() -> None:
    """Have the operating system refuse this process more address space than `MOST_ADDRESS_SPACE` beyond what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + MOST_ADDRESS_SPACE, resource.RLIM_INFINITY))


def try_round(number: int, tally: Tally, targets: list[str]) -> list[str]:
    """Try a round of inputs on each target and return what went wrong, in words."""
    failures: list[str] = []
    for name in targets:
        _make_tries(name, number, tally, failures)()
    return failures


def _make_tries(name: str, number: int, tally: Tally, failures: list[str]) -> Callable[[], None]:
    """Return a function that tries the inputs of one target in one round; the same number gives the same inputs."""
    target = TARGETS[name]

    @seed(number)
    @settings(max_examples=target.share, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(drawn=target.inputs)
    def tries(drawn: Any) -> None:
        try:
            try_input(name, drawn, tally)
        # Whatever it is, it is what this looks for; the next input is tried too.
        except Exception:
            failures.append(f"{name}, round {number}:\n{traceback.format_exc()}\n{drawn!r:.1000}")
            print(failures[-1], file=sys.stderr, flush=True)

    return tries


def work(numbers: list[int], targets: list[str], results: Any) -> None:
    """Try rounds and put tally, failures and memory after each round into a queue."""
    tally, failures, memory = Tally(), [], []
    for done, number in enumerate(numbers):
        if done == WARM_ROUNDS:
            limit_memory()
        failures += try_round(number, tally, targets)
        memory.append(resident_mb())
        print(f"round {number}: {tally.outcomes.total()} inputs, {memory[-1]:.0f} MB", file=sys.stderr, flush=True)
    results.put((tally, failures, memory))


def main() -> int:
    """Run the campaign and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="at least so many are tried")
    parser.add_argument("--target", default="", help="try those alone whose name begins so, such as read_ecg")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes")
    parser.add_argument("--seed", type=int, default=0, help="another one draws other inputs")
    args = parser.parse_args()
    targets = [name for name in TARGETS if name.startswith(args.target)]
    if not targets:
        parser.error(f"no target's name begins with {args.target!r}; there are {', '.join(TARGETS)}")
    n_rounds = -(-args.inputs // sum(TARGETS[name].share for name in targets))
    numbers = [args.seed * 1_000_000 + number for number in range(n_rounds)]
    os.environ[EVERYTHING] = "1"
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [
        context.Process(target=work, args=(numbers[job :: args.jobs], targets, results)) for job in range(args.jobs)
    ]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    found: list[Any] = []
    while len(found) < len(workers):
        with suppress(Empty):
            found.append(results.get(timeout=1))
        if dead := [worker for worker in workers if worker.exitcode not in (None, 0)]:
            print(f"a process has died with {dead[0].exitcode} (below 0: of that signal); its last round is above")
            return 1
    for worker in workers:
        worker.join()
    return report(found, time.perf_counter() - start)


def report(found: list[tuple[Tally, list[str], list[float]]], seconds: float) -> int:
    """Print what came of all inputs, and return 1 if something must not be."""
    outcomes = sum((tally.outcomes for tally, _, _ in found), Counter[tuple[str, str]]())
    kinds = sorted({kind for _, kind in outcomes})
    print("| tried | inputs | " + " | ".join(kinds) + " | longest, s |")
    print("|---|" + "--:|" * (len(kinds) + 2))
    for name in TARGETS:
        counts = [outcomes[name, kind] for kind in kinds]
        if not any(counts):
            continue
        longest = max(tally.slowest.get(name, 0.0) for tally, _, _ in found)
        print(f"| {name} | {sum(counts)} | " + " | ".join(map(str, counts)) + f" | {longest:.1f} |")
    totals = [sum(outcomes[name, kind] for name in TARGETS) for kind in kinds]
    print(f"| all | {sum(totals)} | " + " | ".join(map(str, totals)) + " | |")
    distinct = len(set[bytes]().union(*(tally.seen for tally, _, _ in found)))
    print(f"\n{distinct} different inputs; {seconds / 60:.0f} min, {sum(totals) / seconds:.0f} inputs a second")
    grown = False
    for _, _, memory in found:
        after = memory[min(WARM_ROUNDS, len(memory)) - 1]
        grown |= memory[-1] - after > MOST_GROWTH
        print(f"memory of a process: {after:.0f} MB after {WARM_ROUNDS} rounds, {memory[-1]:.0f} MB at the end")
    failures = [failure for _, of_process, _ in found for failure in of_process]
    print(f"{len(failures)} failures" + (", and memory has grown" if grown else ""))
    for failure in failures[:20]:
        print(f"\n{failure}")
    return int(bool(failures) or grown)


if __name__ == "__main__":
    sys.exit(main())
