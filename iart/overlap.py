"""Work on one item while the next one is made: a thread that measures or encodes what the main thread restores."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar('T')
R = TypeVar('R')

_END = object()


def overlapped(items: Iterable[T], consume: Callable[[Iterator[T]], R]) -> R:
    """Return ``consume(iter(items))``, computed on a thread of its own while this thread makes the next item.

    Results are those of the plain call; only the time differs. Items are made on the calling thread, which also gets
    Ctrl-C, so that an interruption does not wait for more than the item that ``consume`` is at.

    Args:
        items: one is made at a time; at most one more waits to be consumed.
        consume: runs on the other thread, and its results and errors are those of this function.

    Raises:
        BaseException: what ``items`` or ``consume`` raises, on the calling thread. ``consume`` is then unwound: its
            iterator raises instead of ending, so that nothing incomplete is taken as complete.
    """
    worker = _Worker(consume)
    source = iter(items)
    complete = False
    try:
        for item in source:
            if not worker.takes(item):
                break
        complete = True
    finally:
        worker.finish(abandoned=not complete)
        close = getattr(source, 'close', None)
        if close is not None:
            close()
    return worker.result()


class _AbandonedError(BaseException):
    """Unwinds a consumer whose items will not be complete; not an Exception, so that it is not reported as one."""


class _Worker(Generic[T, R]):
    """A thread that consumes what :meth:`takes` hands over."""

    def __init__(self, consume: Callable[[Iterator[T]], R]) -> None:
        self._consume = consume
        self._handover: queue.Queue[object] = queue.Queue(maxsize=1)
        self._ended = threading.Event()
        self._abandoned = self._closed = False
        self._results: list[R] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name='overlapped', daemon=True)
        self._thread.start()

    def takes(self, item: T) -> bool:
        """Hand over an item; return whether the consumer still asks for items."""
        self._handover.put(item)
        return not self._ended.is_set()

    def finish(self, *, abandoned: bool) -> None:
        """Tell the consumer that there are no more items, or that they are incomplete, and wait for its end."""
        self._abandoned = abandoned
        self._handover.put(_END)
        self._thread.join()

    def result(self) -> R:
        """Return what the consumer returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._consume(self._items()))
        except BaseException as error:
            self._error = error
        self._ended.set()
        while not self._closed:  # the other thread must not wait for a consumer that asks for no more items
            self._closed = self._handover.get() is _END

    def _items(self) -> Iterator[T]:
        while (item := self._handover.get()) is not _END and not self._abandoned:
            yield item  # type: ignore[misc]
        self._closed = item is _END
        if self._abandoned:
            raise _AbandonedError
