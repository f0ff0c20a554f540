"""The two degradations of the benchmarks, BI and BD, and MATLAB's bicubic upsampling.

BI is MATLAB's antialiased ``imresize(x, 1/s, 'bicubic')``. BD is a Gaussian blur (sigma 1.6, 12x12 weights over offsets
-5..+6, replicated borders) of which every 4th pixel from index 1 is kept. Both put the sample in the middle of its
block of pixels, so neither shifts the frame. Both are separable and linear: they run batched, on any device, and
differentiate.
"""

import functools
import math
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
import torch

from iart.errors import DataError
from iart.ops.degradation_filters import BD_SCALE as BD_SCALE
from iart.ops.degradation_filters import BD_SIGMA as BD_SIGMA
from iart.ops.degradation_filters import KINDS, Taps, band, cubic, exact, outside
from iart.ops.degradation_filters import taps as taps

SAME = 1.0
"""Root mean square difference, in gray levels, up to which two frames are the same but for rounding."""
_STRIP = 32  # output rows that are made at once
_BLOCK = 16  # outputs per small matrix product along the width; any number gives the same result
# The same for 8-bit frames: rows in the cache at once, and neighboring outputs of one matrix product.
_STRIP_UINT8, _OUTPUTS_UINT8 = 16, 4


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
    h, w = (n // scale * scale for n in image.shape[:2])
    if not h or not w:
        raise DataError(
            f'a frame of {image.shape[1]}x{image.shape[0]} pixels cannot be degraded by {scale}: expected '
            f'{scale}x{scale} or more'
        )
    filters, exact_in_float32 = exact(kind, scale)
    pixels = torch.from_numpy(np.ascontiguousarray(image[:h, :w]))
    return _degrade_exactly(pixels, filters, torch.float32 if exact_in_float32 else torch.float64).numpy()


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


def _degrade_exactly(pixels: torch.Tensor, filters: Taps, dtype: torch.dtype) -> torch.Tensor:
    """Filter and decimate (h, w, c) uint8 in both directions by matrix products that read overlapping views.

    Args:
        pixels: on the CPU, whole blocks of the filter's stride.
        filters: weights whose sums are exact.
        dtype: what sums along the height are exact in; sums along the width are made in float64.

    Returns:
        (h // stride, w // stride, c) uint8.
    """
    h, w, c = pixels.shape
    stride, width, outputs = filters.stride, len(filters.weights), _OUTPUTS_UINT8
    reach, step = (outputs - 1) * stride + width, outputs * stride
    down, across = band(filters, outputs).T.to(dtype), band(filters, outputs, c)
    blocks = -(-w // step)
    whole = -(-((blocks - 1) * step + reach) // step)  # blocks of a padded line; those behind the last one are dropped
    before = outside(filters.first, 0, w, filters.replicate)
    after = outside(w, filters.first + whole * step, w, filters.replicate)
    # Memory that is taken once: fresh pages for each strip cost a sixth of the time.
    groups = _STRIP_UINT8 // outputs
    source = torch.empty((groups - 1) * step + reach, w * c, dtype=dtype)
    rows = torch.empty(groups, outputs, w * c, dtype=dtype)
    padded = torch.zeros((_STRIP_UINT8 * whole * step + reach) * c, dtype=torch.float64)
    sums = torch.empty(_STRIP_UINT8 * whole, outputs * c, dtype=torch.float64)
    taken = source.unfold(0, reach, step).transpose(1, 2)  # (groups, reach, w·c), overlapping
    lines = padded[: _STRIP_UINT8 * whole * step * c].view(_STRIP_UINT8, whole * step, c)
    windows = padded.as_strided((_STRIP_UINT8 * whole, reach * c), (step * c, 1))  # of all lines, overlapping
    low = torch.empty(h // stride, blocks, outputs * c, dtype=torch.uint8)
    for begin in range(0, len(low), _STRIP_UINT8):
        count, first = min(_STRIP_UINT8, len(low) - begin), begin * stride + filters.first
        source.copy_(_lines(pixels.view(h, w * c), first, first + len(source), filters.replicate))
        torch.bmm(down.expand(groups, outputs, reach), taken, out=rows)
        values = rows.view(_STRIP_UINT8, w, c)
        lines[:, len(before) : len(before) + w] = values
        lines[:, : len(before)] = values.index_select(1, before)
        lines[:, len(before) + w :] = values.index_select(1, after)
        # Rounded by the conversion to bytes, which drops the fraction.
        torch.mm(windows, across, out=sums).add_(0.5).clamp_(0, 255)
        low[begin : begin + count] = sums.view(_STRIP_UINT8, whole, -1)[:count, :blocks]
    return low.view(len(low), blocks * outputs, c)[:, : w // stride].contiguous()


def _lines(plane: torch.Tensor, first: int, last: int, replicate: bool) -> torch.Tensor:
    """Return rows first..last-1, some of which may be outside."""
    if first >= 0 and last <= len(plane):
        return plane[first:last]
    return plane.index_select(0, outside(first, last, len(plane), replicate).to(plane.device))


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
        lines = _lines(plane, first, first + (outputs - 1) * stride + width, filters.replicate)
        windows = lines.to(dtype).unfold(0, width, stride).transpose(1, 2)  # (outputs, width, w), a view
        yield torch.bmm(weights.expand(outputs, 1, width), windows).squeeze(1)


def _columns(x: torch.Tensor, filters: Taps) -> torch.Tensor:
    """Filter and decimate along the last dimension: (..., w) -> (..., w // stride), as products with a small banded
    matrix.
    """
    count = x.shape[-1] // filters.stride
    step = _BLOCK * filters.stride
    return _banded(x, band(filters, _BLOCK), first=filters.first, step=step, replicate=filters.replicate)[..., :count]


def _widen(x: torch.Tensor, scale: int) -> torch.Tensor:
    """Bicubic interpolation along the last dimension: (..., w) -> (..., scale * w)."""
    return _banded(x, _bicubic_band(scale), first=-2, step=_BLOCK, replicate=False)[..., : x.shape[-1] * scale]


@functools.cache
def _bicubic_band(scale: int) -> torch.Tensor:
    band = torch.zeros(_BLOCK + 4, _BLOCK * scale, dtype=torch.float64)
    for column in range(_BLOCK * scale):
        position = (column + 0.5) / scale - 0.5
        for tap in range(math.floor(position) - 1, math.floor(position) + 3):
            band[tap + 2, column] = cubic(position - tap)
    return band


def _banded(x: torch.Tensor, band: torch.Tensor, *, first: int, step: int, replicate: bool) -> torch.Tensor:
    """Apply ``band`` (taps, outputs) to windows of the last dimension that begin at first, first + step, ..."""
    reach, outputs = band.shape
    length = x.shape[-1]
    blocks = -(-length // step)
    before = outside(first, 0, length, replicate).to(x.device)
    after = outside(length, first + (blocks - 1) * step + reach, length, replicate).to(x.device)
    # One copy transposes and makes room for what lies outside.
    edges = [x.index_select(-1, index) for index in (before, after)]
    lines = torch.cat([edges[0], x, edges[1]], dim=-1).view(-1, len(before) + length + len(after))
    windows = lines.unfold(1, reach, step).transpose(0, 1)  # (blocks, lines, taps), a view
    product = torch.bmm(windows, band.to(lines).expand(blocks, reach, outputs))
    return product.transpose(0, 1).reshape(*x.shape[:-1], blocks * outputs)
