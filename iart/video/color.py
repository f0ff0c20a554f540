"""Conversion between R'G'B' and Y'CbCr at any depth, and the color coding that a stream states.

No tone mapping, no change of primaries: values coded for HDR (PQ, HLG) go through the network as coded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iart.errors import DataError
from iart.video.chroma import DEFAULT_SITING
from iart.video.pixel_formats import depth, is_gray, is_rgb, unsupported

KR_KB = {
    'BT.709': (0.2126, 0.0722),
    'BT.601': (0.299, 0.114),
    'FCC': (0.30, 0.11),
    'SMPTE 240M': (0.212, 0.087),
    'BT.2020': (0.2627, 0.0593),
}
"""Weights of red and blue in luma, by matrix."""

# Matrices by FFmpeg's number of the tag; 5 and 6 differ in the primaries only.
_MATRICES = {1: 'BT.709', 5: 'BT.601', 6: 'BT.601', 4: 'FCC', 7: 'SMPTE 240M', 9: 'BT.2020'}
_NO_MATRIX = (0, 2, 3)  # RGB, unspecified, reserved: meaningless on Y'CbCr frames
_LIMITED, _FULL = 1, 2  # FFmpeg's numbers of the range
HD_LINES = 720
"""Lines of a frame from which on an untagged video is taken for BT.709."""


@dataclass(frozen=True)
class Coding:
    """The color coding of a frame's numbers.

    Args:
        matrix: a key of KR_KB.
        full: whether black and white are the smallest and largest number; else 16 and 235 (times 4 at 10 bits).
        bits: depth of a component.
        siting: position of subsampled chroma, a key of :data:`iart.video.chroma.SITINGS`.
    """

    matrix: str
    full: bool
    bits: int
    siting: str = DEFAULT_SITING

    @property
    def scales(self) -> tuple[float, float, float, float]:
        """Offset and extent of luma, offset and extent of chroma, in levels."""
        unit = 1 << (self.bits - 8)
        if self.full:
            return 0.0, (1 << self.bits) - 1.0, 128.0 * unit, (1 << self.bits) - 1.0
        return 16.0 * unit, 219.0 * unit, 128.0 * unit, 224.0 * unit


def ycbcr_to_rgb(ycbcr: Tensor, coding: Coding) -> Tensor:
    """Convert (3, h, w) float, in levels, to R'G'B'; values outside [0, 1] are kept."""
    kr, kb = KR_KB[coding.matrix]
    zero, luma, middle, chroma = coding.scales
    y, b_y, r_y = (
        (ycbcr[0] - zero) / luma,
        (ycbcr[1] - middle) / chroma * (2 - 2 * kb),
        (ycbcr[2] - middle) / chroma * (2 - 2 * kr),
    )
    red, blue = y + r_y, y + b_y
    return torch.stack([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue])


def rgb_to_ycbcr(rgb: Tensor, coding: Coding) -> Tensor:
    """Convert (3, h, w) R'G'B' to levels, not rounded; the inverse of :func:`ycbcr_to_rgb`."""
    kr, kb = KR_KB[coding.matrix]
    zero, luma, middle, chroma = coding.scales
    red, green, blue = rgb
    y = kr * red + (1 - kr - kb) * green + kb * blue
    return torch.stack(
        [y * luma + zero, (blue - y) / (2 - 2 * kb) * chroma + middle, (red - y) / (2 - 2 * kr) * chroma + middle],
    )


def is_tagged(frame: Any) -> bool:
    """Return whether a decoded frame states its matrix."""
    return int(frame.colorspace) in _MATRICES


def coding_of(frame: Any, file: Path, siting: str | None = None) -> Coding:
    """Return the color coding of a decoded frame: as tagged, else by defaults.

    Defaults: BT.709 from 720 lines up and BT.601 below; limited range, full for the ``yuvj`` formats and for gray
    (which FFmpeg itself takes to be full); chroma to the left, as MPEG-2, H.264 and HEVC.

    Args:
        frame: PyAV's frame.
        file: the video's path, for messages.
        siting: siting that the stream states, a key of :data:`iart.video.chroma.SITINGS`; None if it states none.

    Raises:
        DataError: a matrix that is not one of R'G'B' (such as ICtCp), or floating-point numbers.
    """
    name, tag = frame.format.name, int(frame.colorspace)
    if reason := unsupported(name):
        raise DataError(
            f'{file}: got pixel format {name} ({reason}), expected integers of 16 bits or fewer: convert it first, '
            f'for example  ffmpeg -i {file.name} -pix_fmt rgb48 OUT.png'
        )
    if tag not in (*_MATRICES, *_NO_MATRIX):
        raise DataError(
            f'{file}: got color matrix {tag} (ITU-T H.273), expected BT.601, BT.709, BT.2020 or another plain one: '
            f'convert it first, for example  ffmpeg -i {file.name} -vf zscale=matrix=709 OUT.mkv'
        )
    matrix = _MATRICES.get(tag, 'BT.709' if frame.height >= HD_LINES else 'BT.601')
    extent = int(frame.color_range)
    by_default = name.startswith('yuvj') or is_gray(name)
    full = extent == _FULL or (by_default and extent != _LIMITED) or is_rgb(name) or depth(name) < 8
    return Coding(matrix, full, max(8, depth(name)), siting or DEFAULT_SITING)
