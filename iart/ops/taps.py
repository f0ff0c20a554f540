"""The source pixels around the position that a flow points to."""

from typing import Literal

import torch
from torch import Tensor

from iart.ops.warp import pixel_grid

Origin = Literal['centered', 'centred', 'released', 'paper']


def first_tap(window: int, origin: Origin) -> int:
    """Return row and column of a window's first tap, relative to the floor of the sampling point.

    ============  =======================  =========  =========  =========
    origin        first                    window 2   window 3   window 4
    ============  =======================  =========  =========  =========
    ``centered``  −floor((window − 1)/2)   0..1       −1..1      −1..2
    ``released``  0                        0..1       0..2       0..3
    ``paper``     −floor(window/2)         −1..0      −1..1      −2..1
    ============  =======================  =========  =========  =========

    ``centered`` (also spelled ``centred``) takes the pixels around the sampling point; ``released`` is the released
    code, which is centered for a window of 2 only; ``paper`` is equation 13 taken literally.
    """
    middle = -((window - 1) // 2)
    return {'centered': middle, 'centred': middle, 'released': 0, 'paper': -(window // 2)}[origin]


def sampling_taps(
    flow: Tensor, window: int, *, first: int | None = None, mark_outside: bool = False
) -> tuple[Tensor, Tensor]:
    """Return where an implicit alignment reads its source.

    Taps are listed row by row over a ``window × window`` neighborhood of floor(p + flow(p)). Taps outside the image are
    clamped to its edge.

    Args:
        flow: (n, 2, h, w) flow (x, y) in pixels; converted to float32.
        window: side of the neighborhood in pixels.
        first: row and column of the first tap relative to the floor; default the centered one of :func:`first_tap`.
        mark_outside: let taps outside the image name row n·h·w, one behind the last pixel, instead of clamping them.

    Returns:
        index: (window², n·h·w) int64 rows of the source when it is listed pixel by pixel, (n·h·w, c);
        offset: (n·h·w, 2) float32, fractional (row, column) of the sampling point, in [0, 1).
    """
    n, _, h, w = flow.shape
    place = (pixel_grid(h, w, flow.device) + flow.float()).flip(1)
    base = place.floor()
    offset = (place - base).permute(0, 2, 3, 1).reshape(-1, 2)
    first = first_tap(window, 'centered') if first is None else first
    step = torch.arange(first, first + window, device=flow.device).view(-1, 1, 1, 1)
    # Clamped before the conversion as well, so that an extreme flow cannot overflow an integer.
    row = base[:, 0].clamp(-window, h + window).long() + step
    column = base[:, 1].clamp(-window, w + window).long() + step
    rows = row.clamp(0, h - 1) * w + (torch.arange(n, device=flow.device) * (h * w)).view(1, n, 1, 1)
    index = rows.unsqueeze(1) + column.clamp(0, w - 1).unsqueeze(0)
    if mark_outside:
        inside = ((row >= 0) & (row < h)).unsqueeze(1) & ((column >= 0) & (column < w)).unsqueeze(0)
        index = torch.where(inside, index, n * h * w)
    return index.view(window * window, -1), offset
