"""The source pixels around the place a flow points to."""

import torch
from torch import Tensor

from iart.ops.warp import pixel_grid


def sampling_taps(flow: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Where an implicit alignment reads its source.

    Taps run row by row over a ``window × window`` neighbourhood of floor(p + flow(p)): 0..1 for a window
    of 2, −1..1 for 3, −1..2 for 4. Taps outside the image are clamped to its edge.

    Args:
        flow: (n, 2, h, w) in pixels, (x, y); computed with in float32.
        window: side of the neighbourhood.

    Returns:
        index: (window², n·h·w) int64 rows of the source when it is listed pixel by pixel, (n·h·w, c);
        offset: (n·h·w, 2) float32, the (row, column) part of the sampling point behind its floor, in [0, 1).
    """
    n, _, h, w = flow.shape
    place = (pixel_grid(h, w, flow.device) + flow.float()).flip(1)
    base = place.floor()
    offset = (place - base).permute(0, 2, 3, 1).reshape(-1, 2)
    first = -((window - 1) // 2)
    step = torch.arange(first, first + window, device=flow.device)
    # Clamped before the conversion too: a wild flow must not overflow an integer.
    row = base[:, 0].clamp(-window, h + window).long()
    column = base[:, 1].clamp(-window, w + window).long()
    rows = (row + step.view(-1, 1, 1, 1)).clamp(0, h - 1) * w + (torch.arange(n, device=flow.device) * (h * w)).view(
        1, n, 1, 1
    )
    columns = (column + step.view(-1, 1, 1, 1)).clamp(0, w - 1)
    index = rows.unsqueeze(1) + columns.unsqueeze(0)
    return index.view(window * window, -1), offset
