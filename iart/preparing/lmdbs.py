"""LMDBs in BasicSR's format: keys ``clip/frame`` without extension, values PNG bytes, and a ``meta_info.txt``."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import lmdb

from iart.data.frames import FolderStore, LmdbStore, find_store
from iart.data.store import FrameStore
from iart.errors import DataError, listing
from iart.files import write_text
from iart.image import decode_image, encode_png, read_bytes
from iart.partial import PartialFolder
from iart.preparing.jobs import parallel
from iart.preparing.listings import Frame, check_clips

_FIRST_MAP = 2**26  # bytes; doubled whenever it is full
_BATCH = 2**26  # bytes between two commits: at most this much is repeated by a resumed run
_PNG = b'\x89PNG\r\n\x1a\n'
_USUAL_LEVEL = 6  # in the meta file for files that are copied unchanged; nothing reads the number


def make_lmdb(
    source: Path | FrameStore,
    target: Path,
    *,
    jobs: int = 1,
    compression: int | None = None,
    clips: Sequence[str] | None = None,
    holes: bool = False,
) -> int:
    """Write the frames of a store to an LMDB that BasicSR can read.

    An interrupted run leaves ``<target>.partial`` only, which the next run continues.

    Args:
        source: folder of clip folders, folder of videos, LMDB, or an open store.
        target: path that ends in ``.lmdb``.
        jobs: number of threads that read, check and encode frames.
        compression: PNG level to encode frames with, 0 (large, fast to read) to 9; None to copy PNG files unchanged.
        clips: clips to write; None for all.
        holes: whether gaps in the numbering of frames are accepted.

    Returns:
        Number of frames written, without those of an earlier run.

    Raises:
        DataError: frames cannot be read or do not fit together; the target exists or cannot be written.
    """
    if target.suffix != '.lmdb':
        raise DataError(f'{target}: expected a name that ends in .lmdb')
    store = find_store(source) if isinstance(source, Path) else source
    chosen = _chosen(store, clips)
    listed = check_clips(store, chosen, holes=holes, jobs=jobs)
    settings = {'from': str(store.root.resolve()), 'compression': compression, 'clips': list(chosen)}
    with PartialFolder(target, becomes_output=True) as unfinished:
        unfinished.begin(settings)
        frames = [frame for frame, _ in listed]
        missing = _missing(unfinished.folder, frames)
        encoded = parallel(
            lambda f: _encoded(store, f, compression),
            missing,
            jobs=jobs,
            title=f'writing {target}',
            start=len(frames) - len(missing),
        )
        _write(unfinished.folder, zip(missing, encoded, strict=True))
        level = _USUAL_LEVEL if compression is None else compression
        lines = [f'{clip}/{frame}.png ({h},{w},3) {level}\n' for (clip, frame), (h, w) in listed]
        write_text(unfinished.folder / 'meta_info.txt', ''.join(lines))
        unfinished.finish()
    return len(missing)


def _chosen(store: FrameStore, clips: Sequence[str] | None) -> tuple[str, ...]:
    there = store.clips()
    unknown = [clip for clip in clips or () if clip not in there]
    if unknown:
        raise DataError(f'{store.root}: no clip named {listing(unknown)}; there are {listing(there)}')
    return tuple(clips) if clips is not None else there


def _encoded(store: FrameStore, frame: Frame, compression: int | None) -> bytes:
    """Return the PNG bytes of a frame, after decoding it as a check."""
    name = store.where(*frame)
    if isinstance(store, FolderStore) and name.lower().endswith('.png'):
        data = read_bytes(name)
    elif isinstance(store, LmdbStore):
        data = store.encoded(*frame)
    else:
        data = b''
    if compression is None and data.startswith(_PNG):
        decode_image(data, name)
        return data
    return encode_png(store.read(*frame), 1 if compression is None else compression)


def _missing(folder: Path, frames: list[Frame]) -> list[Frame]:
    """Return the frames that an earlier run has not written."""
    if not (folder / 'data.mdb').is_file():
        return frames
    try:
        with lmdb.open(str(folder), map_size=_FIRST_MAP) as environment, environment.begin() as transaction:
            return [f for f in frames if transaction.get(_key(f)) is None]
    except lmdb.Error as error:
        raise DataError(f'{folder}: cannot be continued ({error}); remove it') from error


def _key(frame: Frame) -> bytes:
    return '/'.join(frame).encode()


def _write(folder: Path, encoded: Iterable[tuple[Frame, bytes]]) -> None:
    try:
        with lmdb.open(str(folder), map_size=_FIRST_MAP) as environment:
            batch: list[tuple[bytes, bytes]] = []
            size = 0
            for frame, data in encoded:
                batch.append((_key(frame), data))
                size += len(data)
                if size > _BATCH:
                    _commit(environment, batch)
                    batch, size = [], 0
            _commit(environment, batch)
    except lmdb.BadValsizeError as error:
        raise DataError(
            f'{folder}: a name is too long for a key, or empty ({error}), expected 1 to 511 bytes'
        ) from error
    except lmdb.Error as error:
        raise DataError(f'{folder / "data.mdb"}: cannot be written ({error})') from error


def _commit(environment: lmdb.Environment, batch: list[tuple[bytes, bytes]]) -> None:
    while True:
        try:
            with environment.begin(write=True) as transaction:
                for key, value in batch:
                    transaction.put(key, value)
            return
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()['map_size'])
