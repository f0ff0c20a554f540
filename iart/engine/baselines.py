"""Restoring without a network, to compare with."""

from collections.abc import Callable, Iterator

import torch

from iart.ops.degradation import upsample


def bicubic_restore(scale: int = 4) -> Callable[[torch.Tensor], Iterator[torch.Tensor]]:
    """MATLAB's bicubic interpolation, the "Bicubic" of the published tables.

    Returns:
        ``restore(lq)``: (n, t, 3, h, w) RGB in [0, 1] -> t times (n, 3, scale*h, scale*w), neither clamped nor rounded, on
        the device of ``lq``; frames do not see each other.
    """

    def restore(lq: torch.Tensor) -> Iterator[torch.Tensor]:
        for frame in lq.unbind(1):
            yield upsample(frame, scale)

    return restore
