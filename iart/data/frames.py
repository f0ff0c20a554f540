"""Where frames come from: folders of images or BasicSR's LMDBs, behind one small protocol."""

import os
import re
from pathlib import Path
from typing import Any, Literal, Protocol

import lmdb

from iart.errors import DataError, listing
from iart.image import IMAGE_SUFFIXES, Frame, decode_image, image_size, natural_key, read_bytes

# {'type': 'disk'} or {'type': 'lmdb'}
IoBackend = dict[Literal['type'], Literal['disk', 'lmdb']]

_SCALE_FOLDER = re.compile(r'^[xX]\d+$')
_META_LINE = re.compile(r'^(?P<key>.+?)\s+\((?P<h>\d+),\s*(?P<w>\d+)(?:,\s*\d+)?\)(?:\s+\d+)?$')


class FrameStore(Protocol):
    """Clips of frames. A frame is called by its clip's name and its own name without extension."""

    root: Path

    def clips(self) -> tuple[str, ...]:
        """Names of all clips, in natural order."""

    def frames(self, clip: str) -> tuple[str, ...]:
        """Names of a clip's frames in natural order; empty when there is no such clip."""

    def where(self, clip: str, frame: str) -> str:
        """The frame's file or key, for messages."""

    def size(self, clip: str, frame: str) -> tuple[int, int]:
        """(h, w) without decoding the frame."""

    def read(self, clip: str, frame: str) -> Frame:
        """The frame as (h, w, 3) uint8 RGB; DataError naming the file when it cannot be read."""


class _Cache:
    """Encoded frames kept in memory by one process; empty again in every process that unpickles it."""

    def __init__(self, enabled: bool) -> None:
        self.enabled, self._held = enabled, dict[tuple[str, str], bytes]()

    def get(self, clip: str, frame: str) -> bytes | None:
        return self._held.get((clip, frame))

    def keep(self, clip: str, frame: str, data: bytes) -> bytes:
        if self.enabled:
            self._held[clip, frame] = data
        return data

    def __getstate__(self) -> dict[str, Any]:
        return {'enabled': self.enabled, '_held': {}}


class FolderStore:
    """Images in folders, in one of these arrangements::

        root/<clip>/00000000.png          REDS, Vid4, UDM10, ...
        root/<clip>/X4/00000000.png       LR frames below a folder named after the scale
        root/X4/<clip>/00000000.png
        root/00001/0001/im1.png           Vimeo-90K: the clip is called 00001/0001

    Args:
        root: folder that holds the clips.
        cache: keep the bytes of every file read in memory.

    Raises:
        DataError: ``root`` is no folder, or holds an LMDB.
    """

    def __init__(self, root: str | os.PathLike[str], *, cache: bool = False) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise DataError(f'{self.root}: no such folder; wanted a folder with one folder of images per clip')
        if (self.root / 'data.mdb').exists():
            raise DataError(f'{self.root}: found an LMDB; wanted folders of images, or io_backend: {{type: lmdb}} in the options')
        self._base = _below_scale(self.root)
        self._listed: dict[str, tuple[Path, dict[str, str]]] = {}
        self._cache = _Cache(cache)

    def clips(self) -> tuple[str, ...]:
        folders, images = _scan(self._base)
        if not folders:
            found = f'{len(images)} images directly in it' if images else 'nothing in it'
            raise DataError(f'{self._base}: found {found}; wanted one folder of images per clip')
        names: list[str] = []
        for name in folders:
            inner, images = _scan(self._base / name)
            nested = not images and bool(inner) and not _SCALE_FOLDER.match(inner[0])
            names += [f'{name}/{i}' for i in inner] if nested else [name]
        return tuple(names)

    def frames(self, clip: str) -> tuple[str, ...]:
        return tuple(self._list(clip)[1])

    def where(self, clip: str, frame: str) -> str:
        return str(self._path(clip, frame))

    def size(self, clip: str, frame: str) -> tuple[int, int]:
        return image_size(self._path(clip, frame))

    def read(self, clip: str, frame: str) -> Frame:
        path = self._path(clip, frame)
        data = self._cache.get(clip, frame)
        return decode_image(self._cache.keep(clip, frame, read_bytes(path)) if data is None else data, str(path))

    def _path(self, clip: str, frame: str) -> Path:
        folder, files = self._list(clip)
        return folder / files.get(frame, f'{frame}.png')

    def _list(self, clip: str) -> tuple[Path, dict[str, str]]:
        if clip not in self._listed:
            folder = self._base / clip
            if not folder.is_dir():
                return folder, {}
            folder = _below_scale(folder)
            self._listed[clip] = folder, _by_stem(folder, _scan(folder)[1])
        return self._listed[clip]


