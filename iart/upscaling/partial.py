"""The hidden folder beside an unfinished output: its finished segments, and what they were made from and with."""

import contextlib
import json
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

from iart import log
from iart.errors import DataError, listing
from iart.files import Lock, write_atomically

_JOB = 'job.json'


class Partial:
    """The folder ``.<name>.partial`` beside an output; a context manager that keeps a second run away.

    Args:
        output: what appears when everything is finished.
        restart: discard what an earlier run left.
        follows: another process of this run has the lock and begins; this one only adds segments.

    Raises:
        DataError: the folder cannot be written, or another run is at work in it.
    """

    def __init__(self, output: Path, *, restart: bool = False, follows: bool = False) -> None:
        self.output, self._restart, self._follows = output, restart, follows
        self.folder = output.with_name(f'.{output.name}.partial')
        self._lock: Lock | None = None
        self._began = False

    def __enter__(self) -> 'Partial':
        if self._follows:
            return self
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.folder / 'lock')
            if self._restart:
                self._clear()
        except BlockingIOError as error:
            raise DataError(f'{self.output}: another run is writing it; wait for it') from error
        except OSError as error:
            raise DataError(f'{self.output}: cannot be written ({error.strerror}); choose another output') from error
        return self

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name != 'lock':
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def begin(self, job: dict[str, Any]) -> None:
        """Compare a job with the one that the folder was begun for, or store it.

        Args:
            job: everything that the bytes of the output depend on, fit for JSON.

        Raises:
            DataError: it was begun for another job; names what differs.
        """
        job = json.loads(json.dumps(job))
        file = self.folder / _JOB
        if not file.is_file():
            write_atomically(file, lambda name: Path(name).write_text(json.dumps(job, indent=1), encoding='utf-8'))
            self._began = True
            return
        try:
            stored = json.loads(file.read_text(encoding='utf-8'))
        except ValueError:
            stored = {}
        if different := [k for k in sorted({*stored, *job}) if stored.get(k) != job.get(k)]:
            shown = listing((f'{k}: was {stored.get(k)!r}, is now {job.get(k)!r}' for k in different), 8)
            raise DataError(
                f'{self.output}: its finished segments in {self.folder} were made with something else ({shown}); '
                'give the earlier options and input to continue, or --restart to begin again'
            )
        self._began = True

    def note(self, name: str, content: dict[str, Any]) -> None:
        """Store something small."""
        write_atomically(
            self.folder / name, lambda target: Path(target).write_text(json.dumps(content), encoding='utf-8')
        )

    def noted(self, name: str) -> dict[str, Any] | None:
        """Return what :meth:`note` has stored; None: nothing."""
        with contextlib.suppress(OSError, ValueError):
            stored: dict[str, Any] = json.loads((self.folder / name).read_text(encoding='utf-8'))
            return stored
        return None

    def remove(self) -> None:
        """Remove the folder, once the output exists."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._follows:
            return
        if self._lock is not None:
            self._lock.release()
        if error is not None and not self._segments():
            self.remove()  # nothing to continue with
        elif error is not None and self._began:
            log.logger.info(
                f'{self.output}: finished segments are kept in {self.folder}; the same command continues with them'
            )

    def _segments(self) -> bool:
        return any(path.suffix in ('.packets', '.done') for path in self.folder.glob('*'))
