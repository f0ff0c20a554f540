"""Rotation of a video for display: the part of FFmpeg's display matrix that needs no resampling."""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

Pixels = TypeVar('Pixels', bound=np.ndarray[Any, Any])


@dataclass(frozen=True)
class Orientation:
    """Operations on a coded frame, in this order.

    Args:
        transpose: whether rows and columns are swapped.
        mirror: whether left and right are swapped.
        flip: whether top and bottom are swapped.
    """

    transpose: bool = False
    mirror: bool = False
    flip: bool = False

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the (h, w) of a turned frame of (h, w)."""
        return (size[1], size[0]) if self.transpose else size

    def apply(self, pixels: Pixels) -> Pixels:
        """Turn an array whose first two dimensions are rows and columns; the result is contiguous."""
        turned: Any = pixels.swapaxes(0, 1) if self.transpose else pixels
        return np.ascontiguousarray(turned[:: -1 if self.flip else 1, :: -1 if self.mirror else 1])  # type: ignore[return-value]


UPRIGHT = Orientation()


def orientation_of(display_matrix: tuple[int, ...] | None) -> Orientation | None:
    """Return the orientation of a display matrix.

    Args:
        display_matrix: FFmpeg's nine numbers, row by row; None: not rotated.

    Returns:
        None for a rotation by another angle than quarter turns, or a matrix that also scales.
    """
    if display_matrix is None:
        return UPRIGHT
    a, b, _, c, d = display_matrix[:5]  # a pixel at (x, y) is shown at (a·x + c·y, b·x + d·y)
    one = 1 << 16
    if b == c == 0 and abs(a) == abs(d) == one:
        return Orientation(mirror=a < 0, flip=d < 0)
    if a == d == 0 and abs(b) == abs(c) == one:
        return Orientation(transpose=True, mirror=c < 0, flip=b < 0)
    return None
