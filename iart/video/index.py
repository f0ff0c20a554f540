"""Index of a video file: the times of its frames and the positions where decoding can begin."""

import contextlib
import itertools
import json
import time
import zipfile
import zlib
from array import array
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iart import log
from iart.errors import DataError
from iart.files import write_atomically
from iart.image import Size
from iart.video import pyav
from iart.video.container import opened, picture_stream
from iart.video.decode import Damage, decode, first_frame, is_hidden, packets
from iart.video.siting import stream_siting

_WORTH_KEEPING = 1.0  # seconds; an index that took longer is stored in a hidden file beside the video
_FORMAT = 3  # of that file
_TRIED_FRAMES = 250  # decoded to see whether they come in the order of their times
_IN_MEMORY = 8  # indexes that a process keeps


@dataclass(frozen=True)
class Facts:
    """Facts of a video as a whole.

    Args:
        size: (h, w) of its first frame, as coded.
        counted: whether the file has no usable times and a frame's time is its number in decoding order.
        end: end of the last frame, in the units of the times.
        hidden: number of packets that hold only a frame that is never shown (VP8, VP9).
        siting: position of chroma, a key of :data:`iart.video.chroma.SITINGS`; None if not stated.
        display_matrix: FFmpeg's nine numbers; None if not rotated.
    """

    size: Size
    counted: bool = False
    end: int = 0
    hidden: int = 0
    siting: str | None = None
    display_matrix: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class VideoIndex:
    """The times of all frames of a video, 8 bytes each, so that hours of video fit into memory.

    Args:
        times: (frames,) int64 presentation times in the stream's units, ascending.
        keys: (key frames,) int64 times at which decoding can begin, ascending.
        facts: facts of the video as a whole.
    """

    times: NDArray[np.int64]
    keys: NDArray[np.int64]
    facts: Facts

    @property
    def size(self) -> Size:
        """(h, w) of the first frame, as coded."""
        return self.facts.size

    @property
    def counted(self) -> bool:
        """Whether times are frame numbers."""
        return self.facts.counted

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, VideoIndex)
            and np.array_equal(self.times, other.times)
            and np.array_equal(self.keys, other.keys)
            and self.facts == other.facts
        )

    def key_before(self, moment: int, back: int = 0) -> int | None:
        """Return the last time at or before ``moment`` at which decoding can begin, or the one ``back`` places earlier.

        Returns:
            The time; None for the beginning of the file.
        """
        place = int(np.searchsorted(self.keys, moment, side='right')) - 1 - back
        return int(self.keys[place]) if place >= 0 else None


def index_of(file: Path) -> VideoIndex:
    """Return a video's index: the stored one, else a new one, stored beside the video if making it took long."""
    try:
        return _index_of(file, tuple(_fingerprint(file)))
    except OSError:
        return _index_of(file, ())  # opening the file raises the reason


@lru_cache(maxsize=_IN_MEMORY)
def _index_of(file: Path, fingerprint: tuple[int, ...]) -> VideoIndex:
    stored = _load_index(file)
    if stored is not None:
        return stored
    begin = time.monotonic()
    index = make_index(file)
    if time.monotonic() - begin > _WORTH_KEEPING:
        _save_index(file, index)
    return index


def make_index(file: Path) -> VideoIndex:
    """Read a video's packets without decoding them, and decode its first frame.

    If the packets have no times, the whole file is decoded once to count its frames.

    Raises:
        DataError: not a video, or a video without frames.
    """
    with opened(file) as container:
        stream = picture_stream(container, file)
        siting = stream_siting(stream)
        scan = _Scan()
        for packet in packets(container, stream):
            scan.add(packet, stream.codec_context.name)
    with opened(file) as container:
        frame = first_frame(container, picture_stream(container, file))
    if frame is None:
        content = f'{len(scan.times)} packets, and none of them can be decoded' if scan.times else 'no frames'
        raise DataError(f'{file}: got {content}, expected a video')
    facts = Facts((frame.height, frame.width), False, scan.end, scan.hidden, siting, pyav.display_matrix(frame))
    times = np.unique(np.frombuffer(scan.times, np.int64))
    if scan.untimed or len(times) < len(scan.times) or (scan.delay is not None and _shuffled(file)):
        return _counted(file, facts)
    return VideoIndex(times, np.unique(np.frombuffer(scan.keys, np.int64)), facts)


class _Scan:
    """The times of a stream's packets, 8 bytes each."""

    def __init__(self) -> None:
        self.times, self.keys = array('q'), array('q')
        self.end, self.hidden, self.untimed = -(1 << 62), 0, 0
        self.delay: int | None = None
        """Time from decoding to presentation; None if it differs between frames, as with reordered ones."""

    def add(self, packet: Any, codec: str) -> None:
        if not packet.size or packet.is_discard:
            return
        if is_hidden(codec, packet):
            self.hidden += 1
            return
        if packet.pts is None:
            self.untimed += 1
            return
        delay = packet.pts - packet.dts if packet.dts is not None else None
        self.delay = delay if not self.times or delay == self.delay else None
        self.times.append(packet.pts)
        self.end = max(self.end, packet.pts + (packet.duration or 0))
        if packet.is_keyframe:
            self.keys.append(packet.pts)


def _shuffled(file: Path) -> bool:
    """Return whether the decoder outputs frames in another order than that of their times.

    AVI stores no times: FFmpeg numbers the packets, which is wrong where the codec reorders frames.
    """
    with opened(file) as container:
        stream = picture_stream(container, file)
        if not stream.codec_context.has_b_frames:
            return False
        frames = itertools.islice(decode(container, stream, Damage()), _TRIED_FRAMES)
        times = [frame.pts for frame in frames if frame.pts is not None]
    return times != sorted(times)


def _counted(file: Path, facts: Facts) -> VideoIndex:
    """Return the index of a video whose frames have no times or equal times, by counting them."""
    log.once(f'{file}: its frames have no times or equal times; using their numbers in decoding order')
    with opened(file) as container:
        count = sum(1 for _ in decode(container, picture_stream(container, file), Damage()))
    facts = replace(facts, counted=True, end=count)
    return VideoIndex(np.arange(count, dtype=np.int64), np.zeros(0, np.int64), facts)


def _index_file(file: Path) -> Path:
    return file.with_name(f'.{file.name}.index.npz')


def _fingerprint(file: Path) -> list[int]:
    status = file.stat()
    return [_FORMAT, status.st_size, status.st_mtime_ns]


def _load_index(file: Path) -> VideoIndex | None:
    unreadable = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)
    with contextlib.suppress(*unreadable), np.load(_index_file(file), allow_pickle=False) as stored:
        text = json.loads(bytes(stored['facts']))
        if text.pop('of') != _fingerprint(file):
            return None
        matrix = text.pop('display_matrix')
        facts = Facts(**{**text, 'size': tuple(text['size']), 'display_matrix': matrix and tuple(matrix)})
        return VideoIndex(stored['times'].cumsum(), stored['keys'].cumsum(), facts)
    return None


def _save_index(file: Path, index: VideoIndex) -> None:
    facts = json.dumps({'of': _fingerprint(file), **asdict(index.facts)}).encode()

    def write(name: str) -> None:
        with open(name, 'wb') as target:  # differences of times are nearly all alike, and compress to almost nothing
            np.savez_compressed(
                target,
                times=np.diff(index.times, prepend=0),
                keys=np.diff(index.keys, prepend=0),
                facts=np.frombuffer(facts, np.uint8),
            )

    with contextlib.suppress(OSError):  # a folder that cannot be written only costs the time to make the index again
        write_atomically(_index_file(file), write)
