"""Targets that are either finished or not there: written beside under another name, locked, continued, and then renamed."""

import contextlib
import json
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from iart import log
from iart.errors import DataError, UserError

_SETTINGS = '.settings.json'


class Target:
    """A folder that appears under its name only when :meth:`finish` is called.

    Until then everything is written to ``<name>.partial`` beside it (:attr:`partial`), which a later run with the same settings
    goes on with. A lock keeps a second run away; it goes when its process ends, however it ends.

    Args:
        path: the folder to make.
        settings: what the content depends on; a partial folder begun with others is refused.

    Raises:
        DataError: the target is there already, is being written by another run, or was begun with other settings.
    """

    def __init__(self, path: str | os.PathLike[str], settings: dict[str, Any]) -> None:
        self.path = Path(path)
        self.partial = self.path.with_name(f'{self.path.name}.partial')
        self.settings = json.loads(json.dumps(settings))
        self._lock: IO[str] | None = None

    def __enter__(self) -> 'Target':
        if os.path.lexists(self.path):
            raise DataError(f'{self.path}: is there already; remove it or choose another target')
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self.path.with_name(f'.{self.path.name}.lock'), self.path)
            self._begin()
        except OSError as error:
            self._unlock()
            raise DataError(f'{self.path}: cannot be written ({error.strerror})') from error
        except UserError:
            self._unlock()
            raise
        return self

    def _begin(self) -> None:
        if os.path.lexists(self.path):  # finished by another run between the look and the lock
            raise DataError(f'{self.path}: is there already; remove it or choose another target')
        file = self.partial / _SETTINGS
        if not file.is_file():
            self.partial.mkdir(exist_ok=True)
            file.write_text(json.dumps(self.settings), encoding='utf-8')
            return
        try:
            held = json.loads(file.read_text(encoding='utf-8'))
        except ValueError:
            held = None
        if held != self.settings:
            raise DataError(
                f'{self.partial}: was begun with other settings ({held}); wanted {self.settings}: remove it, or go on as it was begun'
            )
        log.logger.info(f'{self.path}: going on with {self.partial}')

    def finish(self) -> None:
        """Give the folder its name."""
        try:
            (self.partial / _SETTINGS).unlink()
            os.rename(self.partial, self.path)
        except OSError as error:
            raise DataError(f'{self.path}: cannot be written ({error.strerror})') from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._unlock()
        if isinstance(error, OSError):
            raise DataError(f'{error.filename or self.partial}: cannot be written ({error.strerror})') from error

    def _unlock(self) -> None:
        if self._lock is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._lock.name)  # still locked: nobody else can have it
            self._lock.close()
            self._lock = None


def _lock(path: Path, target: Path) -> IO[str]:
    """An exclusive lock on ``path``, which the system takes back when this process ends."""
    import fcntl  # here, because Windows has none

    while True:
        file = path.open('a+', encoding='utf-8')
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read().strip()
            file.close()
            raise DataError(f'{target}: another run is writing it{f" (process {owner})" if owner else ""}; wait for it') from error
        with contextlib.suppress(OSError):
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:  # not unlinked by its last owner meanwhile
                file.truncate(0)
                file.write(str(os.getpid()))
                file.flush()
                return file
        file.close()


def write_text(path: Path, text: str) -> None:
    """Write a small file under a temporary name, then rename.

    Raises:
        DataError: it cannot be written.
    """
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding='utf-8')
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise DataError(f'{path}: cannot be written ({error.strerror})') from error


def place_file(source: Path, target: Path, link: bool) -> None:
    """Copy a file under a temporary name and rename it, or make a symbolic link to it; nothing where it is already.

    Raises:
        DataError: it cannot be read or written.
    """
    temporary = target.with_name(f'.{target.name}.{os.getpid()}.tmp')
    try:
        if link:
            if not target.is_symlink():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source.resolve())
            return
        if target.is_file() and target.stat().st_size == source.stat().st_size:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise DataError(f'{error.filename or target}: cannot be copied to {target} ({error.strerror})') from error
