"""Timing, by a clock that the test controls."""

import pytest

from iart import stopwatch


class Clock:
    """A clock that a function moves by the next of its durations."""

    def __init__(self, *durations):
        self.now, self.durations = 0.0, iter(durations)

    def __call__(self):
        return self.now

    def work(self):
        self.now += next(self.durations)
        return 'result'


def test_a_call_returns_its_result_and_its_duration():
    clock = Clock(2.5)
    assert stopwatch.timed(clock.work, clock=clock) == ('result', 2.5)


def test_durations_leave_out_the_call_that_warms_up():
    calls = []
    assert len(stopwatch.durations(lambda: calls.append(0), 3, warm_up=True)) == 3
    assert len(calls) == 4


def test_functions_in_turn_are_called_round_by_round():
    clock, order = Clock(*(9, 9), *(1, 2), *(3, 8), *(2, 3)), []
    runs = [lambda name=name: (order.append(name), clock.work()) for name in 'ab']
    assert stopwatch.in_turn(runs, 3, clock=clock) == pytest.approx([2, 3]), 'medians, without the first round'
    assert order == [*'abababab']
