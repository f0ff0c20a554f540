"""From a network to something that restores clips frame by frame."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from iart import device as devices

Restore = Callable[[Tensor], Iterator[Tensor]]


def restorer(network: nn.Module, device: torch.device, precision: str = 'fp32') -> Restore:
    """A function that restores one clip with ``network``.

    Args:
        network: on ``device``. One that has ``frames(lq)`` hands over each frame as soon as it exists, so that
            the output of a long clip is never held as a whole.
        device: where the clip goes.
        precision: ``fp32``, ``fp16`` or ``bf16`` (autocast).

    Returns:
        ``restore(lq)``: (n, t, 3, h, w) RGB in [0, 1] → t times (n, 3, s·h, s·w) float32, not clamped. The network is
        in evaluation mode while it runs and back in its own afterwards.
    """

    def restore(lq: Tensor) -> Iterator[Tensor]:
        training = network.training
        network.eval()
        try:
            lq = lq.to(device)
            stream = _stream(network, lq)
            while True:
                # Entered anew for every frame: a generator must not leave its caller in another grad or autocast mode.
                with torch.inference_mode(), devices.autocast(device, precision):
                    frame = next(stream, None)
                if frame is None:
                    return
                yield frame.float()
        finally:
            network.train(training)

    return restore


def _stream(network: nn.Module, lq: Tensor) -> Iterator[Tensor]:
    frames = getattr(network, 'frames', None)
    if callable(frames):
        yield from frames(lq)
    else:
        yield from network(lq).unbind(1)
