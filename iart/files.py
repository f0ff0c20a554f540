"""Files and folders that are complete or absent: atomic writing, locks and hashes."""

import contextlib
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from iart.errors import DataError

_UNFINISHED = '.unfinished'  # extension of temporary files
_CONVERT = 'save it as UTF-8, for example with  iconv -f {} -t UTF-8 {} > new.txt'


def write_atomically(path: Path, write: Callable[[str], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it to disk, then rename it.

    A reader sees the old file or the new one, never half of it, also after a power cut. Missing folders are created.

    Args:
        path: the file to write.
        write: called with the name of the temporary file.

    Raises:
        OSError: the file cannot be written; the old one is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix=_UNFINISHED)
    os.close(handle)
    temporary = Path(name)
    try:
        write(name)
        _flush(temporary)
        temporary.chmod(0o644)  # mkstemp creates files that only the owner can read
        temporary.replace(path)
        _flush(path.parent)  # the new name must survive a power cut as well
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def folder_written_atomically(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder to fill; when the block ends, flush it to disk and rename it to ``path``.

    A block that raises leaves nothing. Missing parent folders are created.

    Args:
        path: the folder to write.
        replace: whether a former folder is replaced; else a folder that exists by then, such as that of another
            process, stays as it is, and the new one is discarded.

    Raises:
        OSError: the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f'.{path.name}.', suffix=_UNFINISHED) as name:
        filled = Path(name) / path.name
        filled.mkdir()
        yield filled
        for file in (filled, *filled.rglob('*')):
            _flush(file)
        if replace and path.exists():
            path.rename(Path(name) / 'former')
        try:
            filled.rename(path)
        except OSError:
            if replace or not path.is_dir():
                raise
        _flush(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file with :func:`write_atomically`.

    Raises:
        DataError: the file cannot be written; names it and the reason.
    """
    with named_errors(path):
        write_atomically(path, lambda name: Path(name).write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file with :func:`write_atomically`.

    Raises:
        DataError: the file cannot be written; names it and the reason.
    """
    write_bytes(path, text.encode())


def read_text(path: Path) -> str:
    """Return the content of a UTF-8 text file, without a byte-order mark.

    Raises:
        DataError: the file cannot be read, or is in another encoding; names the file, the place and the remedy.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f'{path}: cannot be read ({error.strerror})') from error
    if content.startswith((b'\xff\xfe', b'\xfe\xff')):
        raise DataError(f'{path}: got UTF-16, expected UTF-8: {_CONVERT.format("UTF-16", path.name)}')
    try:
        return content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = content.count(b'\n', 0, error.start) + 1
        kind = 'a binary file' if b'\0' in content[:4096] else 'another encoding, such as GBK or Latin-1'
        raise DataError(
            f'{path}: line {line}: got byte 0x{content[error.start]:02x} ({kind}), expected UTF-8 text: '
            f'{_CONVERT.format("GBK", path.name)}'
        ) from error


@contextlib.contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a DataError that names the file to be written."""
    try:
        yield
    except OSError as error:
        raise DataError(f'{path}: cannot be written ({error.strerror})') from error


def require_writable(folder: Path, remedy: str) -> None:
    """Make a folder unless it exists, and check that it can be written to: before long work, not after it.

    Args:
        folder: to be made with its parents.
        remedy: what the message advises.

    Raises:
        DataError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        raise DataError(f'{folder}: got a folder that cannot be written, expected another:  {remedy}')


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files that a process killed during :func:`write_atomically` left in a folder."""
    for path in folder.glob(f'.*{_UNFINISHED}'):
        path.unlink(missing_ok=True)


def to_json(value: Any) -> str:
    """Serialize to strictly valid JSON; numbers that JSON lacks become ``"inf"``, ``"-inf"`` and ``"nan"``."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + '\n'


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def sha256(path: Path, length: int | None = None) -> str:
    """Return the SHA-256 of a file, or of its first ``length`` bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    remaining = path.stat().st_size if length is None else length
    with path.open('rb') as file:
        while remaining > 0 and (block := file.read(min(remaining, 1 << 22))):
            digest.update(block)
            remaining -= len(block)
    return digest.hexdigest()


def place_file(source: Path, target: Path, link: bool) -> None:
    """Copy a file atomically, or create a symbolic link to it; does nothing if it is already in place.

    Raises:
        DataError: it cannot be read or written.
    """
    try:
        if link:
            if not target.is_symlink():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source.resolve())
        elif not (target.is_file() and target.stat().st_size == source.stat().st_size):
            write_atomically(target, lambda name: shutil.copyfile(source, name))
    except OSError as error:
        raise DataError(f'{error.filename or target}: cannot be copied to {target} ({error.strerror})') from error


class Lock:
    """An exclusive lock on a file, which the system releases when the process ends, however it ends.

    Args:
        path: the lock file; created if missing, left in place.

    Raises:
        BlockingIOError: another process (or another lock of this process) holds it.
        OSError: the lock file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise BlockingIOError(f'{path} is locked') from error

    def release(self) -> None:
        """Release the lock; calling it again does nothing."""
        self._lock.release(force=True)
