"""Resampling of chroma planes by two, to and from the positions of their samples.

Libraries that always assume chroma centered between luma samples shift color by half a pixel, which becomes visible
when a frame is enlarged.
"""

from collections.abc import Sequence
from typing import Any

import cv2
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
    # Rows first: a strip of a frame is short and wide.
    if tall:
        plane = plane[slice(*rows)]
    else:
        top = rows[0] // 2
        plane = _cut(plane, top, (rows[1] + 1) // 2, axis=0)
    if wide:
        plane = plane[:, slice(*columns)]
    else:
        left = columns[0] // 2
        plane = _cut(plane, left, (columns[1] + 1) // 2, axis=1)
    if not tall:
        plane = _double(plane, down, axis=0)[rows[0] - 2 * top : rows[1] - 2 * top]
    return plane if wide else _double(plane, across, axis=1)[:, columns[0] - 2 * left : columns[1] - 2 * left]


def _cut(plane: Plane, first: int, last: int, axis: int) -> Plane:
    """Return samples ``first`` to before ``last`` along an axis and MARGIN more on each side, the edge repeated."""
    size = plane.shape[axis]
    start, end = max(first - MARGIN, 0), min(last + MARGIN, size)
    inside = plane[start:end] if axis == 0 else plane[:, start:end]
    before, after = start - (first - MARGIN), last + MARGIN - end
    if not before and not after:
        return inside
    top, bottom, left, right = (before, after, 0, 0) if axis == 0 else (0, 0, before, after)
    return cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REPLICATE)


def _double(padded: Plane, position: float, axis: int) -> Plane:
    """Return twice as many samples along an axis, of a plane with MARGIN samples too many on each side."""
    padded = padded.astype(np.float32, copy=False)  # once, not in each product
    count = padded.shape[axis] - 2 * MARGIN
    shape = (count, padded.shape[1]) if axis == 0 else (padded.shape[0], count)
    # Rows, or columns of an even and of an odd number: contiguous, since strided writes take most of the time.
    phases = np.empty((count, 2, shape[1]) if axis == 0 else (2, *shape), np.float32)
    term = np.empty(shape, np.float32)
    for odd, (first, weights) in enumerate(_PHASES[position]):
        out = phases[:, odd] if axis == 0 else phases[odd]
        taps = [
            (np.float32(weight), padded[start : start + count] if axis == 0 else padded[:, start : start + count])
            for start, weight in enumerate(weights, MARGIN + first)
            if weight
        ]
        _weighted_sum(taps, out, term)
    return phases.reshape(2 * count, -1) if axis == 0 else cv2.merge(list(phases)).reshape(shape[0], 2 * count)


def _weighted_sum(taps: list[tuple[np.float32, Plane]], out: Plane, term: Plane) -> None:
    (weight, samples), *rest = taps
    if not rest:
        out[...] = samples
        return
    np.multiply(samples, weight, out=out)
    for weight, samples in rest:
        np.multiply(samples, weight, out=term)
        out += term


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
