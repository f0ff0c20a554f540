"""Resampling of chroma planes by two, to and from the positions of their samples.

Libraries that always assume chroma centered between luma samples shift color by half a pixel, which becomes visible
when a frame is enlarged.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SITINGS: dict[str, tuple[float, float]] = {
    'left': (0.0, 0.5),
    'center': (0.5, 0.5),
    'top left': (0.0, 0.0),
    'top': (0.5, 0.0),
    'bottom left': (0.0, 1.0),
    'bottom': (0.5, 1.0),
}
"""Position of a chroma sample, across and down, in luma samples from the upper left luma sample that it belongs to."""

DEFAULT_SITING = 'left'
"""The siting of MPEG-2, H.264 and HEVC if a stream states none."""

MARGIN = 2
"""Number of chroma samples beyond its own that a luma sample depends on."""

# Catmull-Rom interpolation on four samples. Sums are computed element by element, in one order: a part of a frame has
# the same bits as in the whole frame.
_HALFWAY = (-1 / 16, 9 / 16, 9 / 16, -1 / 16)
_QUARTER = (-9 / 128, 111 / 128, 29 / 128, -3 / 128)  # at 1/4 of the way from the second to the third sample
_WHOLE = (0.0, 1.0, 0.0, 0.0)
# Sample position → for the even and the odd luma samples: the first of the four chroma samples, and their weights.
_PHASES: dict[float, tuple[tuple[int, Sequence[float]], tuple[int, Sequence[float]]]] = {
    0.0: ((-1, _WHOLE), (-1, _HALFWAY)),
    0.5: ((-2, _QUARTER[::-1]), (-1, _QUARTER)),
    1.0: ((-2, _HALFWAY), (-1, _WHOLE)),
}
_DOWN_LEFT = (-1 / 32, 0.0, 9 / 32, 16 / 32, 9 / 32, 0.0, -1 / 32)
_DOWN_BETWEEN = (-1 / 16, 9 / 16, 9 / 16, -1 / 16)
_ACROSS, _DOWN = -1, -2

Plane = NDArray[Any]


def enlarge(plane: Plane, size: tuple[int, int], siting: str = DEFAULT_SITING) -> Plane:
    """Return a chroma plane on the luma grid; the inverse of :func:`reduce` where the siting is 'left'.

    Args:
        plane: (ceil(h/2) or h, ceil(w/2) or w) chroma plane, float32.
        size: (h, w) of the luma plane.
        siting: a key of SITINGS; each direction counts only where the plane is smaller that way.

    Returns:
        (h, w) float32.
    """
    return enlarge_part(plane, size, siting, (0, size[0]), (0, size[1]))


def enlarge_part(
    plane: Plane, size: tuple[int, int], siting: str, rows: tuple[int, int], columns: tuple[int, int]
) -> Plane:
    """Return the ``rows`` and ``columns`` (from, to) of the result of :func:`enlarge` without computing the rest."""
    across, down = SITINGS[siting]
    tall, wide = plane.shape[0] == size[0], plane.shape[1] == size[1]
    if wide:
        plane = plane[:, slice(*columns)]
    else:
        first = columns[0] // 2
        plane = _cut(plane, first, (columns[1] + 1) // 2, axis=1)
        columns = columns[0] - 2 * first, columns[1] - 2 * first
    if tall:
        plane = plane[slice(*rows)]
    else:
        first = rows[0] // 2
        plane = _double(_cut(plane, first, (rows[1] + 1) // 2, axis=0), down, axis=0)
        plane = plane[rows[0] - 2 * first : rows[1] - 2 * first]
    return plane if wide else _double(plane, across, axis=1)[:, slice(*columns)]


def _cut(plane: Plane, first: int, last: int, axis: int) -> Plane:
    """Return samples ``first`` to before ``last`` along an axis and MARGIN more on each side, the edge repeated."""
    size = plane.shape[axis]
    index = np.arange(first - MARGIN, last + MARGIN).clip(0, size - 1)
    if index[0] == first - MARGIN and index[-1] == last + MARGIN - 1:
        return plane[index[0] : index[-1] + 1] if axis == 0 else plane[:, index[0] : index[-1] + 1]
    return plane.take(index, axis)


def _double(padded: Plane, position: float, axis: int) -> Plane:
    """Return twice as many samples along an axis, of a plane with MARGIN samples too many on each side."""
    count = padded.shape[axis] - 2 * MARGIN
    shape = [2 * count if dim == axis else n for dim, n in enumerate(padded.shape)]
    doubled = np.empty(shape, np.float32)
    for odd, (first, weights) in enumerate(_PHASES[position]):
        out = doubled[odd::2] if axis == 0 else doubled[:, odd::2]
        taps = [
            (w, padded[MARGIN + first + k :][:count] if axis == 0 else padded[:, MARGIN + first + k :][:, :count])
            for k, w in enumerate(weights)
            if w
        ]
        _weighted_sum(taps, out)
    return doubled


def _weighted_sum(taps: list[tuple[float, Plane]], out: Plane) -> None:
    if len(taps) == 1:
        out[...] = taps[0][1]
        return
    total = np.float32(taps[0][0]) * taps[0][1]
    term = np.empty_like(total)
    for weight, samples in taps[1:]:
        np.multiply(samples, np.float32(weight), out=term)
        total += term
    out[...] = total


def reduce(plane: Tensor, *, across: bool, down: bool) -> Tensor:
    """Return a chroma plane (h, w) with every second column and row left out, rounded up; siting 'left'."""
    if across:
        plane = _filter(plane, _ACROSS, -3, _DOWN_LEFT, stride=2)
    if down:
        plane = _filter(plane, _DOWN, -1, _DOWN_BETWEEN, stride=2)
    return plane


def _filter(plane: Tensor, dim: int, first: int, weights: Sequence[float], stride: int = 1) -> Tensor:
    """Return ``out[i] = sum_k weights[k] · plane[stride · i + first + k]``, the edge repeated outside."""
    size = plane.shape[dim]
    index = torch.arange(0, size, stride)
    out = torch.zeros(())
    for k, weight in enumerate(weights):
        if weight:
            out = out + weight * plane.index_select(dim, (index + first + k).clamp(0, size - 1))
    return out
