"""Frames from LMDBs in BasicSR's layout."""

import os
import re
import threading
from pathlib import Path

import lmdb

from iart.data.names import check_name
from iart.data.png import decode_crop
from iart.data.store import Box, ByteCache, Size
from iart.errors import DataError
from iart.files import read_text
from iart.image import Frame, decode_image, natural_key

_META_LINE = re.compile(r'^(?P<key>.+?)\s+\((?P<h>\d+),\s*(?P<w>\d+)(?:,\s*\d+)?\)(?:\s+\d+)?$')

# One environment per path and process: LMDB does not open a path twice, and an environment must not cross a fork.
_environments: dict[str, tuple[int, lmdb.Environment]] = {}
_opening = threading.Lock()  # frames may be read by several threads


class LmdbStore:
    """An LMDB in BasicSR's layout: ``data.mdb`` and ``meta_info.txt``, keys without extension, values encoded images.

    Keys ``000/00000000`` and ``00001/0001/im1`` are clip and frame separated by the last slash, keys ``000_00000000``
    by the last underscore. The listing comes from ``meta_info.txt``; the LMDB is opened at the first read in each
    process, so that the store can be pickled and forked.

    Args:
        root: folder of the LMDB.
        cache: whether to keep the bytes of every frame in memory.

    Raises:
        DataError: files are missing, or ``meta_info.txt`` cannot be read.
    """

    def __init__(self, root: str | os.PathLike[str], *, cache: bool = False) -> None:
        self.root = Path(root)
        for name in ('data.mdb', 'meta_info.txt'):
            if not (self.root / name).is_file():
                raise DataError(
                    f"{self.root}: got no {name}, expected an LMDB in BasicSR's layout, or io_backend: {{type: disk}}"
                )
        self._clips = self._read_listing(self.root / 'meta_info.txt')
        self._cache = ByteCache(cache)

    @staticmethod
    def _read_listing(path: Path) -> dict[str, dict[str, tuple[str, tuple[int, int]]]]:
        clips: dict[str, dict[str, tuple[str, tuple[int, int]]]] = {}
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            if not line.strip():
                continue
            match = _META_LINE.match(line.strip())
            key = os.path.splitext(match['key'])[0] if match else ''
            clip, _, frame = key.rpartition('/' if '/' in key else '_')
            if match is None or not clip or not frame:
                raise DataError(f'{path}:{number}: got {line!r}, expected  clip/frame.png (h,w,3) 1')
            check_name(key, f'{path}:{number}')
            clips.setdefault(clip, {})[frame] = key, (int(match['h']), int(match['w']))
        ordered = sorted(clips, key=natural_key)
        return {clip: {frame: clips[clip][frame] for frame in sorted(clips[clip], key=natural_key)} for clip in ordered}

    def clips(self) -> tuple[str, ...]:
        return tuple(self._clips)

    def frames(self, clip: str) -> tuple[str, ...]:
        return tuple(self._clips.get(clip, ()))

    def first_key(self) -> str:
        """Return a key of the LMDB as an example."""
        return next(key for frames in self._clips.values() for key, _ in frames.values())

    def where(self, clip: str, frame: str) -> str:
        return f'{self.root}: key {self._key(clip, frame)}'

    def size(self, clip: str, frame: str) -> tuple[int, int]:
        return self._clips[clip][frame][1]

    def read(self, clip: str, frame: str) -> Frame:
        return decode_image(self.encoded(clip, frame), self.where(clip, frame))

    def read_crop(self, clip: str, frame: str, box: Box, size: Size) -> Frame:
        return decode_crop(self.encoded(clip, frame), self.where(clip, frame), box, size)

    def encoded(self, clip: str, frame: str) -> bytes:
        """Return the stored value of a frame."""
        data = self._cache.get(clip, frame)
        return self._cache.keep(clip, frame, self._get(clip, frame)) if data is None else data

    def _key(self, clip: str, frame: str) -> str:
        entry = self._clips.get(clip, {}).get(frame)
        return entry[0] if entry else f'{clip}/{frame}'

    def _get(self, clip: str, frame: str) -> bytes:
        try:
            with _environment(self.root).begin() as transaction:
                data = transaction.get(self._key(clip, frame).encode())
        except lmdb.Error as error:
            raise DataError(f'{self.where(clip, frame)}: the LMDB cannot be read ({error})') from error
        if data is None:
            raise DataError(f'{self.where(clip, frame)}: listed in meta_info.txt, but not in the LMDB')
        return bytes(data)


def _environment(root: Path) -> lmdb.Environment:
    path = str(root.resolve())
    with _opening:
        owner, environment = _environments.get(path, (0, None))
        if environment is None or owner != os.getpid():
            if environment is not None:
                environment.close()  # inherited from the process that forked this one
            environment = lmdb.open(path, readonly=True, lock=False, readahead=False, meminit=False)
            _refuse_cut(root / 'data.mdb', environment)
            _environments[path] = os.getpid(), environment
        return environment


def _refuse_cut(file: Path, environment: lmdb.Environment) -> None:
    """Raise if a file ends before its last page: reading it would kill the process."""
    expected = (environment.info()['last_pgno'] + 1) * environment.stat()['psize']
    size = file.stat().st_size
    if size < expected:
        environment.close()
        raise DataError(f'{file}: the file is cut short: got {size} bytes, expected {expected} (copy it again)')
