"""The four pixels around the sampling point, mixed by one learned 1×1 convolution."""

import torch
from torch import Tensor, nn

from iart.ops.taps import sampling_taps
from iart.registry import ALIGNMENT_REGISTRY, SUFFIX


@ALIGNMENT_REGISTRY.register(suffix=SUFFIX)
class Nearest4Alignment(nn.Module):
    """Stack the four source pixels around s = p + flow(p) and mix them: ``aligned(p) = W·[source(t_1), ...,
    source(t_4)] + b``.

    Parameters: 4·C² + C; 14,460 at C = 60. In the released study code, but not in the paper. How the pixels are stacked
        was not
    released; the order and the edges here are ours: those of the implicit alignment with a window of 2 (row by row,
    channels of the first tap first, a tap outside reads the pixel at the edge). The mix is the same everywhere: the
    sub-pixel part of the flow has no effect, and the flow gets no gradient.

    Args:
        channels: width C of the features.
        num_heads: every alignment gets it; no effect here.
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
