"""Plain warping with a fixed kernel: the paper's baseline (table 1), and the smallest example of an alignment."""

from typing import Literal

from torch import Tensor, nn

from iart.ops.warp import flow_warp
from iart.registry import ALIGNMENT_REGISTRY, SUFFIX


@ALIGNMENT_REGISTRY.register(suffix=SUFFIX)
class FlowWarpAlignment(nn.Module):
    """Warp the source with the flow; no weights.

    Args:
        channels, num_heads: taken because every alignment gets them; without effect here.
        resampling: the interpolation kernel.
    """

    def __init__(
        self, *, channels: int, num_heads: int, resampling: Literal['nearest', 'bilinear', 'bicubic'] = 'bilinear'
    ) -> None:
        super().__init__()
        self.resampling = resampling

    def forward(self, source: Tensor, current: Tensor, flow: Tensor) -> Tensor:
        """(n, c, h, w) source, moved by the (n, 2, h, w) flow; zeros come in from outside."""
        return flow_warp(source, flow, mode=self.resampling)