def _scan(folder: Path) -> tuple[list[str], list[str]]:
    """Names of subfolders and of images in natural order; what is hidden or something else is left out."""
    folders, images = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(('.', '__')):
                continue
            if entry.name.lower().endswith(IMAGE_SUFFIXES):
                images.append(entry.name)
            elif entry.is_dir():
                folders.append(entry.name)
    return sorted(folders, key=natural_key), sorted(images, key=natural_key)


def _below_scale(folder: Path) -> Path:
    """``folder/X4`` when that is all there is in the folder, else the folder itself."""
    folders, images = _scan(folder)
    if images or not folders or not all(_SCALE_FOLDER.match(f) for f in folders):
        return folder
    if len(folders) > 1:
        raise DataError(f'{folder}: found {listing(folders)}; wanted one of them: name it in dataroot_lq')
    return folder / folders[0]


def _by_stem(folder: Path, images: list[str]) -> dict[str, str]:
    files: dict[str, str] = {}
    for image in images:
        stem = image.rpartition('.')[0]
        if stem in files:
            raise DataError(f'{folder}: found both {files[stem]} and {image}; wanted one file per frame')
        files[stem] = image
    return files


# One environment per path and process: LMDB refuses to open a path twice, and an environment must not cross a fork.
_environments: dict[str, tuple[int, lmdb.Environment]] = {}


class LmdbStore:
    """An LMDB as BasicSR writes it: ``data.mdb`` and ``meta_info.txt``, keys without extension, values encoded images.

    Keys ``000/00000000`` and ``00001/0001/im1`` are clip and frame divided by the last slash, keys ``000_00000000``
    by the last underscore. The listing comes from ``meta_info.txt``; the LMDB is opened at the first read in each
    process, so that the store can be pickled and forked.

    Args:
        root: folder of the LMDB.
        cache: keep the bytes of every frame read in memory.

    Raises:
        DataError: files are missing, or ``meta_info.txt`` cannot be read.
    """

    def __init__(self, root: str | os.PathLike[str], *, cache: bool = False) -> None:
        self.root = Path(root)
        for name in ('data.mdb', 'meta_info.txt'):
            if not (self.root / name).is_file():
                raise DataError(f'{self.root}: found no {name}; wanted an LMDB as BasicSR writes it, or io_backend: {{type: disk}}')
        self._clips = self._read_listing(self.root / 'meta_info.txt')
        self._cache = _Cache(cache)

    @staticmethod
    def _read_listing(path: Path) -> dict[str, dict[str, tuple[str, tuple[int, int]]]]:
        clips: dict[str, dict[str, tuple[str, tuple[int, int]]]] = {}
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), start=1):
            if not line.strip():
                continue
            match = _META_LINE.match(line.strip())
            key = os.path.splitext(match['key'])[0] if match else ''
            clip, _, frame = key.rpartition('/' if '/' in key else '_')
            if match is None or not clip or not frame:
                raise DataError(f'{path}:{number}: found {line!r}; wanted  clip/frame.png (h,w,3) 1')
            clips.setdefault(clip, {})[frame] = key, (int(match['h']), int(match['w']))
        ordered = sorted(clips, key=natural_key)
        return {clip: {frame: clips[clip][frame] for frame in sorted(clips[clip], key=natural_key)} for clip in ordered}

    def clips(self) -> tuple[str, ...]:
        return tuple(self._clips)

    def frames(self, clip: str) -> tuple[str, ...]:
        return tuple(self._clips.get(clip, ()))

    def where(self, clip: str, frame: str) -> str:
        return f'{self.root}: key {self._key(clip, frame)}'

    def size(self, clip: str, frame: str) -> tuple[int, int]:
        return self._clips[clip][frame][1]

    def read(self, clip: str, frame: str) -> Frame:
        data = self._cache.get(clip, frame)
        return decode_image(self._cache.keep(clip, frame, self._get(clip, frame)) if data is None else data, self.where(clip, frame))

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
    owner, environment = _environments.get(path, (0, None))
    if environment is None or owner != os.getpid():
        if environment is not None:
            environment.close()  # inherited from the process that forked this one
        environment = lmdb.open(path, readonly=True, lock=False, readahead=False, meminit=False)
        _environments[path] = os.getpid(), environment
    return environment


def open_store(root: str | os.PathLike[str], io_backend: IoBackend | None = None, *, cache: bool = False) -> FrameStore:
    """The store that ``io_backend`` asks for: ``{type: disk}`` (default) or ``{type: lmdb}``."""
    kind = (io_backend or {}).get('type', 'disk')
    if kind not in ('disk', 'lmdb'):
        raise DataError(f'io_backend.type: found {kind!r}; wanted disk or lmdb')
    return LmdbStore(root, cache=cache) if kind == 'lmdb' else FolderStore(root, cache=cache)
