"""A training step that ran out of memory is done again with more of it recomputed."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from iart import device as devices
from iart import distributed, log

Result = TypeVar('Result')


def within_memory(gradients: Callable[[], Result], network: nn.Module, device: torch.device) -> Result:
    """Call ``gradients``; where memory runs out, let the network recompute more (``use_checkpoint: auto``) and call
    it again.

    With several processes the error is raised: the others would wait for this one's gradients.

    Args:
        gradients: forward and backward passes, which begin by setting gradients to zero.
        network: what may offer ``recompute_more()``; see :meth:`iart.archs.iart_arch.IART.recompute_more`.
        device: where it computes.
    """
    while True:
        try:
            return gradients()
        except RuntimeError as error:
            if distributed.active() or not devices.lacks_memory(error, device):
                raise
            policy = getattr(network, 'recompute_more', lambda: None)()
            if policy is None:
                raise
            reason = str(error).split('\n')[0]
        # Outside of the handler: the error's traceback holds the tensors of the failed step.
        devices.release_reserve(device)
        log.logger.warning(f'out of memory ({reason}); continuing with network_g.use_checkpoint: {policy}')
