"""The two degradations of the benchmarks, BI and BD, and MATLAB's bicubic upsampling.

BI is MATLAB's antialiased ``imresize(x, 1/s, 'bicubic')``. BD is a Gaussian blur (sigma 1.6, 12x12 weights over offsets
-5..+6, replicated borders) of which every 4th pixel from index 1 is kept. Both put the sample in the middle of its
block of
pixels, so neither shifts the frame. Both are separable and linear: they run batched, on any device, and differentiate.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from iart.degradations import FRAME_KINDS
from iart.errors import DataError, UserError, listing

KINDS = FRAME_KINDS
SAME = 1.0
"""Root mean square difference, in gray levels, up to which two frames are the same but for rounding."""
BD_SIGMA, BD_SIZE, BD_SCALE, BD_START = 1.6, 12, 4, 1
_STRIP = 32  # output rows that are made at once
_BLOCK = 16  # outputs per small matrix product along the width; any number gives the same result
# On uint8 frames all sums are exact: weights are multiples of 2^-22 (12 bits are enough for BI at x2 and x4) and 8 + 2
# * 22
# bits fit in a double. So a pixel does not depend on where a crop was taken, on the device or on the order of a sum.
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
        weights = [_cubic((first + k - center) / scale) for k in range(math.ceil(center + 2 * scale) - first)]
    elif kind == 'BD' and scale == BD_SCALE:
        first = BD_START + 1 - BD_SIZE // 2  # MATLAB's origin of an even kernel leaves one offset more to the right
        weights = [math.exp(-((k - (BD_SIZE - 1) / 2) ** 2) / (2 * BD_SIGMA**2)) for k in range(BD_SIZE)]
    else:
        raise UserError(
            f'degradation {kind!r} at scale {scale}: expected one of {listing(KINDS)}, BD at scale {BD_SCALE} only'
        )
    total = math.fsum(weights)
    return Taps(first, tuple(w / total for w in weights), scale, kind == 'BD')


def degrade(frames: torch.Tensor, kind: str = 'BI', scale: int = 4) -> torch.Tensor:
    """Low-resolution frames, neither rounded nor clamped (BI overshoots at edges), differentiable.

    Args:
        frames: (..., c, h, w) floating point, [0, 1]. Rows and columns beyond a multiple of ``scale`` are cut off.
        kind: ``BI`` or ``BD``.
        scale: downscaling factor; BD knows 4 only.

    Returns:
        (..., c, h // scale, w // scale); half precision is computed in float32 and converted back.

    Raises:
        UserError: an unknown kind or scale; a frame smaller than one block of pixels.
    """
    h, w = (n - n % scale for n in frames.shape[-2:])
    if not h or not w:
        raise DataError(
            f'a frame of {frames.shape[-1]}x{frames.shape[-2]} pixels cannot be degraded by {scale}: expected '
            f'{scale}x{scale} or more'
        )
    x = frames[..., :h, :w]
    x = x if x.dtype in (torch.float32, torch.float64) else x.float()
    filters = taps(kind, scale)
    strips = [_columns(strip, filters) for plane in x.reshape(-1, h, w) for strip in _rows(plane, filters, x.dtype)]
    return torch.cat(strips).reshape(*frames.shape[:-2], h // scale, w // scale).to(frames.dtype)


def degrade_uint8(image: npt.NDArray[np.uint8], kind: str = 'BI', scale: int = 4) -> npt.NDArray[np.uint8]:
    """Low-resolution frames as the benchmarks' files hold them: (..., h, w, c) → (..., h // scale, w // scale, c).

    The arithmetic is exact up to the final rounding: degrading a crop that begins at a multiple of ``scale`` equals
    cropping the degraded frame, except for the outer two rows and columns, which see the crop's border.

    Raises:
        UserError: an unknown kind or scale; not uint8; a frame smaller than one block of pixels.
    """
    if image.dtype != np.uint8 or image.ndim < 3:
        raise DataError(f'degradation of 8-bit frames: got {image.dtype} {image.shape}, expected uint8 (h, w, c)')
    if image.ndim > 3:
        return np.stack([degrade_uint8(one, kind, scale) for one in image])
    h, w, c = image.shape[0] // scale * scale, image.shape[1] // scale * scale, image.shape[2]
    if not h or not w:
        raise DataError(
            f'a frame of {image.shape[1]}x{image.shape[0]} pixels cannot be degraded by {scale}: expected '
            f'{scale}x{scale} or more'
        )
    filters, exact_in_float32 = _exact(kind, scale)
    pixels = torch.from_numpy(np.ascontiguousarray(image[:h, :w])).reshape(h, w * c)
    strips = []
    for strip in _rows(pixels, filters, torch.float32 if exact_in_float32 else torch.float64):
        strips.append(_columns(strip.view(-1, w, c).transpose(1, 2), filters, torch.float64))
    low = torch.cat(strips).add_(0.5).floor_().clamp_(0, 255)
    return low.transpose(1, 2).to(torch.uint8, memory_format=torch.contiguous_format).numpy()


def upsample_bicubic(frames: torch.Tensor, scale: int = 4) -> torch.Tensor:
    """MATLAB's ``imresize(x, s, 'bicubic')``: (..., c, h, w) -> (..., c, s*h, s*w), neither rounded nor clamped,
    differentiable.
    """
    x = frames if frames.dtype in (torch.float32, torch.float64) else frames.float()
    for _ in range(2):
        x = _widen(x, scale).transpose(-1, -2)
    return x.contiguous().to(frames.dtype)


def kinds_of(scale: int) -> tuple[str, ...]:
    """Return the degradations that exist at this scale."""
    return tuple(kind for kind in KINDS if kind != 'BD' or scale == BD_SCALE)


def difference(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    """Return the root mean square difference of two frames in gray levels; infinite for frames of different sizes."""
    return float(np.sqrt(cv2.norm(a, b, cv2.NORM_L2SQR) / a.size)) if a.shape == b.shape else math.inf


def recognize(
    gt: npt.NDArray[np.uint8], lq: npt.NDArray[np.uint8], scale: int, expected: str | None = None
) -> tuple[str, float] | None:
    """Return which degradation made ``lq`` out of ``gt``, and how far it is from that in gray levels (RMS).

    A frame shifted by half a low-resolution pixel differs by several levels, a frame made with the right filter by
    almost nothing: up to :data:`SAME`, two frames are the same but for rounding.

    Args:
        gt: (s*h, s*w, 3) uint8.
        lq: (h, w, 3) uint8.
        scale: s.
        expected: degradation to try first; where it fits, the other one is not tried.

    Returns:
        ``BI`` or ``BD``, the closer one, with its difference; None when it is neither.
    """
    fitting: list[tuple[str, float]] = []
    for kind in sorted(kinds_of(scale), key=lambda kind: kind != expected):
        rms = difference(degrade_uint8(gt, kind, scale), lq)
        if rms <= SAME and kind == expected:
            return kind, rms
        if rms <= SAME:
            fitting.append((kind, rms))
    return min(fitting, key=lambda fit: fit[1], default=None)


def _cubic(x: float) -> float:
    """Keys' cubic with a = -0.5, as MATLAB uses it."""
    x = abs(x)
    if x <= 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x <= 2 else 0.0


@functools.cache
def _exact(kind: str, scale: int) -> tuple[Taps, bool]:
    """The filter with weights that add up without error on uint8 frames, and whether a first pass may be float32."""
    filters = taps(kind, scale)
    rounded = tuple(round(w * 2**_BITS) / 2**_BITS for w in filters.weights)
    short = all((w * 2**_BITS_EXACT_IN_FLOAT32).is_integer() for w in rounded)
    return Taps(filters.first, rounded, filters.stride, filters.replicate), short


@functools.lru_cache(maxsize=256)
def _outside(first: int, last: int, length: int, replicate: bool) -> torch.Tensor:
    """Return indices into a line of ``length`` pixels for positions first..last-1, some of which are outside."""
    positions = torch.arange(first, last)
    if replicate:
        return positions.clamp(0, length - 1)
    folded = positions.remainder(2 * length)
    return torch.where(folded < length, folded, 2 * length - 1 - folded)


def _rows(plane: torch.Tensor, filters: Taps, dtype: torch.dtype) -> Iterator[torch.Tensor]:
    """Filter and decimate along the first dimension, in ``dtype``: (h, w) -> strips of rows which together are (h //
    stride, w).

    Strip by strip, so that what a strip is converted to stays in the processor's cache; taps are an overlapping view of
    it.
    """
    h = plane.shape[0]
    stride, width, count = filters.stride, len(filters.weights), h // filters.stride
    weights = torch.tensor(filters.weights, dtype=dtype, device=plane.device)
    for begin in range(0, count, _STRIP):
        outputs = min(_STRIP, count - begin)
        first = begin * stride + filters.first
        last = first + (outputs - 1) * stride + width
        if first >= 0 and last <= h:
            lines = plane[first:last]
        else:
            lines = plane.index_select(0, _outside(first, last, h, filters.replicate).to(plane.device))
        windows = lines.to(dtype).unfold(0, width, stride).transpose(1, 2)  # (outputs, width, w), a view
        yield torch.bmm(weights.expand(outputs, 1, width), windows).squeeze(1)


def _columns(x: torch.Tensor, filters: Taps, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Filter and decimate along the last dimension: (..., w) -> (..., w // stride), as products with a small banded
    matrix, in ``dtype`` (default: that of ``x``).
    """
    count = x.shape[-1] // filters.stride
    step = _BLOCK * filters.stride
    return _banded(x, _band(filters), first=filters.first, step=step, replicate=filters.replicate, dtype=dtype)[
        ..., :count
    ]


@functools.cache
def _band(filters: Taps) -> torch.Tensor:
    """The filter as a matrix (taps, outputs) that makes a block of neighboring outputs at once."""
    width = len(filters.weights)
    band = torch.zeros((_BLOCK - 1) * filters.stride + width, _BLOCK, dtype=torch.float64)
    for column in range(_BLOCK):
        begin = column * filters.stride
        band[begin : begin + width, column] = torch.tensor(filters.weights, dtype=torch.float64)
    return band


def _widen(x: torch.Tensor, scale: int) -> torch.Tensor:
    """Bicubic interpolation along the last dimension: (..., w) -> (..., scale * w)."""
    return _banded(x, _bicubic_band(scale), first=-2, step=_BLOCK, replicate=False)[..., : x.shape[-1] * scale]


@functools.cache
def _bicubic_band(scale: int) -> torch.Tensor:
    band = torch.zeros(_BLOCK + 4, _BLOCK * scale, dtype=torch.float64)
    for column in range(_BLOCK * scale):
        position = (column + 0.5) / scale - 0.5
        for tap in range(math.floor(position) - 1, math.floor(position) + 3):
            band[tap + 2, column] = _cubic(position - tap)
    return band


def _banded(
    x: torch.Tensor, band: torch.Tensor, *, first: int, step: int, replicate: bool, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """Apply ``band`` (taps, outputs) to windows of the last dimension that begin at first, first + step, ..."""
    reach, outputs = band.shape
    length = x.shape[-1]
    blocks = -(-length // step)
    before = _outside(first, 0, length, replicate).to(x.device)
    after = _outside(length, first + (blocks - 1) * step + reach, length, replicate).to(x.device)
    # One copy transposes, converts and makes room for what lies outside.
    edges = [x.index_select(-1, index).to(dtype or x.dtype) for index in (before, after)]
    lines = torch.cat([edges[0], x.to(dtype or x.dtype), edges[1]], dim=-1).view(-1, len(before) + length + len(after))
    windows = lines.unfold(1, reach, step).transpose(0, 1)  # (blocks, lines, taps), a view
    product = torch.bmm(windows, band.to(lines).expand(blocks, reach, outputs))
    return product.transpose(0, 1).reshape(*x.shape[:-1], blocks * outputs)
