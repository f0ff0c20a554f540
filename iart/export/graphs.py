"""The parts of a network that become graphs, and how they make up a clip.

A network is cut where a runtime keeps state: the flow between two frames, one step of each pass, and the
reconstruction of a frame. What each graph takes and gives has names; a graph gets what its names ask for:

=================  ====================================================  =================================
name               what                                                  shape
=================  ====================================================  =================================
``frame``          LR frame, RGB in [0, 1]                               (1, 3, h, w)
``next_frame``     the frame that the flow leads to                      (1, 3, h, w)
``flow``           flow to the first-order neighbor, pixels              (1, 2, h, w)
``flow_before``    that of the step before                               (1, 2, h, w)
``feature``        what the pass before made of this frame               (1, C, h, w)
``source1``        what this pass made of its last frame                 (1, C, h, w)
``source2``        of the one before it                                  (1, C, h, w)
``has1``, ``has2`` whether there are such frames in this pass (bool)     ()
the pass's name    what it made of this frame                            (1, C, h, w)
``restored``       the output                                            (1, 3, s·h, s·w)
=================  ====================================================  =================================

Flows and frames are float32 in every precision; features have the precision of the weights.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iart.archs.flow import pair_flows
from iart.archs.iabasicvsr_arch import IABasicVSR
from iart.archs.iart_arch import IART
from iart.archs.propagation import second_flow
from iart.errors import UserError
from iart.ops.warp import flow_warp
from iart.registry import SMALLEST_SIDE as SMALLEST_OF_SPYNET
from iart.registry import spynet_class

SMALLEST_SIDE = 16
"""LR pixels of a graph for one size: two attention windows."""
SMALLEST_OF_ANY = SMALLEST_OF_SPYNET
"""LR pixels of a graph for any size: smaller frames would have to be padded for the flow."""


class Graph(nn.Module):
    """A part of a network whose ``forward`` takes the tensors that ``inputs`` names, in their order."""

    inputs: tuple[str, ...]
    output: str


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
        """(1, 3, h, w) frames → (1, 2, h, w) pixels."""
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


class IARTStep(Graph):
    """One step of a pass of IART: align both neighbors, fuse.

    Args:
        network: the network.
        name: the pass.
    """

    def __init__(self, network: IART, name: str) -> None:
        super().__init__()
        passes, order = list(network.propagation.passes), network.propagation.order
        self.output, self.order = name, order
        self.first = network.conv_first if name == passes[0] else None
        self.align, self.backbone = network.alignment_of(name), network.swin_backbone[name]
        given = 'frame' if self.first is not None else 'feature'
        near, far = ('source1', 'flow', 'has1'), ('source2', 'flow_before', 'has2')
        self.inputs = (given, *near, *(far if order == 2 else ()))

    def forward(self, given: Tensor, source1: Tensor, flow: Tensor, has1: Tensor, *far: Tensor) -> Tensor:
        """Return the (1, C, h, w) feature that the pass makes of a frame."""
        x = given if self.first is None else self.first(given.to(source1.dtype))
        near = torch.where(has1, self.align(source1, x, flow), x)
        aligned = [near, x]
        if self.order == 2:
            source2, flow_before, has2 = far
            second = torch.where(has2, self.align(source2, x, second_flow(flow, flow_before)), torch.zeros_like(x))
            aligned.append(torch.where(has1, second, x))
        result: Tensor = self.backbone(torch.stack(aligned, dim=1))
        return result.contiguous()


class IABasicVSRStep(Graph):
    """One step of a pass of IABasicVSR, or BasicVSR.

    Args:
        network: the network.
        name: the pass: ``backward`` or ``forward``.
    """

    inputs = ('frame', 'source1', 'flow', 'has1')

    def __init__(self, network: IABasicVSR, name: str) -> None:
        super().__init__()
        self.output, self.network = name, network
        self.trunk = network.get_submodule(f'{name}_trunk')

    def forward(self, frame: Tensor, source1: Tensor, flow: Tensor, has1: Tensor) -> Tensor:
        """Return the (1, C, h, w) feature that the pass makes of a frame."""
        frame = frame.to(source1.dtype)
        return self.network.trunk_step(self.trunk, frame, source1, flow, has1)


class Reconstruction(Graph):
    """From features to a restored frame.

    Args:
        network: the network.
        features: names of the features it takes.
    """

    output = 'restored'

    def __init__(self, network: IART | IABasicVSR, features: Sequence[str]) -> None:
        super().__init__()
        self.network, self.inputs = network, (*features, 'frame')

    def forward(self, *given: Tensor) -> Tensor:
        """Return the (1, 3, s·h, s·w) float32 frame."""
        *features, frame = given
        reconstruct: Any = self.network.reconstruct
        restored: Tensor = reconstruct(*features, frame.to(features[0].dtype))
        return restored.float()


class ClipGraphs(nn.Module):
    """All graphs of a network.

    Args:
        network: IART, or IABasicVSR, in evaluation mode.

    Raises:
        UserError: another network, or an alignment that takes both neighbors at once.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        steps: list[Graph]
        if isinstance(network, IART):
            if getattr(network.implicit_warp, 'joint', False):
                raise UserError('export: got an alignment that takes both neighbors at once, expected another one')
            names = list(network.propagation.passes)
            steps = [IARTStep(network, name) for name in names]
            last = ['feature']
        elif isinstance(network, IABasicVSR):
            names = last = list(network.propagation.passes)
            steps = [IABasicVSRStep(network, name) for name in names]
        else:
            raise UserError(f'export: got {type(network).__name__}, expected IART, IABasicVSR or BasicVSR')
        self.passes, self.scale = names, int(network.scale)
        self.channels = network.embed_dim if isinstance(network, IART) else network.num_feat
        self.flow = FlowGraph(network)
        self.steps = nn.ModuleList(steps)
        self.reconstruction = Reconstruction(network, last)

    def parts(self) -> dict[str, Graph]:
        """Return every graph by the name of its file."""
        steps = {f'step_{name}': step for name, step in zip(self.passes, self.steps, strict=True)}
        return {'flow': self.flow, **steps, 'reconstruct': self.reconstruction}  # type: ignore[dict-item]

    def restore(self, frames: Sequence[Tensor]) -> list[Tensor]:
        """Restore a clip by its graphs, as a runtime does.

        Args:
            frames: t times (1, 3, h, w).

        Returns:
            t times (1, 3, s·h, s·w) float32.
        """
        return restore(self.parts(), self.passes, self.channels, frames)


