"""The parts of a network that are exported as graphs, and the restoration of a clip with them.

A network is cut where a runtime keeps state: the flow between two frames, one step of each pass, and the
reconstruction of a frame. The inputs and outputs of all graphs have common names:

=================  ====================================================  =================================
name               meaning                                               shape
=================  ====================================================  =================================
``frame``          LR frame, RGB in [0, 1]                               (1, 3, h, w)
``next_frame``     the frame that the flow leads to                      (1, 3, h, w)
``flow``           flow to the first-order neighbor, pixels              (1, 2, h, w)
``flow_before``    flow of the previous step                             (1, 2, h, w)
``feature``        feature of this frame from the previous pass          (1, C, h, w)
``source1``        feature of this pass's previous frame                 (1, C, h, w)
``source2``        feature of the frame before that one                  (1, C, h, w)
``has1``, ``has2`` whether this pass has had such frames (bool)          ()
the pass's name    feature of this frame from that pass                  (1, C, h, w)
``restored``       the output                                            (1, 3, s·h, s·w)
=================  ====================================================  =================================

Flows and frames are float32 in every precision; features have the precision of the weights.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from iart.archs.iabasicvsr_arch import IABasicVSR
from iart.archs.iart_arch import IART
from iart.archs.propagation import second_flow
from iart.errors import UserError
from iart.export.flow_graphs import FlowGraph
from iart.export.graph import Graph, parts_of

_RECONSTRUCTING = ('fusion', 'conv_before_upsample', 'upconv1', 'upconv2', 'conv_hr', 'conv_last')


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
        """Return the (1, C, h, w) feature of a frame from this pass."""
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
        self.output, self.network = name, parts_of(network, 'extractor', 'alignment')
        self.trunk = network.get_submodule(f'{name}_trunk')

    def forward(self, frame: Tensor, source1: Tensor, flow: Tensor, has1: Tensor) -> Tensor:
        """Return the (1, C, h, w) feature of a frame from this pass."""
        frame = frame.to(source1.dtype)
        trunk_step: Any = self.network.trunk_step
        feature: Tensor = trunk_step(self.trunk, frame, source1, flow, has1)
        return feature


class Reconstruction(Graph):
    """From features to a restored frame.

    Args:
        network: the network.
        features: names of the features it takes.
    """

    output = 'restored'

    def __init__(self, network: IART | IABasicVSR, features: Sequence[str]) -> None:
        super().__init__()
        self.network, self.inputs = parts_of(network, *_RECONSTRUCTING), (*features, 'frame')

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
        dtype = next(self.reconstruction.parameters()).dtype
        return restore(self.parts(), self.passes, self.channels, frames, dtype)


def restore(
    parts: Mapping[str, Any], passes: Sequence[str], channels: int, frames: Sequence[Tensor], dtype: torch.dtype
) -> list[Tensor]:
    """Restore a clip with graphs, or with anything that has ``inputs`` and is called like them.

    Args:
        parts: as :meth:`ClipGraphs.parts` returns them.
        passes: names of the passes, in their order.
        channels: width C of the features.
        frames: t times (1, 3, h, w).
        dtype: data type of the features.

    Returns:
        t times (1, 3, s·h, s·w) float32.
    """
    t, (_, _, h, w) = len(frames), frames[0].shape
    tensors: list[dict[str, Tensor]] = [{'frame': frame} for frame in frames]
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
            given = {**state, **tensors[i], 'flow': flow}
            given |= {'has1': torch.tensor(count > 0), 'has2': torch.tensor(count > 1)}
            feature = step(*(given[key] for key in step.inputs))
            tensors[i] |= {name: feature, 'feature': feature}
            state = {'source1': feature, 'source2': state['source1'], 'flow_before': flow}
    last = parts['reconstruct']
    return [last(*(one[key] for key in last.inputs)) for one in tensors]


class WindowGraph(Graph):
    """A whole window of frames in one graph without state, for runtimes that keep none.

    Args:
        graphs: the network's graphs.
        frames: T.
        middle: return the middle frame only.
        five: take (1, T, 3, h, w) instead of (1, T·3, h, w).
    """

    inputs, output = ('frames',), 'restored'

    def __init__(self, graphs: ClipGraphs, frames: int, *, middle: bool = False, five: bool = False) -> None:
        super().__init__()
        self.graphs, self.count, self.middle, self.five = graphs, frames, middle, five

    def forward(self, frames: Tensor) -> Tensor:
        """Return (1, T·3, s·h, s·w) for (1, T·3, h, w) frames, or (1, 3, s·h, s·w) for the middle frame."""
        clip = frames if self.five else frames.unflatten(1, (self.count, 3))
        restored = self.graphs.restore(clip.unbind(1))
        if self.middle:
            return restored[self.count // 2]
        return torch.stack(restored, dim=1) if self.five else torch.cat(restored, dim=1)
