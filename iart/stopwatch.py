"""Timing of functions: once, several times, or several functions in turn; a device finishes its work first."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from iart import device as devices

Result = TypeVar('Result')
Clock = Callable[[], float]


def timed(
    run: Callable[[], Result], device: torch.device | None = None, *, clock: Clock = time.perf_counter
) -> tuple[Result, float]:
    """Return what a function returns, and how long the call takes in seconds.

    Args:
        run: the function to time.
        device: the device that it computes on, whose queue is empty before and after; None for the CPU alone.
        clock: the clock to read, in seconds; ``time.process_time`` leaves out other programs.
    """
    _finish(device)
    begin = clock()
    result = run()
    _finish(device)
    return result, clock() - begin


def durations(
    run: Callable[[], object], times: int, device: torch.device | None = None, *, warm_up: bool = False
) -> list[float]:
    """Return how long each of several calls takes, in seconds.

    Args:
        run: the function to time.
        times: the number of calls.
        device: see :func:`timed`.
        warm_up: whether to call it once more beforehand, untimed: kernels are chosen, memory is allocated.
    """
    if warm_up:
        run()
    return [timed(run, device)[1] for _ in range(times)]


def in_turn(
    runs: Sequence[Callable[[], object]],
    rounds: int,
    device: torch.device | None = None,
    *,
    warm_up: bool = True,
    clock: Clock = time.perf_counter,
) -> list[float]:
    """Return the median duration of each function, in seconds, where every round calls each of them once.

    A machine that becomes slower during the measurement slows all of them alike, so that their ratios hold.

    Args:
        runs: the functions to time.
        rounds: the number of timed rounds.
        device, clock: see :func:`timed`.
        warm_up: whether to call each function once beforehand, untimed.
    """
    if warm_up:
        for run in runs:
            run()
    taken = [[timed(run, device, clock=clock)[1] for run in runs] for _ in range(rounds)]
    return [statistics.median(seconds) for seconds in zip(*taken, strict=True)]


def _finish(device: torch.device | None) -> None:
    if device is not None:
        devices.synchronize(device)
