"""Frames from video files: an index made once, frame-accurate seeking, and a defined color conversion.

The name of a frame is its number in presentation order: ``00000000``, ``00000001``, ...
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from iart import log
from iart.data.store import Box, FrameNumbers, Size, check_size
from iart.errors import DataError
from iart.image import Frame, natural_key
from iart.video.color import coding_of, is_tagged
from iart.video.container import check_seekable, is_video
from iart.video.index import VideoIndex, index_of
from iart.video.orientation import UPRIGHT, Orientation, orientation_of
from iart.video.pictures import Part, rgb_pixels
from iart.video.pixel_formats import is_rgb
from iart.video.reader import FrameReader

_READERS = 4  # videos held open at once


class VideoStore:
    """Video files as clips::

        root/<clip>.mp4          or the video file itself as root

    Y'CbCr is converted to R'G'B' as everywhere in this package (:func:`iart.video.color.coding_of`): with the matrix,
    range and chroma siting of the file, else with defined defaults. Frames are rotated as the file states.

    Args:
        root: folder of video files, or one video file.

    Raises:
        DataError: ``root`` does not exist, or two files differ only in their extension.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        check_seekable(self.root)
        if self.root.is_file():
            files = [self.root]
        elif os.path.isdir(self.root):
            files = sorted((p for p in self.root.iterdir() if is_video(p)), key=lambda p: natural_key(p.name))
        else:
            raise DataError(f'{self.root}: no such file or folder, expected video files')
        self._files = {file.stem: file for file in files}
        if len(self._files) < len(files):
            raise DataError(f'{self.root}: got video files that differ only in extension, expected one file per clip')
        self._indexes: dict[str, VideoIndex] = {}
        self._readers = _Readers()

    def clips(self) -> tuple[str, ...]:
        return tuple(self._files)

    def frames(self, clip: str) -> Sequence[str]:
        return FrameNumbers(len(self.index(clip).times)) if clip in self._files else ()

    def where(self, clip: str, frame: str) -> str:
        return f'{self._files.get(clip, self.root / clip)}: frame {frame}'

    def size(self, clip: str, frame: str) -> Size:
        index = self.index(clip)
        return _orientation(index).size(index.size)

    def read(self, clip: str, frame: str) -> Frame:
        return self._read(clip, frame, None)

    def color(self, clip: str) -> str:
        """Describe how the clip's colors are converted."""
        return self._readers.color(self._files[clip], self.index(clip))

    def read_crop(self, clip: str, frame: str, box: Box, size: Size) -> Frame:
        if self.size(clip, frame) == tuple(size):
            return self._read(clip, frame, box)
        return box.cut(check_size(self.read(clip, frame), size, self.where(clip, frame)))

    def _read(self, clip: str, frame: str, box: Box | None) -> Frame:
        index = self.index(clip)
        if not frame.isdigit() or int(frame) >= len(index.times):
            raise DataError(f'{self.where(clip, frame)}: no such frame; the video has {len(index.times)}')
        return self._readers.read(self._files[clip], index, int(frame), box)

    def index(self, clip: str) -> VideoIndex:
        """Return the clip's index, made at the first call and stored beside a long video if possible."""
        if clip not in self._indexes:
            self._indexes[clip] = index_of(self._files[clip])
        return self._indexes[clip]


def _orientation(index: VideoIndex) -> Orientation:
    return orientation_of(index.facts.display_matrix) or UPRIGHT


class _Readers:
    """Open readers, one per video and process; empty in every process that unpickles it."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, FrameReader] = OrderedDict()
        self._owner = os.getpid()
        self._lock = threading.Lock()

    def read(self, file: Path, index: VideoIndex, number: int, box: Box | None) -> Frame:
        with self._lock:
            return to_rgb(self._reader(file, index).frame(number), file, index, box)

    def color(self, file: Path, index: VideoIndex) -> str:
        with self._lock:
            return _color(self._reader(file, index).frame(0), file, index)

    def _reader(self, file: Path, index: VideoIndex) -> FrameReader:
        if self._owner != os.getpid():
            self._open, self._owner = OrderedDict(), os.getpid()
        reader = self._open.pop(str(file), None) or FrameReader(file, index)
        self._open[str(file)] = reader
        if len(self._open) > _READERS:
            self._open.popitem(last=False)[1].close()
        return reader

    def __reduce__(self) -> tuple[type['_Readers'], tuple[()]]:
        return _Readers, ()


def to_rgb(frame: Any, file: Path, index: VideoIndex, box: Box | None = None) -> Frame:
    """Convert a decoded frame to (h, w, 3) uint8 RGB, rotated as the file states.

    Args:
        frame: PyAV's frame.
        file: the video's path, for messages.
        index: the video's index.
        box: the rectangle to convert; None for the whole frame.

    Raises:
        DataError: the frame's size differs from the first one's, or its colors cannot be converted.
    """
    orientation = _orientation(index)
    if (frame.height, frame.width) != index.size:
        size = f'{frame.width}x{frame.height}'
        raise DataError(f'{file}: got a frame of {size}, expected {index.size[1]}x{index.size[0]} as the first one')
    log.once(f'{file}: colors converted by {_color(frame, file, index)}')
    coding = coding_of(frame, file, index.facts.siting)
    if box is None or orientation != UPRIGHT:
        pixels = orientation.apply(rgb_pixels(frame, coding))
        return pixels if box is None else box.cut(pixels)
    return rgb_pixels(frame, coding, Part((box.top, box.bottom), (box.left, box.right)))


def _color(frame: Any, file: Path, index: VideoIndex) -> str:
    if is_rgb(frame.format.name):
        return 'none: RGB'
    coding = coding_of(frame, file, index.facts.siting)
    extent, source = 'full' if coding.full else 'limited', 'tagged' if is_tagged(frame) else 'assumed'
    return f'{coding.matrix}, {extent} range ({source})'
