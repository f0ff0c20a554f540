"""What training changes, taken into a training state and put back from one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from iart import device as devices
from iart import distributed
from iart.errors import TrainingError, WeightsError
from iart.training.guard import all_finite


@dataclass
class TrainingState:
    """Hold the parts of a run that change; progress, data and schedules are functions of the step."""

    network: nn.Module
    ema: AveragedModel | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    device: torch.device
    discriminator: nn.Module | None = None
    optimizer_d: torch.optim.Optimizer | None = None

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        """The network's optimizer, and the discriminator's if there is one."""
        return [self.optimizer] if self.optimizer_d is None else [self.optimizer, self.optimizer_d]

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """Return the content of a weight file: ``params`` and, with an average, ``params_ema``."""
        weights = {'params': self.network.state_dict()}
        if self.ema is not None:
            weights['params_ema'] = self.ema.module.state_dict()
        return weights

    def take(self) -> dict[str, Any]:
        """Return the state as plain containers and tensors; to be called on every rank, for its own generators.

        Raises:
            TrainingError: weights or optimizer hold a NaN or an infinity; the same on every rank.
        """
        tensors = [*self.network.parameters(), *(self.ema.parameters() if self.ema is not None else ())]
        if self.discriminator is not None:
            tensors += self.discriminator.parameters()
        states = [values for optimizer in self.optimizers for values in optimizer.state.values()]
        memory = [v for values in states for v in values.values() if isinstance(v, Tensor)]
        if not all_finite([*tensors, *memory]):
            raise TrainingError(
                'the weights or the optimizer hold a NaN or an infinite number and were not saved; earlier '
                'training states are as they '
                'were. A lower learning rate or train.grad_clip may help; --auto_resume resumes from the last one'
            )
        return {
            **self.weights(),
            **self._adversary(),
            'optimizer': self.optimizer.state_dict(),
            'scaler': self.scaler.state_dict(),
            'generators': distributed.gather(devices.rng_state(self.device)),
        }

    def _adversary(self) -> dict[str, Any]:
        if self.discriminator is None or self.optimizer_d is None:
            return {}
        return {'discriminator': self.discriminator.state_dict(), 'optimizer_d': self.optimizer_d.state_dict()}

    def update(self) -> None:
        """Step the optimizer, unless the scaler detects infinite gradients, and update the average."""
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        if self.ema is not None:
            self.ema.update_parameters(self.network)

    def leave_out(self) -> None:
        """Prepare for the next step after skipping this one; the loss scale does not change."""
        self.scaler.update(self.scaler.get_scale())

    def put_back(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`take` returned. The optimizer's settings (rate, betas, ...) stay those of the options.

        With another number of processes the random generators cannot be restored and stay as they are.

        Raises:
            WeightsError: the state is of another network or optimizer.
        """
        try:
            self.network.load_state_dict(state['params'])
            if self.ema is not None:
                self.ema.module.load_state_dict(state.get('params_ema', state['params']))
            _put_back(self.optimizer, state['optimizer'])
            if self.discriminator is not None and self.optimizer_d is not None:
                self.discriminator.load_state_dict(state['discriminator'])
                _put_back(self.optimizer_d, state['optimizer_d'])
        except (RuntimeError, ValueError, KeyError) as error:
            raise WeightsError(
                f'training state: it is of another network or optimizer and cannot be continued: {error}\n'
                '  path.pretrain_network_g with strict_load_g: false starts a new run from the weights that fit'
            ) from error
        if state['scaler']:  # empty where the run so far needed none
            self.scaler.load_state_dict(state['scaler'])
        if len(state['generators']) == distributed.world_size():
            devices.set_rng_state(state['generators'][distributed.rank()], self.device)


def _put_back(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Load an optimizer's state, except for its settings (rate, betas, ...), which stay those of the options."""
    # The options' values before loading: they decide on which device the optimizer keeps its step counts.
    settings = [{k: v for k, v in group.items() if k != 'params'} for group in optimizer.param_groups]
    groups = [{**group, **options} for group, options in zip(saved['param_groups'], settings, strict=True)]
    optimizer.load_state_dict({**saved, 'param_groups': groups})


def build_ema(network: nn.Module, decay: float) -> AveragedModel | None:
    """Return an average of the weights, initially equal to them; None if ``decay`` is 0."""
    if not decay:
        return None
    ema = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))
    ema.update_parameters(network)  # the first update is a copy
    return ema.requires_grad_(False).eval()
