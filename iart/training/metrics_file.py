"""metrics.csv: one row ``iter,name,value`` per figure, without duplicates after interruptions."""

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path

from iart.files import write_atomically
from iart.log import logger

Row = tuple[int, str, str]
_COLUMNS = ['iter', 'name', 'value']


class MetricsFile:
    """Rows are written together as they come, so that a process that is killed leaves all of them or none.

    What cannot be written, because the disk is full, is kept and written with the next rows.

    Args:
        path: the file; created if it does not exist.
        step: the step that the run resumes from: rows of later steps, which a stopped run left, are removed.
        validated: whether that step was scored; if not, its scores are removed as well.

    Raises:
        OSError: the file cannot be created or rewritten.
    """

    def __init__(self, path: Path, *, step: int, validated: bool) -> None:
        self.path = path
        lines = [
            row
            for row in read(path)
            if row[0] < step or (row[0] == step and (validated or not row[1].startswith('val/')))
        ]
        self.last = [row for row in lines if row[0] == step]
        """The rows of ``step``."""
        text = _lines([_COLUMNS, *lines])
        write_atomically(path, lambda name: Path(name).write_bytes(text))
        self._file = path.open('ab', buffering=0)
        self._length, self._waiting = len(text), b''

    def append(self, rows: Iterable[Row]) -> None:
        self._waiting += _lines(rows)
        try:
            if self._file.write(self._waiting) != len(self._waiting):
                raise OSError('the disk is full')
        except OSError as error:
            self._file.truncate(self._length)
            logger.error(
                f'{self.path} could not be written: {error.strerror or error}; its rows are kept for the next time'
            )
            return
        self._length, self._waiting = self._length + len(self._waiting), b''

    def sync(self) -> None:
        """Flush the rows to disk, before a training state that relies on them is written."""
        if self._waiting:
            self.append(())
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> list[Row]:
    """The whole rows of a metrics file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline='', encoding='utf-8') as file:
        rows = list(csv.reader(file))
    return [(int(row[0]), row[1], row[2]) for row in rows if len(row) == len(_COLUMNS) and row[0].isdigit()]


def _lines(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
