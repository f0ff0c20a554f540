"""Resampling of colour planes by two, with the sample positions of MPEG-2, H.264 and HEVC.

Across, a chroma sample lies on the even luma sample ("left"); down, halfway between two luma rows. Libraries that take
it to lie
in the middle both ways move colour by half a pixel, which would stay visible when a frame is enlarged after it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

_HALFWAY = (-1 / 16, 9 / 16, 9 / 16, -1 / 16)  # Catmull-Rom at 1/2
_QUARTER = (-0.0234375, 0.2265625, 0.8671875, -0.0703125)  # at 3/4 of the way; reversed: at 1/4
_DOWN_LEFT = (-1 / 32, 0.0, 9 / 32, 16 / 32, 9 / 32, 0.0, -1 / 32)
_DOWN_BETWEEN = (-1 / 16, 9 / 16, 9 / 16, -1 / 16)
_ACROSS, _DOWN = -1, -2


def enlarge(plane: Tensor, size: tuple[int, int]) -> Tensor:
    """A chroma plane (ceil(h/2) or h, ceil(w/2) or w) on the luma grid ``size`` (h, w); the inverse of
    :func:`reduce`."""
    h, w = size
    if plane.shape[_ACROSS] != w:
        plane = _interleave(plane, _filter(plane, _ACROSS, -1, _HALFWAY), _ACROSS, w)
    if plane.shape[_DOWN] != h:
        plane = _interleave(_filter(plane, _DOWN, -2, _QUARTER), _filter(plane, _DOWN, -1, _QUARTER[::-1]), _DOWN, h)
    return plane


def reduce(plane: Tensor, *, across: bool, down: bool) -> Tensor:
    """A chroma plane (h, w) with every second column and row left, rounded up."""
    if across:
        plane = _filter(plane, _ACROSS, -3, _DOWN_LEFT, stride=2)
    if down:
        plane = _filter(plane, _DOWN, -1, _DOWN_BETWEEN, stride=2)
    return plane


def _filter(plane: Tensor, dim: int, first: int, weights: Sequence[float], stride: int = 1) -> Tensor:
    """``out[i] = sum_k weights[k] · plane[stride · i + first + k]``, the edge repeated outside."""
    size = plane.shape[dim]
    index = torch.arange(0, size, stride)
    out = torch.zeros(())
    for k, weight in enumerate(weights):
        if weight:
            out = out + weight * plane.index_select(dim, (index + first + k).clamp(0, size - 1))
    return out


def _interleave(even: Tensor, odd: Tensor, dim: int, size: int) -> Tensor:
    return torch.stack([even, odd], dim=dim).flatten(dim - 1, dim).narrow(dim, 0, size)
