"""Work on one item while the next one is made: the same results, errors and unwinding as without the thread."""

import threading

import pytest

from iart.errors import DataError
from iart.overlap import overlapped


def counting(seen, last=5):
    for number in range(last):
        seen.append(number)
        yield number


def test_results_are_those_of_the_plain_call():
    threads = []

    def consume(items):
        threads.append(threading.current_thread())
        return [2 * item for item in items]

    assert overlapped(counting([]), consume) == [0, 2, 4, 6, 8]
    assert threads[0] is not threading.current_thread()
    assert overlapped([], list) == []


def test_the_next_item_is_made_meanwhile():
    seen, second = [], threading.Event()

    def items():
        yield 0
        second.set()
        yield 1

    def consume(given):
        for item in given:
            seen.append(item)
            assert second.wait(30), 'the second item is made while the first one is consumed'

    overlapped(items(), consume)
    assert seen == [0, 1]


def test_at_most_one_item_waits():
    made, proceed = [], threading.Event()

    def items():
        for number in range(6):
            made.append(number)
            if number == 3:
                proceed.set()  # one is consumed, one waits, one is to be handed over
            yield number

    def consume(given):
        next(given)
        assert not proceed.wait(0.2), 'the fourth item is not made while the first one is consumed'
        return list(given)

    overlapped(items(), consume)
    assert made == list(range(6))


@pytest.mark.parametrize('after', [0, 2])
def test_a_mistake_of_the_consumer_is_raised_here_and_stops_the_work(after):
    made, closed = [], []

    def items():
        try:
            yield from counting(made, 1000)
        finally:
            closed.append(True)

    def consume(given):
        for number, _ in enumerate(given):
            if number == after:
                raise DataError('the disk is full')

    with pytest.raises(DataError, match=r'^the disk is full$'):
        overlapped(items(), consume)
    assert len(made) <= after + 4
    assert closed


@pytest.mark.parametrize('error', [KeyboardInterrupt, DataError('no such frame'), SystemExit])
def test_a_consumer_whose_items_are_incomplete_is_unwound(error):
    """What is written complete or not at all must not take the items so far as all of them."""
    finished, unwound = [], []

    def items():
        yield from range(3)
        raise error

    def consume(given):
        try:
            for _ in given:
                pass
            finished.append(True)
        except Exception:  # what reports the errors of components must not catch this
            finished.append('caught')
        finally:
            unwound.append(True)

    with pytest.raises(error if isinstance(error, type) else type(error)):
        overlapped(items(), consume)
    assert unwound
    assert not finished
    assert not [thread for thread in threading.enumerate() if thread.name == 'overlapped']


def test_a_consumer_may_end_early():
    made = []
    assert overlapped(counting(made, 1000), next) == 0
    assert len(made) < 10
