"""Frames as they were decoded, which become tensors when the network asks for them, and tensors as frames to encode.

A decoded frame takes an eighth of the memory of its tensor, and a segment holds a hundred of them.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iart import image
from iart.errors import DataError
from iart.video.chroma import enlarge, reduce
from iart.video.color import Coding, colour_of, rgb_to_ycbcr, ycbcr_to_rgb

_PLANAR = re.compile(r'yuv[aj]?(420|422|444)p(\d\d)?(le)?')
_UNSPECIFIED = 2
# Called alike on both sides, matrix and range change nothing: numbers are moved, and shifted to another depth, never
# scaled.
_SHIFT = {'src_colorspace': 1, 'dst_colorspace': 1, 'src_color_range': 1, 'dst_color_range': 1}


class Picture(Protocol):
    """One frame."""

    def rgb(self) -> Tensor:
        """(3, h, w) float32 in [0, 1]."""
        ...


@dataclass(frozen=True)
class Shown:
    """A frame and when it is shown, in units of its stream: start and how long (0: not known)."""

    picture: Picture
    pts: int
    duration: int


@dataclass(frozen=True)
class Still:
    """A frame that lies in memory as (h, w, 3) uint8 RGB."""

    pixels: image.Frame

    def rgb(self) -> Tensor:
        return image.to_tensor(self.pixels)


@dataclass(frozen=True)
class Decoded:
    """A frame of a video, in the video's own format.

    Args:
        frame: PyAV's.
        coding: how its numbers mean colours; for RGB formats only the depth matters.
    """

    frame: Any
    coding: Coding

    def rgb(self) -> Tensor:
        if is_rgb(self.frame.format.name):
            return _rgb_of(self.frame)
        y, *chroma = _ycbcr_of(self.frame)
        size = (y.shape[0], y.shape[1])
        chroma = [enlarge(plane, size) for plane in chroma] or [torch.full_like(y, self.coding.scales[2])] * 2
        return ycbcr_to_rgb(torch.stack([y, *chroma]), self.coding).clamp_(0, 1)


def is_rgb(pix_fmt: str) -> bool:
    """Whether a pixel format holds RGB (or a palette of it) instead of luma and chroma."""
    return not pix_fmt.startswith(
        ('yuv', 'gray', 'ya', 'nv', 'p0', 'p2', 'p4', 'y2', 'xyz', 'vuy', 'vyu', 'xv', 'ayuv', 'uyv', 'yvyu', 'mono')
    )


def depth(pix_fmt: str) -> int:
    """Bits of a pixel format's first component."""
    import av

    return int(av.VideoFormat(pix_fmt).components[0].bits)


def subsampling(pix_fmt: str) -> str:
    """``420``, ``422`` or ``444``: the one of these that loses no chroma of a pixel format; ``420`` for grey, ``444``
    for RGB.
    """
    import av

    name = av.VideoFormat(pix_fmt, 16, 16)
    if pix_fmt.startswith(('gray', 'ya', 'mono')):
        return '420'
    if is_rgb(pix_fmt):
        return '444'
    return {(8, 8): '420', (8, 16): '422'}.get((name.chroma_width(16), name.chroma_height(16)), '444')


def _rgb_of(frame: Any) -> Tensor:
    bits = depth(frame.format.name)
    if bits <= 8:
        return image.to_tensor(frame.to_ndarray(format='rgb24'))
    pixels = frame.to_ndarray(format=f'gbrp{bits}le').astype(
        np.float32
    )  # (h, w, 3): PyAV puts the planes into the order R, G, B
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, 0))).div_((1 << bits) - 1)


def _ycbcr_of(frame: Any) -> list[Tensor]:
    """The planes of a frame as float, luma first (one plane: grey), in levels of its own depth."""
    name, unit = frame.format.name, 1
    grey = re.fullmatch(r'gray(\d\d)?(le)?', name)
    if not grey and not _PLANAR.fullmatch(name):
        unit = 1 << (16 - depth(name))
        frame = frame.reformat(format=f'yuv{subsampling(name)}p16le', **_SHIFT)
    return [torch.from_numpy(plane_array(frame, k).astype(np.float32)).div_(unit) for k in range(1 if grey else 3)]


def plane_array(frame: Any, number: int) -> NDArray[Any]:
    """One plane of a planar frame as (h, w) uint8 or uint16, without the padding of its lines."""
    plane = frame.planes[number]
    wide = frame.format.components[0].bits > 8
    values = np.frombuffer(plane, np.uint16 if wide else np.uint8)
    return values.reshape(plane.height, plane.line_size // (2 if wide else 1))[:, : plane.width]


def to_frame(rgb: Tensor, pix_fmt: str, coding: Coding, pts: int, duration: int, time_base: Fraction) -> Any:
    """A frame to encode.

    Args:
        rgb: (3, h, w) in [0, 1], on the CPU.
        pix_fmt: ``yuv4__p``, ``gbrp`` and their deeper kinds, or anything that FFmpeg makes of them.
        coding: its ``bits`` are those of ``pix_fmt``.
        pts, duration, time_base: when it is shown.
    """
    import av

    if is_rgb(pix_fmt):
        base, planes = _rgb_planes(rgb, coding.bits)
    else:
        kind = subsampling(pix_fmt)
        y, *chroma = rgb_to_ycbcr(rgb, coding)
        planes = [y, *(reduce(plane, across=kind != '444', down=kind == '420') for plane in chroma)]
        base = f'yuv{kind}p' + _ending(coding.bits)
    frame = av.VideoFrame(rgb.shape[2], rgb.shape[1], base)
    for plane, values in zip(frame.planes, planes, strict=True):
        _fill(plane, values, coding.bits)
    if base != pix_fmt:
        frame = frame.reformat(format=pix_fmt, **_SHIFT)
    frame.pts, frame.duration, frame.time_base = pts, duration, time_base
    return frame


def _rgb_planes(rgb: Tensor, bits: int) -> tuple[str, list[Tensor]]:
    red, green, blue = rgb * ((1 << bits) - 1)
    return 'gbrp' + _ending(bits), [green, blue, red]


def _ending(bits: int) -> str:
    return f'{bits}le' if bits > 8 else ''


def _fill(plane: Any, values: Tensor, bits: int) -> None:
    dtype: type[np.generic] = np.uint16 if bits > 8 else np.uint8
    lines = np.zeros((plane.height, plane.line_size // np.dtype(dtype).itemsize), dtype)
    lines[:, : plane.width] = values.round().clamp(0, (1 << bits) - 1).numpy().astype(dtype)
    plane.update(lines)


def coding_of(frame: Any, file: Path) -> Coding:
    """How a decoded frame's numbers mean colours: as tagged, else BT.709 from 720 lines up and BT.601 below, limited
    range.

    Raises:
        DataError: a matrix that is not a matrix of R'G'B', such as ICtCp.
    """
    tag = int(frame.colorspace)
    if tag not in (0, 1, 3, 4, 5, 6, 7, 9, _UNSPECIFIED):
        raise DataError(
            f'{file}: got colour matrix {tag} (ITU-T H.273), expected BT.601, BT.709, BT.2020 or another plain '
            'one: convert it first, '
            f'for example  ffmpeg -i {file.name} -vf zscale=matrix=709 OUT'
        )
    matrix, extent, _ = colour_of(frame)
    return Coding(matrix, extent == 'full', depth(frame.format.name))
