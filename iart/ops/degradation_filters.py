"""Filters of the degradations: their weights, as they are and rounded so that sums on 8-bit frames are exact."""

import functools
import math
from dataclasses import dataclass

import torch

from iart.degradations import FRAME_KINDS
from iart.errors import UserError, listing

KINDS = FRAME_KINDS
BD_SIGMA, BD_SIZE, BD_SCALE, BD_START = 1.6, 12, 4, 1
# On uint8 frames all sums are exact: weights are multiples of 2^-22 (12 bits are enough for BI at x2 and x4) and
# 8 + 2 * 22 bits fit in a double. So a pixel does not depend on where a crop was taken, on the device or on the order
# of a sum.
_BITS, _BITS_EXACT_IN_FLOAT32 = 22, 14


@dataclass(frozen=True)
class Taps:
    """One-dimensional filter and decimation: ``out[i] = sum_k weights[k] * x[stride * i + first + k]``."""

    first: int
    weights: tuple[float, ...]
    stride: int
    replicate: bool
    """Outside the frame: repeat the edge pixel (BD) or mirror it, the edge pixel included (BI)."""


@functools.cache
def taps(kind: str, scale: int = 4) -> Taps:
    """The filter of a degradation.

    Raises:
        UserError: an unknown kind, or a scale that the kind does not have.
    """
    if kind == 'BI' and scale >= 1:
        center = (scale - 1) / 2
        first = math.floor(center - 2 * scale) + 1
        weights = [cubic((first + k - center) / scale) for k in range(math.ceil(center + 2 * scale) - first)]
    elif kind == 'BD' and scale == BD_SCALE:
        first = BD_START + 1 - BD_SIZE // 2  # MATLAB's origin of an even kernel leaves one offset more to the right
        weights = [math.exp(-((k - (BD_SIZE - 1) / 2) ** 2) / (2 * BD_SIGMA**2)) for k in range(BD_SIZE)]
    else:
        raise UserError(
            f'degradation {kind!r} at scale {scale}: expected one of {listing(KINDS)}, BD at scale {BD_SCALE} only'
        )
    total = math.fsum(weights)
    return Taps(first, tuple(w / total for w in weights), scale, kind == 'BD')


@functools.cache
def exact(kind: str, scale: int) -> tuple[Taps, bool]:
    """Return the filter with weights that add up without error on uint8 frames, and whether a first pass may be
    float32.
    """
    filters = taps(kind, scale)
    rounded = tuple(round(w * 2**_BITS) / 2**_BITS for w in filters.weights)
    short = all((w * 2**_BITS_EXACT_IN_FLOAT32).is_integer() for w in rounded)
    return Taps(filters.first, rounded, filters.stride, filters.replicate), short


@functools.lru_cache(maxsize=256)
def outside(first: int, last: int, length: int, replicate: bool) -> torch.Tensor:
    """Return indices into a line of ``length`` pixels for positions first..last-1, some of which are outside."""
    positions = torch.arange(first, last)
    if replicate:
        return positions.clamp(0, length - 1)
    folded = positions.remainder(2 * length)
    return torch.where(folded < length, folded, 2 * length - 1 - folded)


@functools.cache
def band(filters: Taps, outputs: int, channels: int = 1) -> torch.Tensor:
    """Return the filter as a matrix that makes some neighboring outputs at once.

    Args:
        filters: the filter.
        outputs: number of outputs.
        channels: values of a position, which lie next to each other and are filtered each by itself.

    Returns:
        ((stride·(outputs − 1) + taps)·channels, outputs·channels) float64.
    """
    width = len(filters.weights)
    weights = torch.tensor(filters.weights, dtype=torch.float64)
    matrix = torch.zeros((outputs - 1) * filters.stride + width, channels, outputs, channels, dtype=torch.float64)
    for output in range(outputs):
        begin = output * filters.stride
        for channel in range(channels):
            matrix[begin : begin + width, channel, output, channel] = weights
    return matrix.flatten(0, 1).flatten(1)


def cubic(x: float) -> float:
    """Keys' cubic with a = -0.5, as MATLAB uses it."""
    x = abs(x)
    if x <= 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x <= 2 else 0.0
