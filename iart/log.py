"""Console, log file and progress; rank aware, so that only rank 0 prints.

On a terminal, long work shows a bar with rate and time left; elsewhere it writes plain lines.
"""

import io
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from logging.handlers import BufferingHandler, RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from iart import distributed

Item = TypeVar('Item')
console = Console(highlight=False, soft_wrap=True)
logger = logging.getLogger('iart')
_seen: set[str] = set()
_MOST_LOGGED = 32 * 2**20  # bytes of a log file; the previous one of the same size is kept
_UNLIMITED = 100_000  # columns, more than any table has
_NAME_WIDTH = 20  # columns that the names of rows keep, unless all of them are shorter
_MOST_HELD = 1000  # lines logged before there is a log file
_MOST_SEEN = 10_000  # different messages that are remembered


class _FileHandler(RotatingFileHandler):
    """A log of the newest lines, in two files of at most 32 MB.

    If the file cannot be written, for example to a full disk, logging continues without it; the console has the same
    lines.
    """

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        logger.removeHandler(self)
        once(f'{self.baseFilename} cannot be written, so logging continues on the console only')


class _Held(BufferingHandler):
    """A handler that keeps records, and drops the oldest if there are too many."""

    def __init__(self) -> None:
        super().__init__(_MOST_HELD)

    def flush(self) -> None:
        del self.buffer[:-_MOST_HELD]


class _ConsoleHandler(logging.Handler):
    """A handler that writes through rich's console, so that log lines appear above a running bar."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # the output may be full or closed, which must not end a run of weeks
            console.print(self.format(record), markup=False)


def setup(log_file: Path | None = None) -> None:
    """Send the project's log to the console and, if given, append it to a file; rank 0 only.

    Records since :func:`hold` are written to the file as well.
    """
    earlier = [record for handler in logger.handlers if isinstance(handler, _Held) for record in handler.buffer]
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = False
    for stream in (sys.stdout, sys.stderr):  # file names need not be text, and a terminal may lack characters
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')
    if not distributed.is_main():
        logger.setLevel(logging.ERROR)
        logger.addHandler(logging.NullHandler())
        return
    logger.setLevel(logging.INFO)
    screen = _ConsoleHandler()
    screen.setFormatter(logging.Formatter('%(message)s'))
    logger.addHandler(screen)
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        file = _FileHandler(log_file, maxBytes=_MOST_LOGGED, backupCount=1, encoding='utf-8', errors='backslashreplace')
        file.setFormatter(logging.Formatter('%(asctime)s %(levelname)s: %(message)s'))
        logger.addHandler(file)
        for record in earlier:
            file.handle(record)


def hold() -> None:
    """Keep all further records for the file of the next :func:`setup`; the console gets them immediately."""
    if distributed.is_main():
        logger.addHandler(_Held())


def once(message: str) -> None:
    """Log a message once per process; after 10,000 different messages, no new one is logged."""
    if message not in _seen and len(_seen) < _MOST_SEEN:
        _seen.add(message)
        logger.info(message)


def table(title: str, columns: list[str], rows: Iterable[Iterable[str]], footer: Iterable[str] | None = None) -> None:
    """Print a table on rank 0; the first column is text, the others are aligned to the right.

    No figure is truncated: if the columns do not fit side by side, each figure gets its own row.
    """
    if not distributed.is_main():
        return
    lines = [[*map(str, row)] for row in rows]
    last = None if footer is None else [*map(str, footer)]
    grid = _grid(title, columns, lines, last)
    unlimited = console.options.update(max_width=_UNLIMITED)
    if console.measure(grid, options=unlimited).minimum > console.width:  # else rich limits it to the width there is
        turned = [
            [row[0] if number == 1 else '', columns[number], row[number]]
            for row in (*lines, *([last] if last is not None else []))
            for number in range(1, len(row))
        ]
        grid = _grid(title, [columns[0], '', ''], turned, None)
    console.print(grid, soft_wrap=False)


def _grid(title: str, columns: list[str], rows: list[list[str]], footer: list[str] | None) -> Table:
    grid = Table(title=escape(title), title_justify='left')
    for index, column in enumerate(columns):
        cells = [column, *(row[index] for row in rows), *([footer[index]] if footer is not None else [])]
        longest = max(map(cell_len, cells))
        grid.add_column(
            escape(column),
            justify='left' if index == 0 else 'right',
            overflow='fold',
            no_wrap=index > 0,
            # By itself rich takes the longest word for the minimum, and then truncates.
            min_width=min(longest, _NAME_WIDTH) if index == 0 else longest,
        )
    for row in rows:
        grid.add_row(*map(escape, row))
    if footer is not None:
        grid.add_section()
        grid.add_row(*map(escape, footer), style='bold')
    return grid


def duration(seconds: float) -> str:
    """Format seconds as ``1 d 02:03:04``, ``02:03:04`` or ``03:04``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f'{days} d {hour:02}:{minute:02}:{second:02}'
    return f'{hour:02}:{minute:02}:{second:02}' if hour else f'{minute:02}:{second:02}'


