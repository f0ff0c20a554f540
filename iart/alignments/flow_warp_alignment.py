"""Warping with a fixed kernel: the paper's baseline (table 1), and the smallest example of an alignment."""

from typing import Literal

from torch import Tensor, nn

from iart.ops.warp import flow_warp
from iart.registry import ALIGNMENT_REGISTRY, SUFFIX


@ALIGNMENT_REGISTRY.register(suffix=SUFFIX)
class FlowWarpAlignment(nn.Module):
    """Warp the source with the flow (paper, section 3.3 and table 1).

    ``aligned(p) = Σ_k w_k(d) · source(floor(s) + k)`` with s = p + flow(p) and d = s − floor(s). No parameters.

    Args:
        channels, num_heads: passed to every alignment; no effect here.
        resampling: the kernel w: ``nearest``, ``bilinear``, or ``bicubic`` (Keys, a = −0.75). ``nearest`` passes no
            gradient to the flow.
        padding: the values outside the image: ``zeros``, as in all published runs (a sample half outside is darkened),
            or ``border``, the nearest pixel of the edge.
    """

    def __init__(
        self,
        *,
        channels: int,
        num_heads: int,
        resampling: Literal['nearest', 'bilinear', 'bicubic'] = 'bilinear',
        padding: Literal['zeros', 'border'] = 'zeros',
    ) -> None:
        super().__init__()
        self.resampling, self.padding = resampling, padding

    @property
    def trains_flow(self) -> bool:
        """Whether a gradient reaches the flow."""
        return self.resampling != 'nearest'

    def forward(self, source: Tensor, current: Tensor, flow: Tensor) -> Tensor:
        """Return the (n, c, h, w) source, warped by the (n, 2, h, w) flow in pixels."""
        return flow_warp(source, flow, mode=self.resampling, padding=self.padding)
