"""Forward and backward passes that are recorded as a CUDA graph once and replayed for every step."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from iart import device as devices
from iart import distributed, log
from iart.archs.flow import is_mirrored, known_mirrored
from iart.data.batch import Batch
from iart.errors import OptionsError
from iart.models.vsr_model import TEACHER_LOSS, VSRModel

Gradients = Callable[[list[Batch]], dict[str, Tensor]]
"""Runs forward and backward passes and returns losses by name."""
_Result = tuple[dict[str, Tensor], list[Tensor | None]]
"""Losses by name, and the gradient of each parameter."""


def recorded(gradients: Gradients, model: VSRModel, device: torch.device, asked_for: bool) -> Gradients:
    """Return ``gradients``, recorded where the device allows it (``train.cuda_graphs: true``).

    Args:
        gradients: sets the gradients of the model's parameters to those of the given batches.
        model: the network and its losses.
        device: where it computes.
        asked_for: the option; without it ``gradients`` is returned.

    Raises:
        OptionsError: a part of the options needs steps that differ from each other.
    """
    if not asked_for:
        return gradients
    if not devices.records_graphs(device):
        log.logger.warning(f'train.cuda_graphs: true has no effect on {device.type}: steps are computed without graphs')
        return gradients
    if distributed.active():
        raise OptionsError(
            f'train.cuda_graphs: got true with {distributed.world_size()} processes, expected one process, '
            'or false: the exchange of gradients is not recorded'
        )
    checkpoint = getattr(model.network, 'use_checkpoint', False)
    if checkpoint not in (False, 'none'):
        raise OptionsError(
            f'train.cuda_graphs: got true with network_g.use_checkpoint {checkpoint!r}, expected use_checkpoint: none '
            'or cuda_graphs: false, since what is recomputed restores the state of generators, which a graph cannot'
        )
    if TEACHER_LOSS in model.losses:
        raise OptionsError('train.cuda_graphs: got true with train.teacher_opt, whose weight changes; expected false')
    return _Recorded(gradients, model, device)


class _Recorded:
    """One recording for each kind of step: shapes of its batches, and which of them are mirrored in time."""

    def __init__(self, gradients: Gradients, model: VSRModel, device: torch.device) -> None:
        self._gradients, self._model, self._device = gradients, model, device
        self._steps: dict[Any, tuple[list[Batch], Callable[[], _Result]]] = {}

    def __call__(self, micro_batches: list[Batch]) -> dict[str, Tensor]:
        # A clip that is followed by its mirror image takes another way through the network.
        mirrored = [is_mirrored(batch['lq']) for batch in micro_batches]
        kind = tuple((flag, *_shapes(batch)) for flag, batch in zip(mirrored, micro_batches, strict=True))
        if kind not in self._steps:
            own = [_copied(batch) for batch in micro_batches]
            self._steps[kind] = own, self._record(own, mirrored)
        own, step = self._steps[kind]
        for target, source in zip(own, micro_batches, strict=True):
            for name, value in _tensors(source):
                cast(dict[str, Tensor], target)[name].copy_(value)
        losses, gradients = step()
        # Again at every step: the gradients of a frozen flow network are dropped.
        for parameter, gradient in zip(self._parameters(), gradients, strict=True):
            parameter.grad = gradient
        return {name: loss.clone() for name, loss in losses.items()}

    def _record(self, own: list[Batch], mirrored: Sequence[bool]) -> Callable[[], _Result]:
        def run() -> _Result:
            with known_mirrored(mirrored):
                losses = self._gradients(own)
            return losses, [parameter.grad for parameter in self._parameters()]

        try:
            return devices.record(run, self._device)
        except RuntimeError as error:
            if devices.lacks_memory(error, self._device):
                raise
            reason = str(error).splitlines()[0]
            raise OptionsError(
                f'train.cuda_graphs: a step of {type(self._model.network).__name__} cannot be recorded ({reason}); '
                'expected cuda_graphs: false'
            ) from error

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for parameter in self._model.parameters() if parameter.requires_grad]


def _tensors(batch: Batch) -> list[tuple[str, Tensor]]:
    return [(name, value) for name, value in batch.items() if isinstance(value, Tensor)]


def _shapes(batch: Batch) -> tuple[tuple[str, torch.Size], ...]:
    return tuple((name, value.shape) for name, value in _tensors(batch))


def _copied(batch: Batch) -> Batch:
    return cast(Batch, {**batch, **{name: value.clone() for name, value in _tensors(batch)}})
