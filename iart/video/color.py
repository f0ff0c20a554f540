"""R'G'B' from Y'CbCr and back, at any depth: a pair of pure functions.

Nothing is tone-mapped and no primaries are changed: values coded for HDR (PQ, HLG) go through the network as they are
coded.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

KR_KB = {
    'BT.709': (0.2126, 0.0722),
    'BT.601': (0.299, 0.114),
    'FCC': (0.30, 0.11),
    'SMPTE 240M': (0.212, 0.087),
    'BT.2020': (0.2627, 0.0593),
}
"""Weights of red and blue in luma, by matrix."""


# Colour matrices by FFmpeg's number of the tag; what the numbers 5 and 6 name differs only in the primaries.
_MATRICES = {1: 'BT.709', 5: 'BT.601', 6: 'BT.601', 4: 'FCC', 7: 'SMPTE 240M', 9: 'BT.2020', 10: 'BT.2020'}
_FULL = 2  # FFmpeg's number of the range
_HD_LINES = 720


@dataclass(frozen=True)
class Coding:
    """How numbers mean colours.

    Args:
        matrix: a key of KR_KB.
        full: black and white are the smallest and largest number; else 16 and 235 (times 4 at 10 bits).
        bits: depth.
    """

    matrix: str
    full: bool
    bits: int

    @property
    def scales(self) -> tuple[float, float, float, float]:
        """Offset and extent of luma, offset and extent of chroma, in levels."""
        unit = 1 << (self.bits - 8)
        if self.full:
            return 0.0, (1 << self.bits) - 1.0, 128.0 * unit, (1 << self.bits) - 1.0
        return 16.0 * unit, 219.0 * unit, 128.0 * unit, 224.0 * unit


def ycbcr_to_rgb(ycbcr: Tensor, coding: Coding) -> Tensor:
    """(3, h, w) float, in levels, to R'G'B'; values outside [0, 1] are kept."""
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
    """The inverse: (3, h, w) to levels, not rounded."""
    kr, kb = KR_KB[coding.matrix]
    zero, luma, middle, chroma = coding.scales
    red, green, blue = rgb
    y = kr * red + (1 - kr - kb) * green + kb * blue
    return torch.stack(
        [y * luma + zero, (blue - y) / (2 - 2 * kb) * chroma + middle, (red - y) / (2 - 2 * kr) * chroma + middle],
    )


def colour_of(frame: Any) -> tuple[str, str, str]:
    """Matrix and range by which a decoded frame becomes RGB, and whether that is ``tagged`` or ``assumed``."""
    tagged = int(frame.colorspace) in _MATRICES
    matrix = _MATRICES.get(int(frame.colorspace), 'BT.709' if frame.height >= _HD_LINES else 'BT.601')
    full = int(frame.color_range) == _FULL or frame.format.name.startswith('yuvj')
    return matrix, 'full' if full else 'limited', 'tagged' if tagged else 'assumed'
