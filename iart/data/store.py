"""The interface of a source of frames: folders, LMDBs or videos."""

import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, overload

from iart.errors import DataError
from iart.image import Frame, Size

# {'type': 'disk'} or {'type': 'lmdb'}
IoBackend = dict[Literal['type'], Literal['disk', 'lmdb']]


class Box(NamedTuple):
    """A rectangle of pixels inside a frame."""

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def right(self) -> int:
        return self.left + self.width

    def times(self, scale: int) -> 'Box':
        """Return the same rectangle of a frame ``scale`` times as large."""
        return Box(*(scale * n for n in self))

    def cut(self, frame: Frame) -> Frame:
        """Return the rectangle of an (h, w, c) frame as a contiguous copy, (height, width, c)."""
        return frame[self.top : self.bottom, self.left : self.right].copy()


class FrameNumbers(Sequence[str]):
    """The names ``00000000``, ``00000001``, ... of a video's frames, made on demand: hours of video have millions.

    Args:
        count: number of frames.
    """

    def __init__(self, count: int) -> None:
        self._numbers = range(count)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...
    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        if isinstance(place, slice):
            return tuple(f'{number:08d}' for number in self._numbers[place])
        return f'{self._numbers[place]:08d}'

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.isdigit() and name == f'{int(name):08d}' and int(name) in self._numbers

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FrameNumbers):
            return len(self) == len(other)
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(operator.eq, self, other))

    def __hash__(self) -> int:
        return hash(len(self))


class FrameStore(Protocol):
    """Clips of frames, each identified by its clip's name and its own name without extension."""

    root: Path

    def clips(self) -> tuple[str, ...]:
        """Return the names of all clips in natural order."""

    def frames(self, clip: str) -> Sequence[str]:
        """Return the names of a clip's frames in natural order; empty if there is no such clip."""

    def where(self, clip: str, frame: str) -> str:
        """Return the frame's file or key for messages."""

    def size(self, clip: str, frame: str) -> Size:
        """Return the size (h, w) without decoding the frame."""

    def read(self, clip: str, frame: str) -> Frame:
        """Read a frame as (h, w, 3) uint8 RGB; DataError naming the file if it cannot be read."""

    def read_crop(self, clip: str, frame: str, box: Box, size: Size) -> Frame:
        """Read a rectangle of a frame as (height, width, 3) uint8 RGB, as fast as the source allows.

        Args:
            size: (h, w) that the whole frame must have.

        Raises:
            DataError: the frame cannot be read, or has another size.
        """


class ByteCache:
    """Encoded frames in the memory of one process; empty in every process that unpickles it."""

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


def check_size(image: Frame, size: Size, where: str) -> Frame:
    """Return the image; DataError naming it if its size is not the clip's ``size`` (h, w)."""
    if image.shape[:2] != tuple(size):
        shape = f'{image.shape[1]}x{image.shape[0]}'
        raise DataError(f'{where}: got {shape}, expected {size[1]}x{size[0]}, as the other frames of the clip')
    return image
