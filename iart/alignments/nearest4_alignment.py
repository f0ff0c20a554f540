"""The four pixels around the sampling point, mixed by one learned 1×1 convolution."""

import torch
from torch import Tensor, nn

from iart.ops.taps import sampling_taps
from iart.registry import ALIGNMENT_REGISTRY, SUFFIX


@ALIGNMENT_REGISTRY.register(suffix=SUFFIX)
class Nearest4Alignment(nn.Module):
    """Mix the four source pixels around s = p + flow(p): ``aligned(p) = W·[source(t_1), ..., source(t_4)] + b``.

    Parameters: 4·C² + C; 14,460 at C = 60. Part of the released study code, but not of the paper. The order in which
    pixels are stacked was not released; order and edges here are ours, those of the implicit alignment with a window of
    2 (row by row, channels of the first tap first, taps outside read the pixel at the edge). W does not depend on the
    sub-pixel part of the flow, and no gradient reaches the flow.

    Args:
        channels: width C of the features.
        num_heads: passed to every alignment; no effect here.
    """

    trains_flow = False

    def __init__(self, *, channels: int, num_heads: int) -> None:
        super().__init__()
        self.aggregation = nn.Conv2d(4 * channels, channels, 1)

    def forward(self, source: Tensor, current: Tensor, flow: Tensor) -> Tensor:
        """Return (n, c, h, w) for a source of the same shape and a (n, 2, h, w) flow in pixels."""
        n, c, h, w = source.shape
        index, _ = sampling_taps(flow, 2)
        rows = source.permute(0, 2, 3, 1).reshape(-1, c)
        taps = torch.cat([rows.index_select(0, i) for i in index], dim=1)
        return self.aggregation(taps.view(n, h, w, 4 * c).permute(0, 3, 1, 2))
