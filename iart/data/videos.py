"""Frames from video files: an index made once, frame-accurate seeking, and a colour conversion that is stated.

A frame of a video is called by its number in the order of presentation: ``00000000``, ``00000001``, ...
"""

import contextlib
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from iart import log
from iart.data.store import Box, Size, check_size
from iart.errors import DataError
from iart.image import Frame, natural_key
from iart.video import pyav
from iart.video.color import colour_of
from iart.video.index import VideoIndex, index_of, is_video, opened

_DECODED_KEPT = (
    24  # frames held after decoding, still in the video's own format: a window read backwards then needs one seek
)
_READERS = 4  # videos held open at once

_SWSCALE = {'BT.709': 1, 'FCC': 4, 'BT.601': 5, 'SMPTE 240M': 7, 'BT.2020': 9}
_FULL = 2


class VideoStore:
    """Video files as clips::

        root/<clip>.mp4          or the video file itself as root

    Y'CbCr becomes R'G'B' by the matrix and range that the file is tagged with; without tags by BT.709 from 720 lines
    up, else BT.601, limited range (full for the ``yuvj`` formats). Rotation tags are not followed.

    Args:
        root: folder of video files, or one video file.

    Raises:
        DataError: ``root`` is not there, or two files differ only in their ending.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        if self.root.is_file():
            files = [self.root]
        elif os.path.isdir(self.root):
            files = sorted((p for p in self.root.iterdir() if is_video(p)), key=lambda p: natural_key(p.name))
        else:
            raise DataError(f'{self.root}: no such file or folder, expected video files')
        self._files = {file.stem: file for file in files}
        if len(self._files) < len(files):
            raise DataError(f'{self.root}: two video files differ only in their ending, expected one file per clip')
        self._indexes: dict[str, VideoIndex] = {}
        self._readers = _Readers()

    def clips(self) -> tuple[str, ...]:
        return tuple(self._files)

    def frames(self, clip: str) -> tuple[str, ...]:
        return tuple(f'{n:08d}' for n in range(len(self.index(clip).times))) if clip in self._files else ()

    def where(self, clip: str, frame: str) -> str:
        return f'{self._files.get(clip, self.root / clip)}: frame {frame}'

    def size(self, clip: str, frame: str) -> Size:
        return self.index(clip).size

    def read(self, clip: str, frame: str) -> Frame:
        index = self.index(clip)
        if not frame.isdigit() or int(frame) >= len(index.times):
            raise DataError(f'{self.where(clip, frame)}: no such frame; the video has {len(index.times)}')
        return self._readers.read(self._files[clip], index, int(frame))

    def colour(self, clip: str) -> str:
        """How the clip's colours are converted, in words."""
        return self._readers.colour(self._files[clip], self.index(clip))

    def read_crop(self, clip: str, frame: str, box: Box, size: Size) -> Frame:
        return box.cut(check_size(self.read(clip, frame), size, self.where(clip, frame)))

    def index(self, clip: str) -> VideoIndex:
        """The clip's index; made at the first call, and kept beside a long video where that can be written."""
        if clip not in self._indexes:
            self._indexes[clip] = index_of(self._files[clip])
        return self._indexes[clip]


class _Readers:
    """One open reader per video and process; empty again where it is unpickled."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, _Reader] = OrderedDict()
        self._owner = os.getpid()
        self._lock = threading.Lock()

    def read(self, file: Path, index: VideoIndex, number: int) -> Frame:
        with self._lock:
            return to_rgb(self._reader(file, index).frame(number), file)

    def colour(self, file: Path, index: VideoIndex) -> str:
        with self._lock:
            return '{}, {} range ({})'.format(*colour_of(self._reader(file, index).frame(0)))

    def _reader(self, file: Path, index: VideoIndex) -> '_Reader':
        if self._owner != os.getpid():
            self._open, self._owner = OrderedDict(), os.getpid()
        reader = self._open.pop(str(file), None) or _Reader(file, index)
        self._open[str(file)] = reader
        if len(self._open) > _READERS:
            self._open.popitem(last=False)[1].close()
        return reader

    def __reduce__(self) -> tuple[type['_Readers'], tuple[()]]:
        return _Readers, ()


class _Reader:
    """A decoder that goes on where it stands when that is the shortest way, and else seeks."""

    def __init__(self, file: Path, index: VideoIndex) -> None:
        self.file, self.index = file, index
        self._held: OrderedDict[int, Any] = OrderedDict()
        self._stack = contextlib.ExitStack()
        self._container = self._stack.enter_context(opened(file))
        self._stream = self._container.streams.video[0]
        self._last: int | None = None  # time of the frame decoded last
        self._frames = self._container.decode(self._stream)

    def frame(self, number: int) -> Any:
        moment = self.index.times[number]
        if moment in self._held:
            return self._held[moment]
        key = self.index.key_before(moment)
        ahead = self._last is not None and self._last < moment and (key is None or key <= self._last)
        if not ahead and not (self._last is None and number == 0):
            self._seek(key)
        for back in (1, 4, len(self.index.keys)):
            if self._decode_to(moment):
                return self._held[moment]
            self._seek(self.index.key_before(moment, back))  # the container took us past the frame: begin earlier
        if self._decode_to(moment):
            return self._held[moment]
        raise DataError(
            f'{self.file}: frame {number} of {len(self.index.times)} cannot be decoded; the file is damaged or cut '
            'short'
        )

    def _seek(self, moment: int | None) -> None:
        import av

        start = min(self.index.times[0], 0) if moment is None else moment
        with contextlib.suppress(
            av.error.FFmpegError
        ):  # a container without an index: then it is decoded from where it stands
            self._container.seek(start, stream=self._stream, backward=True, any_frame=False)
        self._frames = self._container.decode(self._stream)
        self._last = None

    def _decode_to(self, moment: int) -> bool:
        import av

        try:
            for frame in self._frames:
                if frame.pts is None:
                    continue
                self._last = frame.pts
                self._held[frame.pts] = frame
                if len(self._held) > _DECODED_KEPT:
                    self._held.popitem(last=False)
                if frame.pts >= moment:
                    return bool(frame.pts == moment)
        except (av.error.FFmpegError, OSError) as error:
            raise DataError(f'{self.file}: cannot be read as video ({error})') from error
        return False

    def close(self) -> None:
        self._stack.close()


def to_rgb(frame: Any, file: Path) -> Frame:
    """(h, w, 3) uint8 RGB of a decoded frame."""
    if not frame.format.name.startswith(('yuv', 'nv', 'p0')):
        return frame.to_ndarray(format='rgb24').astype(np.uint8, copy=False)
    matrix, extent, source = colour_of(frame)
    log.once(f'{file}: colours converted by {matrix}, {extent} range ({source})')
    return pyav.to_rgb24(frame, _SWSCALE[matrix], full=extent == 'full').to_ndarray()
