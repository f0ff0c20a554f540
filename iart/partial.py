"""The folder of an unfinished output: its finished parts, and the settings that they were made with."""

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from iart import log
from iart.errors import DataError, UserError, listing
from iart.files import Lock, named_errors, remove_unfinished, write_atomically

_SETTINGS = '.settings.json'


class PartialFolder:
    """A folder beside an output that holds its finished parts until the output is complete.

    A context manager: inside it, a lock keeps a second run away. A later run with the same settings continues with the
    parts that an interrupted run finished.

    Args:
        output: the file or folder that appears when everything is finished.
        becomes_output: whether the folder is renamed to the output (:meth:`finish`). It is then called
            ``<name>.partial``, and the output must not exist; else it is hidden, ``.<name>.partial``, and removed
            (:meth:`remove`).
        parts: patterns of finished parts; a failed run without any leaves nothing. Empty: the folder is always kept.
        restart: whether to discard what an earlier run left.
        follows: whether another process of this run holds the lock and this one only adds parts.
        remedy: what a user can do about other settings, for the message.

    Raises:
        DataError: the output exists, the folder cannot be written, or another run is writing it; inside the block, for
            an OSError if ``becomes_output``.
    """

    def __init__(
        self,
        output: Path,
        *,
        becomes_output: bool = False,
        parts: tuple[str, ...] = (),
        restart: bool = False,
        follows: bool = False,
        remedy: str = 'remove it, or continue with the earlier settings',
    ) -> None:
        self.output, self._becomes_output, self._parts = output, becomes_output, parts
        self._restart, self._follows, self._remedy = restart, follows, remedy
        self.folder = output.with_name(f'{"" if becomes_output else "."}{output.name}.partial')
        self._lock_file = output.with_name(f'.{output.name}.lock')
        self._lock: Lock | None = None
        self._began = False

    def __enter__(self) -> 'PartialFolder':
        if self._follows:
            return self
        self._check_absent()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self._lock_file)
            self._check_absent()  # another run may have finished it just before the lock was taken
            if self._restart:
                shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(exist_ok=True)
        except BlockingIOError as error:
            raise DataError(f'{self.output}: another run is writing it; wait for it') from error
        except OSError as error:
            self._unlock()
            raise DataError(f'{self.output}: cannot be written ({error.strerror}); choose another output') from error
        except UserError:
            with contextlib.suppress(OSError):
                self.folder.rmdir()  # where it is new and empty
            self._unlock()
            raise
        return self

    def _check_absent(self) -> None:
        if self._becomes_output and os.path.lexists(self.output):
            raise DataError(f'{self.output}: exists already; remove it or choose another target')

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Store the settings of the output, or compare them with those that the folder was begun with.

        Args:
            settings: everything that the bytes of the output depend on, fit for JSON.

        Raises:
            DataError: the folder was begun with other settings; names the differences.
        """
        settings = json.loads(json.dumps(settings))
        file = self.folder / _SETTINGS
        if not file.is_file() and not self._has_parts():
            self.note(_SETTINGS, settings)
            self._began = True
            return
        stored = self.noted(_SETTINGS) or {}
        if different := [k for k in sorted({*stored, *settings}) if stored.get(k) != settings.get(k)]:
            shown = listing((f'{k}: was {stored.get(k)!r}, is now {settings.get(k)!r}' for k in different), 8)
            raise DataError(f'{self.folder}: was begun with other settings ({shown}); {self._remedy}')
        self._began = True
        if self._becomes_output:
            log.logger.info(f'{self.output}: continuing with {self.folder}')

    def note(self, name: str, content: Mapping[str, Any]) -> None:
        """Store a small JSON file."""
        text = json.dumps(content, indent=1)  # ASCII: names of files may hold bytes that are not UTF-8
        write_atomically(self.folder / name, lambda target: Path(target).write_text(text, encoding='utf-8'))

    def noted(self, name: str) -> dict[str, Any] | None:
        """Return the content stored by :meth:`note`; None if there is none."""
        with contextlib.suppress(OSError, ValueError):
            stored: dict[str, Any] = json.loads((self.folder / name).read_text(encoding='utf-8'))
            return stored
        return None

    def finish(self) -> None:
        """Remove what killed runs left half-written in the folder, and rename it to the output."""
        with named_errors(self.output):
            for folder in (self.folder, *(path for path in self.folder.rglob('*') if path.is_dir())):
                remove_unfinished(folder)
            (self.folder / _SETTINGS).unlink()
            os.rename(self.folder, self.output)

    def remove(self) -> None:
        """Remove the folder, once the output exists."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._follows:
            return
        if error is not None and self._parts:
            if not self._has_parts():
                self.remove()  # nothing to continue with
            elif self._began:
                log.logger.info(
                    f'{self.output}: finished segments are kept in {self.folder}; the same command continues with them'
                )
        self._unlock()
        if self._becomes_output and isinstance(error, OSError):
            raise DataError(f'{error.filename or self.folder}: cannot be written ({error.strerror})') from error

    def _has_parts(self) -> bool:
        return any(True for pattern in self._parts for _ in self.folder.glob(pattern))

    def _unlock(self) -> None:
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._lock_file.unlink()  # still locked: nobody else can hold it
            self._lock.release()
            self._lock = None
