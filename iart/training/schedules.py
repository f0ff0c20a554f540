"""Learning rates as pure functions of the step, so that resuming needs no memory."""

import math
from bisect import bisect_left
from itertools import accumulate

from iart.options import CosineAnnealingRestartLR, MultiStepLR, Scheduler, TrueCosineAnnealingLR


def lr_at(step: int, base: float, schedule: Scheduler, warmup_iter: int = -1) -> float:
    """Return the learning rate of the optimizer step that follows ``step`` finished ones.

    Args:
        step: finished steps, from 0.
        base: rate of the parameter group as the options give it.
        schedule: one of the schedules of the options.
        warmup_iter: steps over which the rate rises linearly to ``base`` before the schedule takes over.
    """
    if step + 1 < warmup_iter:
        return base * (step + 1) / warmup_iter
    if isinstance(schedule, TrueCosineAnnealingLR):
        return _cosine(step / schedule.T_max, base, schedule.eta_min)
    if isinstance(schedule, CosineAnnealingRestartLR):
        return _restarting_cosine(step, base, schedule)
    assert isinstance(schedule, MultiStepLR)
    return _steps(step, base, schedule)


def teacher_weight(step: int, total: int, fade: float) -> float:
    """Return the factor on the teacher's loss at the optimizer step that follows ``step`` finished ones.

    Args:
        step: finished steps, from 0.
        total: steps of the whole run.
        fade: share of the run, at its end, over which the factor falls from 1 to 0.
    """
    return min(1.0, (1 - step / total) / fade) if fade else 1.0


def _cosine(share: float, high: float, low: float) -> float:
    return low + (high - low) * (1 + math.cos(math.pi * share)) / 2


def _restarting_cosine(step: int, base: float, schedule: CosineAnnealingRestartLR) -> float:
    ends = list(accumulate(schedule.periods))
    number = min(bisect_left(ends, step), len(ends) - 1)
    begin = ends[number] - schedule.periods[number]
    share = min((step - begin) / schedule.periods[number], 1.0)
    low, weight = schedule.eta_min, schedule.restart_weights[number]
    return low + weight * (_cosine(share, base, low) - low)


def _steps(step: int, base: float, schedule: MultiStepLR) -> float:
    restarts = zip(schedule.restarts, schedule.restart_weights, strict=True)
    begun = [(start, weight) for start, weight in restarts if start <= step]
    since, weight = begun[-1] if begun else (0, 1.0)  # before the first restart the base rate is as it was given
    passed = sum(since < milestone <= step for milestone in schedule.milestones)
    return base * weight * schedule.gamma**passed
