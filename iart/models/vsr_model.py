"""The video super-resolution model: any network (n, t, 3, h, w) → (n, t, 3, s·h, s·w) with pixel and perceptual
losses."""

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from iart.archs.builder import compile_network
from iart.archs.flow import comes_with_clip
from iart.archs.probe import check_output
from iart.data.batch import Batch
from iart.errors import OptionsError
from iart.registry import MODEL_REGISTRY, SUFFIX, compares_frames

FLOW_NETWORK = 'spynet'  # the attribute under which every network of this family keeps its flow network
CLEANING_LOSS = 'l_clean'  # the loss of frames that a network cleans before it restores them
TEACHER_LOSS = 'l_teacher'  # the loss whose target is a better network's output instead of the ground truth


def flow_is_frozen(step: int, fix_flow: int) -> bool:
    """Return whether the flow network is frozen at this step (counted from 0).

    Args:
        step: optimizer steps done so far.
        fix_flow: number of steps at the start during which it is frozen; 0 for none, −1 for the whole run.
    """
    return fix_flow == -1 or step < fix_flow


@MODEL_REGISTRY.register(suffix=SUFFIX)
class VSRModel(nn.Module):
    """A network, its losses, and a flow network that is frozen at the start.

    The flow network is frozen by dropping its gradients before the optimizer steps. The graph that data parallel
    training sees therefore never changes, and thawing needs neither a restart nor a memory of what happened before.
    Only a flow network that is frozen for the whole run (−1) is detached from the graph, at construction.

    Args:
        network: maps lq to sr.
        losses: by name (``l_pix``, ``l_percep``, ``l_teacher``, ``l_clean``): called with (output, gt), returning a
            scalar or a pair (perceptual, style or None) as BasicSR's perceptual loss does.
        fix_flow: see :func:`flow_is_frozen`.
    """

    def __init__(self, *, network: nn.Module, losses: Mapping[str, nn.Module], fix_flow: int = 0) -> None:
        super().__init__()
        self.network, self.fix_flow = network, fix_flow
        self.takes_flows = 'flows' in inspect.signature(network.forward).parameters
        self.losses = nn.ModuleDict(losses)
        if CLEANING_LOSS in self.losses and not hasattr(network, 'clean'):
            raise OptionsError(
                f'train.cleaning_opt: got a loss, and {type(network).__name__} cleans no frames, expected '
                'network_g.type RealVSR, or no such loss'
            )
        if fix_flow == -1:
            for parameter in self.flow_parameters():
                parameter.requires_grad_(False)

    def check_takes_flows(self) -> None:
        """Check that the network can be given flows, as a training set with ``flow_cache`` does.

        Raises:
            OptionsError: it takes none.
        """
        if not self.takes_flows:
            raise OptionsError(
                f'datasets.train.flow_cache: {type(self.network).__name__} takes no flows; '
                'leave the option out, or choose a network that does (IART, IABasicVSR)'
            )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Restore a batch and compare it with its ground truth.

        Args:
            batch: ``lq`` (n, t, 3, h, w) and ``gt`` (n, t, 3, s·h, s·w), RGB in [0, 1]; where the data set has them,
                ``flows`` (n, 2, t-1, 2, h, w) to the next frame and back, which take the place of the flow network's,
                ``gt_flows``, the same of sets with exact flow, which networks with ``flow: {type: gt}`` take, and
                ``teacher``, of gt's shape, whose loss is multiplied by ``teacher_weight`` (default 1).

        Returns:
            ``loss`` (scalar, with gradient), each loss by its name (detached), ``output`` (detached, shape of gt).

        Raises:
            OptionsError: the batch has flows and the network takes none, or its output is not of the ground truth's
                shape.
        """
        if 'flows' in batch:
            self.check_takes_flows()
        output, parts = self._restore(batch)
        return summed(output, parts)

    def _restore(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the output, (n, t, 3, s·h, s·w), and the losses by name, both with gradient."""
        exact = comes_with_clip(getattr(self.network, FLOW_NETWORK, None))
        given = batch.get('gt_flows') if exact else batch.get('flows')
        flows = {} if given is None else {'flows': given.unbind(1)}
        cleaned: Tensor | None = None
        if CLEANING_LOSS in self.losses:
            cleaned = self.network.clean(batch['lq'])  # type: ignore[operator]
            restored = self.network.restore(cleaned)  # type: ignore[operator]
        else:
            restored = self.network(batch['lq'], **flows)
        output = check_output(self.network, restored, batch['gt'].shape)
        parts = {
            name: loss_of(loss, output, batch['teacher' if name == TEACHER_LOSS else 'gt'])
            for name, loss in self.losses.items()
            if name != CLEANING_LOSS
        }
        if TEACHER_LOSS in parts:
            parts[TEACHER_LOSS] = parts[TEACHER_LOSS] * batch.get('teacher_weight', 1.0)
        if cleaned is not None:
            small = functional.interpolate(batch['gt'].flatten(0, 1), size=cleaned.shape[-2:], mode='area')
            parts[CLEANING_LOSS] = loss_of(self.losses[CLEANING_LOSS], cleaned, small.view_as(cleaned))
        return output, parts

    def clipped_together(self) -> list[list[nn.Parameter]]:
        """Return the groups of parameters whose gradients are clipped to one norm each."""
        return [list(self.parameters())]

    def compile_parts(self, **arguments: Any) -> None:
        """Compile parts of the network, see :func:`iart.archs.builder.compile_network`, and the losses of pixels.

        Args:
            **arguments: as for :func:`torch.compile`.
        """
        compile_network(self.network, **arguments)
        for loss in self.losses.values():
            if not compares_frames(loss):  # a perceptual loss is a network itself
                loss.compile(**arguments)

    def flow_parameters(self) -> list[nn.Parameter]:
        """Weights of the flow network; empty for networks without one."""
        flow = getattr(self.network, FLOW_NETWORK, None)
        return [] if flow is None else list(flow.parameters())

    def drop_frozen_gradients(self, step: int) -> None:
        """Drop the gradients of parameters frozen at this step; the optimizer then changes neither weight nor state."""
        if flow_is_frozen(step, self.fix_flow):
            for parameter in self.flow_parameters():
                parameter.grad = None


def summed(output: Tensor, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what a model returns: the sum of its losses, each of them and the output, these two detached."""
    total = sum(parts.values(), start=output.new_zeros(()))
    return {'loss': total, **{name: part.detach() for name, part in parts.items()}, 'output': output.detach()}


def loss_of(loss: nn.Module, output: Tensor, gt: Tensor) -> Tensor:
    """Return one loss of a clip, a scalar.

    BasicSR's perceptual loss compares frames (n, c, h, w) and returns (perceptual, style).

    Args:
        loss: called with (output, gt).
        output, gt: (n, t, 3, s·h, s·w).
    """
    value = loss(output.flatten(0, 1), gt.flatten(0, 1)) if compares_frames(loss) else loss(output, gt)
    parts = value if isinstance(value, tuple) else (value,)
    return sum((part for part in parts if part is not None), start=output.new_zeros(()))
