"""Division of work among several processes that upscale together, and their synchronization.

Every process reads the input, since the borders of segments are known only after reading; restoring and encoding, which
take the time, are divided. Finished segments are files in one folder, so processes on several machines need a shared
file system.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from iart import distributed
from iart.errors import EXIT_USER_ERROR, DataError, UserError

DAYS = 30.0
"""How long a process waits for the others: the last segment may take much longer than the first ones."""

T = TypeVar('T')


def on_main(function: Callable[[], T]) -> T:
    """Return rank 0's result on every rank; only rank 0 calls the function.

    Raises:
        UserError: raised by the function, on every rank.
    """
    if not distributed.active():
        return function()
    result, text, error = None, None, None
    if distributed.is_main():
        try:
            result = function()
        except UserError as problem:
            text, error = str(problem), problem
    result, text = _exchange(lambda: distributed.from_main((result, text)))
    if text is not None:
        raise error or DataError(text)
    return result  # type: ignore[return-value]


def agreed(function: Callable[[], T], *, together: bool = True) -> T:
    """Return each rank's result, once all ranks have one.

    Args:
        function: the function that every rank calls.
        together: whether ranks wait for each other; false for work of this rank alone.

    Raises:
        UserError: this rank's error, else the first of any rank, on every rank.
    """
    if not (together and distributed.active()):
        return function()
    result, error = None, None
    try:
        result = function()
    except UserError as problem:
        error = problem
    texts = _exchange(lambda: distributed.gather(None if error is None else str(error)))
    first = next((text for text in texts if text is not None), None)
    if first is not None:
        raise error or DataError(first)
    return result  # type: ignore[return-value]


def gathered(item: T, *, together: bool) -> list[T]:
    """Return the items of all ranks, by rank; a single one if all ranks have worked together."""
    if not distributed.active():
        return [item]
    items = _exchange(lambda: distributed.gather(item))
    return items[:1] if together else items


def check_same(value: dict[str, Any]) -> None:
    """Check that all ranks have the same value.

    Raises:
        DataError: the values differ; names the difference, on every rank.
    """
    values = _exchange(lambda: distributed.gather(value))
    for rank, other in enumerate(values):
        for key in (key for key in value if values[0][key] != other[key]):
            raise DataError(
                f'the processes differ in {key}: rank 0 has {values[0][key]!r}, rank {rank} has {other[key]!r}; '
                'expected the same input, weights, versions and kind of device everywhere'
            )


def is_mine(turn: int) -> bool:
    """Return whether the n-th item is this rank's."""
    return turn % distributed.world_size() == distributed.rank()


def mine(items: Sequence[T]) -> Sequence[T]:
    """Return the items that are this rank's."""
    return items[distributed.rank() :: distributed.world_size()]


@contextmanager
def one_voice() -> Iterator[None]:
    """Report an error of the block on rank 0 only; the other ranks exit with the same code, without a message."""
    try:
        yield
    except UserError as error:
        if distributed.is_main():
            raise
        raise SystemExit(EXIT_USER_ERROR) from error


def _exchange(function: Callable[[], T]) -> T:
    try:
        return function()
    except RuntimeError as error:
        if distributed.lost_process(error) is None:
            raise
        raise DataError(
            f'rank {distributed.rank()}: another process of this run has ended or does not answer '
            f'({str(error).splitlines()[0]}); finished segments are kept, the same command continues with them'
        ) from error