class _Rate(ProgressColumn):
    """Units per second, or seconds per unit when slower than one a second."""

    def render(self, task: Task) -> Text:
        speed = task.speed
        unit = task.fields['unit']
        if not speed:
            return Text(f'? {unit}/s')
        return Text(f'{speed:.1f} {unit}/s' if speed >= 1 else f'{1 / speed:.1f} s/{unit}')


class Bar:
    """Progress of one piece of long work; a context manager.

    Args:
        title: what is being done.
        total: number of units.
        unit: name of a unit, such as ``frame`` or ``it``.
        start: units already done when the work begins (a resumed run).
        lines: whether to write plain lines when not on a terminal; off where the work logs by itself.
    """

    def __init__(self, title: str, total: int, *, unit: str = 'frame', start: int = 0, lines: bool = True) -> None:
        self.title, self.total, self.unit, self.done, self.lines = title, total, unit, start, lines
        self._start, self._began, self._said = start, time.monotonic(), time.monotonic()
        self._bar: Progress | None = None
        self._note = ''

    def __enter__(self) -> 'Bar':
        if distributed.is_main() and console.is_terminal:
            columns = (
                TextColumn('{task.description}'),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                TimeRemainingColumn(),
                TextColumn('{task.fields[note]}'),
            )
            self._bar = Progress(*columns, console=console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=self.total, completed=self.done, unit=self.unit, note='')
        return self

    def advance(self, units: int = 1, note: str = '') -> None:
        first = self.done == self._start
        self.done += units
        if self._bar is not None:
            self._note = note or self._note
            self._bar.update(self._task, advance=units, note=self._note)
        elif self.lines and (time.monotonic() - self._said > 10 or self.done >= self.total):
            self._say(note, first=first)

    def _say(self, note: str, *, first: bool) -> None:
        """Write a line. That of the first unit has no rate: a recurrent network reads the whole clip before it."""
        self._said = time.monotonic()
        if first and self.done < self.total:
            elapsed = duration(self._said - self._began)
            logger.info(f'{self.title}: {self.done}/{self.total}, first {self.unit} after {elapsed}')
            return
        rate = (self.done - self._start) / max(self._said - self._began, 1e-9)
        remaining = duration((self.total - self.done) / rate) if rate else '?'
        speed = f'{rate:.1f} {self.unit}/s' if rate >= 1 or not rate else f'{1 / rate:.1f} s/{self.unit}'
        logger.info(f'{self.title}: {self.done}/{self.total}, {speed}, {remaining} left{", " + note if note else ""}')

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def track(items: Iterable[Item], title: str, total: int, unit: str = 'frame') -> Iterator[Item]:
    """Iterate with a progress bar."""
    with Bar(title, total, unit=unit) as bar:
        for item in items:
            yield item
            bar.advance()


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back everything below a warning, for work whose messages would repeat the caller's."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
