"""Several processes that upscale together: what each of them does, and when they wait for each other.

Every process reads the input, because only that shows where segments begin; restoring and encoding, which take the
time, are shared out. Finished segments are files in one folder, so processes on several machines need a file system
that all of them see.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from iart import distributed
from iart.errors import EXIT_USER_ERROR, DataError, UserError

DAYS = 30.0
"""For how long one process waits for the others: the last segment may take much longer than the first ones."""

T = TypeVar('T')


def on_main(function: Callable[[], T]) -> T:
    """Return rank 0's result on every rank; nobody else calls the function.

    Raises:
        UserError: the function's, on rank 0. The other ranks end without a message.
    """
    if not distributed.active():
        return function()
    result, failed = None, False
    error: UserError | None = None
    if distributed.is_main():
        try:
            result = function()
        except UserError as problem:
            error, failed = problem, True
    result, failed = _exchange(lambda: distributed.from_main((result, failed)))
    if error is not None:
        raise error
    if failed:
        raise SystemExit(EXIT_USER_ERROR)
    return result  # type: ignore[return-value]


def agreed(function: Callable[[], T]) -> T:
    """Return each rank's own result, once it is known that all have one.

    Raises:
        UserError: on rank 0, the first error of any rank. The other ranks end without a message.
    """
    if not distributed.active():
        return function()
    result, error = None, None
    try:
        result = function()
    except UserError as problem:
        error = problem
    raise_first(error)
    return result  # type: ignore[return-value]


def raise_first(error: UserError | None) -> None:
    """Raise the first error that any rank has; waits for all ranks.

    Args:
        error: this rank's.

    Raises:
        UserError: on rank 0. The other ranks end without a message.
    """
    if not distributed.active():
        if error is not None:
            raise error
        return
    texts = _exchange(lambda: distributed.gather(None if error is None else str(error)))
    first = next((text for text in texts if text is not None), None)
    if first is None:
        return
    if not distributed.is_main():
        raise SystemExit(EXIT_USER_ERROR)
    raise error if error is not None else DataError(first)


def check_same(value: dict[str, Any]) -> None:
    """Check that all ranks have the same value.

    Raises:
        UserError: on rank 0; names what differs.
    """
    values = _exchange(lambda: distributed.gather(value))
    for rank, other in enumerate(values):
        for key in (key for key in value if values[0][key] != other[key]):
            if not distributed.is_main():
                raise SystemExit(EXIT_USER_ERROR)
            raise DataError(
                f'the processes differ in {key}: rank 0 has {values[0][key]!r}, rank {rank} has {other[key]!r}; '
                'expected the same input, weights, versions and kind of device everywhere'
            )


def is_mine(turn: int) -> bool:
    """Return whether this rank does the n-th of the things that are to be done."""
    return turn % distributed.world_size() == distributed.rank()


def mine(items: Sequence[T]) -> Sequence[T]:
    """Return those of several things that this rank does."""
    return items[distributed.rank() :: distributed.world_size()]


def wait() -> None:
    """Wait until all ranks have come here."""
    raise_first(None)


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
