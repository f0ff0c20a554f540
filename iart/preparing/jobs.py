"""Parallel work on many items, with a progress bar."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from iart import log

Item = TypeVar('Item')
Result = TypeVar('Result')


def default_jobs() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def parallel(
    work: Callable[[Item], Result], items: Sequence[Item], *, jobs: int, title: str, unit: str = 'frame', start: int = 0
) -> Iterator[Result]:
    """Yield results in the order of the items. The work runs in threads, since reading, decoding and filtering frames
    release Python's lock.

    Args:
        jobs: number of threads.
        title: title of the progress bar.
        unit: unit of the progress bar.
        start: number of items finished by an earlier run.

    Raises:
        Everything that ``work`` raises; items that have not been started are dropped.
    """
    with ThreadPoolExecutor(jobs) as pool, log.Bar(title, start + len(items), unit=unit, start=start) as bar:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 3 * jobs:
                    yield waiting.popleft().result()
                    bar.advance()
            while waiting:
                yield waiting.popleft().result()
                bar.advance()
        finally:
            for future in waiting:
                future.cancel()


def run_all(
    work: Callable[[Item], object], items: Sequence[Item], *, jobs: int, title: str, unit: str = 'frame', start: int = 0
) -> None:
    """Run :func:`parallel` for work without results."""
    for _ in parallel(work, items, jobs=jobs, title=title, unit=unit, start=start):
        pass
