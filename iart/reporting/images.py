"""Images of the page, encoded as data URIs: frames, error maps, details, slices through time."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray

from iart.image import Frame, read_bytes
from iart.reporting.comparison import Box
from iart.reporting.shown_clips import ShownClip

ERROR_LIMIT = 32  # levels of 255 at which an error map is brightest
_QUALITY, _QUALITY_OF_LARGE, _LARGE = 90, 84, 600_000  # WebP; pixels from which a frame is large
_LOSSLESS = 101  # OpenCV's quality for lossless
_SLICE_WIDTH, _SLICE_HEIGHT, _SLICE_FRAMES = 240, 120, 64
_SURVEYED = 16  # pairs of frames examined to choose the position of a slice
MOST_ROWS = 4  # maximum repetition of the rows of a short clip


class Image(NamedTuple):
    """A picture in the page."""

    uri: str
    width: int
    height: int
    alt: str


def lossy(frame: Frame, alt: str) -> Image:
    """Encode a whole frame as WebP."""
    quality = _QUALITY if frame.shape[0] * frame.shape[1] < _LARGE else _QUALITY_OF_LARGE
    return _webp(frame, alt, quality)


def lossless(frame: Frame, alt: str) -> Image:
    """Encode a small image as lossless WebP."""
    return _webp(frame, alt, _LOSSLESS)


def from_png(path: Path, alt: str) -> Image:
    """Embed a PNG file unchanged.

    Raises:
        DataError: the file cannot be read.
    """
    data = read_bytes(path)
    width, height = (int.from_bytes(data[offset : offset + 4], 'big') for offset in (16, 20))
    return Image(_uri(data, 'png'), width, height, alt)


def _webp(frame: Frame, alt: str, quality: int) -> Image:
    done, data = cv2.imencode('.webp', cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise RuntimeError(f'OpenCV could not encode an image of shape {frame.shape}')
    return Image(_uri(data.tobytes(), 'webp'), frame.shape[1], frame.shape[0], alt)


def _uri(data: bytes, kind: str) -> str:
    return f'data:image/{kind};base64,{base64.b64encode(data).decode("ascii")}'


def error_map(frame: Frame, gt: Frame) -> Frame:
    """Return the mean absolute difference of the channels: black for 0, brightest from ``ERROR_LIMIT`` levels."""
    difference = np.abs(frame.astype(np.int16) - gt).mean(2) / ERROR_LIMIT
    return (matplotlib.colormaps['inferno'](np.clip(difference, 0, 1))[..., :3] * 255).round().astype(np.uint8)


def shrunk(frame: Frame, width: int) -> Frame:
    """Reduce a frame to at most ``width`` pixels in width."""
    if frame.shape[1] <= width:
        return frame
    return np.asarray(
        cv2.resize(frame, (width, round(frame.shape[0] * width / frame.shape[1])), interpolation=cv2.INTER_AREA),
        np.uint8,
    )


def cut(frame: Frame, box: Box) -> Frame:
    top, left, height, width = box
    return np.ascontiguousarray(frame[top : top + height, left : left + width])


@dataclass(frozen=True)
class Slices:
    """The same row of pixels in every frame, one below the other: time runs downwards.

    Args:
        row: row of the frame.
        left, width: the part of the row.
        frames: number of frames.
        pictures: per version (frames, width, 3).
        flicker: per result the mean absolute difference between its change from frame to frame and the ground truth's,
            in levels of 255; empty without ground truth.
    """

    row: int
    left: int
    width: int
    frames: int
    pictures: dict[str, Frame]
    flicker: dict[str, float]

    def tall(self, name: str) -> Frame:
        """Return a slice with repeated rows, so that a short clip is more than a line."""
        return self.pictures[name].repeat(max(1, min(MOST_ROWS, _SLICE_HEIGHT // self.frames)), 0)


def cut_slices(footage: ShownClip) -> Slices | None:
    """Slices through the first frames of a clip, where its versions change most differently in time; None for a short
    clip.
    """
    length = min(len(footage.names), _SLICE_FRAMES)
    if length < 4:
        return None
    interest = _survey(footage, length)
    width = min(_SLICE_WIDTH, interest.shape[1])
    sums = np.pad(np.cumsum(interest, 1), ((0, 0), (1, 0)))
    windows = sums[:, width:] - sums[:, :-width]
    row, left = (int(i) for i in np.unravel_index(int(windows.argmax()), windows.shape))
    lines: dict[str, list[Frame]] = {}
    for j in range(length):
        for name, frame in footage.versions(j).items():
            lines.setdefault(name, []).append(frame[row, left : left + width])
    pictures = {name: np.stack(rows) for name, rows in lines.items() if len(rows) == length}
    return Slices(row, left, width, length, pictures, flicker(pictures))


def _survey(footage: ShownClip, length: int) -> NDArray[np.float32]:
    """Return (h, w): the difference of the versions' changes between neighboring frames, summed over some frames."""
    pairs = sorted({round(i * (length - 2) / (_SURVEYED - 1)) for i in range(_SURVEYED)})
    total: NDArray[np.float32] | None = None
    for j in pairs:
        before, after = (footage.versions(k, plain=False) for k in (j, j + 1))
        changes = np.stack([_luma(after[name]) - _luma(before[name]) for name in before])
        seen = np.ptp(changes, 0) if len(changes) > 1 else np.abs(changes[0])
        total = seen if total is None else total + seen
    assert total is not None
    return np.asarray(cv2.blur(total, (1, 3)), np.float32)


def flicker(pictures: Mapping[str, Frame]) -> dict[str, float]:
    """Return the flicker of all versions: see :class:`Slices`."""
    if 'GT' not in pictures:
        return {}
    changes = {name: np.diff(_luma(picture), axis=0) for name, picture in pictures.items()}
    return {name: float(np.abs(change - changes['GT']).mean()) for name, change in changes.items() if name != 'GT'}


def _luma(frame: Frame) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.float32)