def restore(parts: Mapping[str, Any], passes: Sequence[str], channels: int, frames: Sequence[Tensor]) -> list[Tensor]:
    """Restore a clip with graphs, or with anything that is called like them.

    Args:
        parts: as :meth:`ClipGraphs.parts` gives them.
        passes: names of the passes, in their order.
        channels: width C of the features.
        frames: t times (1, 3, h, w).
    """
    t, (_, _, h, w) = len(frames), frames[0].shape
    dtype = next(iter(parts['reconstruct'].parameters())).dtype
    kept: list[dict[str, Tensor]] = [{'frame': frame} for frame in frames]
    flows = {
        way: [parts['flow'](*pair) for pair in zip(start, end, strict=True)]
        for way, start, end in (('backward', frames[:-1], frames[1:]), ('forward', frames[1:], frames[:-1]))
        if any(name.startswith(way) for name in passes)
    }
    for name in passes:
        step, backward = parts[f'step_{name}'], name.startswith('backward')
        nothing, still = frames[0].new_zeros(1, channels, h, w, dtype=dtype), frames[0].new_zeros(1, 2, h, w)
        state = {'source1': nothing, 'source2': nothing, 'flow_before': still}
        for count, i in enumerate(range(t - 1, -1, -1) if backward else range(t)):
            flow = flows['backward'][i] if backward and count else flows['forward'][i - 1] if count else still
            given = {**state, **kept[i], 'flow': flow}
            given |= {'has1': torch.tensor(count > 0), 'has2': torch.tensor(count > 1)}
            made = step(*(given[key] for key in step.inputs))
            kept[i] |= {name: made, 'feature': made}
            state = {'source1': made, 'source2': state['source1'], 'flow_before': flow}
    last = parts['reconstruct']
    return [last(*(values[key] for key in last.inputs)) for values in kept]


class WindowGraph(Graph):
    """A whole window of frames in one graph without state, for runtimes that keep none.

    Args:
        graphs: the network's graphs.
        frames: T.
        middle: give the middle frame only.
        five: (N, T, 3, h, w) instead of (N, T·3, h, w).
    """

    inputs, output = ('frames',), 'restored'

    def __init__(self, graphs: ClipGraphs, frames: int, *, middle: bool = False, five: bool = False) -> None:
        super().__init__()
        self.graphs, self.count, self.middle, self.five = graphs, frames, middle, five

    def forward(self, frames: Tensor) -> Tensor:
        """(N, T·3, h, w) → (N, T·3, s·h, s·w), or (N, 3, s·h, s·w) for the middle frame."""
        clip = frames if self.five else frames.unflatten(1, (self.count, 3))
        restored = self.graphs.restore(clip.unbind(1))
        if self.middle:
            return restored[self.count // 2]
        return torch.stack(restored, dim=1) if self.five else torch.cat(restored, dim=1)
