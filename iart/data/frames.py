"""Sources of frames: folders of images, LMDBs or video files, behind one protocol (:mod:`iart.data.store`)."""

import itertools
import os
import re
from collections import Counter
from pathlib import Path

from iart.data.lmdb_store import LmdbStore
from iart.data.png import decode_crop
from iart.data.store import Box, ByteCache, FrameStore, IoBackend, Size
from iart.data.videos import VideoStore
from iart.errors import DataError, listing
from iart.image import IMAGE_SUFFIXES, Frame, decode_image, image_size, natural_key, read_bytes
from iart.video.container import is_video

__all__ = [
    'FolderStore',
    'FrameStore',
    'IoBackend',
    'LmdbStore',
    'VideoStore',
    'file_bytes',
    'find_store',
    'open_store',
]

_LOOKED_AT = 10_000  # directory entries
_SCALE_FOLDER = re.compile(r'^[xX]\d+$')
_JPEG_START, _JPEG_SUFFIXES = b'\xff\xd8\xff', ('.jpg', '.jpeg')


class FolderStore:
    """Images in folders, in one of these layouts::

        root/<clip>/00000000.png          REDS, Vid4, UDM10, ...
        root/<clip>/X4/00000000.png       LR frames below a folder named after the scale
        root/X4/<clip>/00000000.png
        root/00001/0001/im1.png           Vimeo-90K: the clip's name is 00001/0001

    Args:
        root: folder of the clips.
        cache: whether to keep the bytes of every file in memory.

    Raises:
        DataError: ``root`` is not a folder, or is an LMDB.
    """

    def __init__(self, root: str | os.PathLike[str], *, cache: bool = False) -> None:
        self.root = Path(root)
        if not os.path.isdir(self.root):
            raise DataError(f'{self.root}: no such folder, expected a folder with one folder of images per clip')
        if (self.root / 'data.mdb').exists():
            raise DataError(
                f'{self.root}: got an LMDB, expected folders of images, or io_backend: {{type: lmdb}} in the options'
            )
        self._base = _below_scale(self.root)
        self._listed: dict[str, tuple[Path, dict[str, str]]] = {}
        self._cache = ByteCache(cache)

    def clips(self) -> tuple[str, ...]:
        folders, images = _scan(self._base)
        if not folders:
            content = f'{len(images)} images directly in it' if images else _files_in(self._base)
            raise DataError(f'{self._base}: got {content}, expected one folder of images per clip')
        names: list[str] = []
        for name in folders:
            inner, images = _scan(self._base / name)
            nested = not images and bool(inner) and not _SCALE_FOLDER.match(inner[0])
            names += [f'{name}/{i}' for i in inner] if nested else [name]
        return tuple(names)

    def frames(self, clip: str) -> tuple[str, ...]:
        return tuple(self._list(clip)[1])

    def folder(self, clip: str) -> Path:
        """Return the folder of a clip, which need not exist."""
        return self._base / clip

    def where(self, clip: str, frame: str) -> str:
        return str(self._path(clip, frame))

    def size(self, clip: str, frame: str) -> tuple[int, int]:
        return image_size(self._path(clip, frame))

    def read(self, clip: str, frame: str) -> Frame:
        return decode_image(self._bytes(clip, frame), self.where(clip, frame))

    def read_crop(self, clip: str, frame: str, box: Box, size: Size) -> Frame:
        return decode_crop(self._bytes(clip, frame), self.where(clip, frame), box, size)

    def _bytes(self, clip: str, frame: str) -> bytes:
        data = self._cache.get(clip, frame)
        if data is not None:
            return data
        return self._cache.keep(clip, frame, file_bytes(self._path(clip, frame)))

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


def file_bytes(path: Path) -> bytes:
    """Return the bytes of an image file; DataError if it cannot be read, or is a JPEG with another extension."""
    data = read_bytes(path)
    if data.startswith(_JPEG_START) and path.suffix.lower() not in _JPEG_SUFFIXES:
        raise DataError(f'{path}: got a JPEG image, expected the format of its extension (JPEG has lost detail)')
    return data


def _scan(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of subfolders and of images in natural order, without hidden and other files."""
    folders, images = [], []
    place = str(folder)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                place = entry.path
                if entry.name.startswith(('.', '__')):
                    continue
                if entry.name.lower().endswith(IMAGE_SUFFIXES):
                    images.append(entry.name)
                elif entry.is_dir():
                    folders.append(entry.name)
    except OSError as error:  # no permission, or a symbolic link that leads to itself
        raise DataError(f'{place}: cannot be read ({error.strerror})') from error
    return sorted(folders, key=natural_key), sorted(images, key=natural_key)


def _files_in(folder: Path) -> str:
    """Describe the content of a folder without images."""
    entries = itertools.islice(folder.iterdir(), _LOOKED_AT)
    kinds = Counter(entry.suffix.lower() or entry.name for entry in entries if entry.is_file())
    files = listing([f'{count} {kind}' for kind, count in kinds.most_common()], 4)
    return f'{files} directly in it (readable are {listing(IMAGE_SUFFIXES)})' if files else 'nothing in it'


def _below_scale(folder: Path) -> Path:
    """Return ``folder/X4`` if nothing else is in the folder, else the folder itself."""
    folders, images = _scan(folder)
    if images or not folders or not all(_SCALE_FOLDER.match(f) for f in folders):
        return folder
    if len(folders) > 1:
        raise DataError(f'{folder}: got {listing(folders)}, expected one of them: name it in dataroot_lq')
    return folder / folders[0]


def _by_stem(folder: Path, images: list[str]) -> dict[str, str]:
    files: dict[str, str] = {}
    for image in images:
        stem = image.rpartition('.')[0]
        if stem in files:
            raise DataError(f'{folder}: got both {files[stem]} and {image}, expected one file per frame')
        files[stem] = image
    kinds = {image.rpartition('.')[2].lower() for image in images}
    if len(kinds) > 1:
        counts = {kind: [i for i in images if i.lower().endswith(f'.{kind}')] for kind in sorted(kinds)}
        rare = min(counts, key=lambda kind: len(counts[kind]))
        raise DataError(
            f'{folder / counts[rare][0]}: got {rare} among {listing(k for k in counts if k != rare)}, expected one '
            'kind of file per clip'
        )
    return files


def open_store(root: str | os.PathLike[str], io_backend: IoBackend | None = None, *, cache: bool = False) -> FrameStore:
    """Open the store of ``io_backend``: ``{type: disk}`` (default) or ``{type: lmdb}``.

    On disk, a video file, or a folder of video files without folders of images, is read as video.
    """
    kind = (io_backend or {}).get('type', 'disk')
    if kind not in ('disk', 'lmdb'):
        raise DataError(f'io_backend.type: got {kind!r}, expected disk or lmdb')
    if kind == 'lmdb':
        return LmdbStore(root, cache=cache)
    return VideoStore(root) if _holds_videos(Path(root)) else FolderStore(root, cache=cache)


def find_store(root: str | os.PathLike[str]) -> FrameStore:
    """Open the store at ``root``: an LMDB, videos or folders of images."""
    kind: IoBackend = {'type': 'lmdb' if str(root).endswith('.lmdb') or (Path(root) / 'data.mdb').exists() else 'disk'}
    return open_store(root, kind)


def _holds_videos(root: Path) -> bool:
    if not os.path.isdir(root):
        return is_video(root)
    folders, images = _scan(root)
    return not folders and not images and any(is_video(path) for path in root.iterdir())
