"""Access to any frame of a video, from the decoder's position if that is shorter than seeking."""

import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from iart.errors import DataError
from iart.video.container import opened, picture_stream, readable
from iart.video.decode import Damage, decode
from iart.video.index import VideoIndex

_CACHED = 24  # decoded frames that a reader keeps, in the video's own format: a window read backwards needs one seek


class FrameReader:
    """A decoder that continues from its position if that is shorter than seeking.

    Args:
        file: path of the video.
        index: index of the video.
        threads: whether to decode with several threads.

    Raises:
        DataError: the file cannot be read as video.
    """

    def __init__(self, file: Path, index: VideoIndex, *, threads: bool = False) -> None:
        self.file, self.index, self.damage = file, index, Damage()
        self._threads = threads
        self._cache: OrderedDict[int, Any] = OrderedDict()
        self._stack = contextlib.ExitStack()
        self._open()

    def _open(self) -> None:
        self._container = self._stack.enter_context(opened(self.file))
        self._stream = picture_stream(self._container, self.file)
        if self._threads:
            self._stream.thread_type = 'AUTO'
        self._last: int | None = None  # time of the frame decoded last
        self._frames = self._timed()

    def _timed(self) -> Iterator[tuple[int, Any]]:
        """Yield each frame with its time, or with its number if the index counts frames."""
        self.damage = Damage()
        with readable(self.file):
            for number, frame in enumerate(decode(self._container, self._stream, self.damage)):
                if self.index.counted:
                    yield number, frame
                elif frame.pts is not None:
                    yield frame.pts, frame

    def frame(self, number: int) -> Any:
        """Return a decoded frame by its number in presentation order.

        Raises:
            DataError: it cannot be decoded.
        """
        moment = int(self.index.times[number])
        if moment in self._cache:
            return self._cache[moment]
        key = self.index.key_before(moment)
        ahead = self._last is not None and self._last < moment and (key is None or key <= self._last)
        if not ahead and not (self._last is None and number == 0):
            self._seek(key)
        for back in (1, 4, len(self.index.keys)):
            if self._decode_to(moment):
                return self._cache[moment]
            self._seek(self.index.key_before(moment, back))  # the container led past the frame: begin earlier
        if self._decode_to(moment):
            return self._cache[moment]
        raise DataError(
            f'{self.file}: frame {number} of {len(self.index.times)} cannot be decoded; the file is damaged or cut '
            'short: copy or download it again'
        )

    def frames(self, first: int) -> Iterator[tuple[int, Any]]:
        """Yield (time, frame) of every frame from the time ``first`` on that can be decoded."""
        start: int | None = self.index.key_before(first)
        for back in (1, 4, 16, len(self.index.keys)):
            if start is None:
                break
            self._seek(start)
            head = next(self._frames, None)
            if head is not None and head[0] <= first:
                if head[0] == first:
                    yield head
                break
            start = self.index.key_before(first, back)
        if start is None:
            self._rewind()
        for time, frame in self._frames:
            if time >= first:
                yield time, frame

    def _seek(self, moment: int | None) -> None:
        import av

        if moment is None or self.index.counted:
            self._rewind()
            return
        with contextlib.suppress(av.error.FFmpegError):  # a container that cannot seek: decoded from its position on
            self._container.seek(moment, stream=self._stream, backward=True, any_frame=False)
        self._frames = self._timed()
        self._last = None

    def _rewind(self) -> None:
        """Go back to the first packet, also in a container that cannot seek."""
        self._stack.close()
        self._open()

    def _decode_to(self, moment: int) -> bool:
        for time, frame in self._frames:
            self._last = time
            self._cache[time] = frame
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
            if time >= moment:
                return time == moment
        return False

    def close(self) -> None:
        """Close the file."""
        self._stack.close()
