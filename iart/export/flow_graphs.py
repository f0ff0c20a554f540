"""The graph of the flow between two frames."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iart.archs.flow import pair_flows
from iart.export.graph import Graph
from iart.ops.warp import flow_warp
from iart.registry import spynet_class


class FlowGraph(Graph):
    """Flow between two frames.

    Args:
        network: has the flow network.
    """

    inputs, output = ('frame', 'next_frame'), 'flow'

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.spynet = network.get_submodule('spynet')

    def forward(self, frame: Tensor, next_frame: Tensor) -> Tensor:
        """Return the (1, 2, h, w) flow in pixels between (1, 3, h, w) frames."""
        return pair_flows(self.spynet, frame[:, None], next_frame[:, None])[:, 0]


class AnySizeFlowGraph(FlowGraph):
    """Flow by SPyNet between frames of a size that is chosen when the graph runs."""

    def forward(self, frame: Tensor, next_frame: Tensor) -> Tensor:
        """Return the (1, 2, h, w) flow in pixels between (1, 3, h, w) frames."""
        if isinstance(self.spynet, spynet_class()):
            return spynet_flow(self.spynet, frame, next_frame)
        return super().forward(frame, next_frame)


def spynet_flow(spynet: nn.Module, start: Tensor, end: Tensor) -> Tensor:
    """Compute the flow of SPyNet (Ranjan and Black, CVPR 2017) for frames of any size that is chosen when a graph runs.

    BasicSR's own ``forward`` computes sizes as floating-point numbers, which an exported graph keeps as constants. The
    result is the same up to rounding.

    Args:
        spynet: BasicSR's, with the networks of six levels.
        start, end: (n, 3, h, w) frames of 64 pixels a side or more.

    Returns:
        (n, 2, h, w) flow from ``start`` to ``end`` in pixels.
    """
    h, w = start.shape[-2:]
    high, wide = (h + 31) // 32 * 32, (w + 31) // 32 * 32
    levels = list(spynet.get_submodule('basic_module').children())
    frames = torch.stack((start, end)).flatten(0, 1)
    frames = F.interpolate(frames, size=(high, wide), mode='bilinear', align_corners=False)
    pyramid = [(frames - spynet.get_buffer('mean')) / spynet.get_buffer('std')]
    for _ in levels[1:]:
        pyramid.append(F.avg_pool2d(pyramid[-1], 2))
    flow = start.new_zeros(start.shape[0], 2, high // 32, wide // 32)
    for number, (level, pair) in enumerate(zip(levels, reversed(pyramid), strict=True)):
        if number:
            flow = 2 * F.interpolate(flow, scale_factor=2, mode='bilinear', align_corners=True)
        first, second = pair.chunk(2)
        flow = flow + level(torch.cat((first, flow_warp(second, flow, padding='border'), flow), dim=1))
    flow = F.interpolate(flow, size=(h, w), mode='bilinear', align_corners=False)
    return torch.stack((flow[:, 0] * w / wide, flow[:, 1] * h / high), dim=1)
