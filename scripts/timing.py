"""Timing for the benchmarks of this folder."""

import statistics
import time
from collections.abc import Callable


def seconds(run: Callable[[], object]) -> float:
    """Return how long one call takes, in seconds."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def fastest(run: Callable[[], object], times: int = 5) -> float:
    """Return the seconds of the fastest of some calls, after one that does not count."""
    run()
    return min(seconds(run) for _ in range(times))


def in_turn(runs: list[Callable[[], object]], repeats: int) -> list[float]:
    """Return the median milliseconds of each of some functions, called in turn, after one round that does not count."""
    rounds = [[1e3 * seconds(run) for run in runs] for _ in range(repeats + 1)]
    return [statistics.median(taken) for taken in zip(*rounds[1:], strict=True)]
