"""A training step that ran out of memory is done again with more of it recomputed."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from iart import device as devices
from iart import distributed, log
from iart.errors import UserError

Result = TypeVar('Result')


def within_memory(gradients: Callable[[], Result], network: nn.Module, device: torch.device) -> Result:
    """Call ``gradients``; where memory runs out, let the network recompute more (``use_checkpoint: auto``) and call
    it again.

    With several processes the run ends: the others would wait for this one's gradients.

    Args:
        gradients: forward and backward passes, which begin by setting gradients to zero.
        network: what may offer ``recompute_more()``; see :meth:`iart.archs.iart_arch.IART.recompute_more`.
        device: where it computes.

    Raises:
        UserError: memory ran out and nothing more can be recomputed; says what takes less.
    """
    while True:
        try:
            return gradients()
        except RuntimeError as error:
            if not devices.lacks_memory(error, device):
                raise
            reason = str(error).split('\n')[0]
            policy = None if distributed.active() else getattr(network, 'recompute_more', lambda: None)()
            if policy is None:
                raise UserError(
                    f'out of memory ({reason}): expected a smaller step, by network_g.use_checkpoint: true, a smaller '
                    'batch_size_per_gpu with train.accumulate, num_frame or gt_size; iart estimate counts what each '
                    f'takes{devices.fragmentation(device)}'
                ) from error
        # Outside of the handler: the error's traceback holds the tensors of the failed step.
        devices.release_reserve(device)
        log.logger.warning(f'out of memory ({reason}); continuing with network_g.use_checkpoint: {policy}')
