"""Showing a network one small clip before work begins, so that one that does not fit is refused by name."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from iart import device as devices
from iart.archs.flow import comes_with_clip
from iart.archs.stores import streams
from iart.component_errors import component_errors
from iart.errors import OptionsError

_MOST_FRAMES = 7  # of a probe of a clip; the networks of BasicSR that take a clip need at most 5
_FRAMES_OF_OURS = 3
_PERIOD = 64  # what a network may ask sides to be a multiple of divides this


def check_output(network: nn.Module, output: object, expected: Sequence[int]) -> Tensor:
    """Return the output, if it has the shape of the ground truth.

    Args:
        network: what gave it, for the message.
        output: (n, t, 3, s·h, s·w).
        expected: the shape of the ground truth.

    Raises:
        OptionsError: another shape, which a loss would compare by broadcasting.
    """
    if isinstance(output, Tensor) and output.shape == torch.Size(expected):
        return output
    got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    middle = isinstance(output, Tensor) and output.ndim == 4 and len(expected) == 5
    remedy = (
        'it restores one frame of a window, and this project restores whole clips: take a recurrent network, such as '
        'IART or BasicVSR'
        if middle
        else 'is `scale` the one that the network is built for?'
    )
    raise OptionsError(f'network_g: {type(network).__name__} gives {got}, expected {tuple(expected)}; {remedy}')


@torch.no_grad()
def show_clip(
    network: nn.Module,
    size: tuple[int, int],
    frames: int,
    *,
    scale: int,
    device: torch.device,
    precision: str = 'fp32',
    place: str = 'a clip',
) -> Tensor:
    """Let a network restore a clip of noise and hold the shape of what it gives against the ground truth's.

    Random numbers that training draws are not touched: the network is in evaluation mode.

    Args:
        network: on ``device``; one whose flow comes with the clip is shown no motion.
        size: (h, w) of the LR frames in pixels.
        frames: number of frames; networks that restore frame by frame are shown 3 at most.
        scale: GT size divided by LR size.
        device: where the network is.
        precision: ``fp32``, ``fp16`` or ``bf16``.
        place: where clips of this kind come from, for the message.

    Returns:
        (1, t, 3, s·h, s·w).

    Raises:
        OptionsError: the network refuses the clip, or gives another shape.
    """
    if streams(network):  # ours, which take any number of frames
        frames = min(frames, _FRAMES_OF_OURS)
    height, width = size
    numbers = torch.arange(frames * 3 * height * width, dtype=torch.float32, device=device)
    clip = (numbers.sin() / 2 + 0.5).view(1, frames, 3, height, width)
    flows = clip.new_zeros(1, frames - 1, 2, height, width)
    given = {'flows': (flows, flows)} if comes_with_clip(getattr(network, 'spynet', None)) else {}
    training = network.training
    network.eval()
    try:
        with (
            component_errors(
                'network_g', f'{type(network).__name__} refuses {place} of {frames} frames of {width}x{height}'
            ),
            devices.autocast(device, precision),
        ):
            output = network(clip, **given)
    finally:
        network.train(training)
    return check_output(network, output, (1, frames, 3, height * scale, width * scale))


def show_clips_like(
    network: nn.Module,
    clips: Iterable[tuple[tuple[int, int], int]],
    *,
    scale: int,
    device: torch.device,
    precision: str = 'fp32',
    place: str,
) -> None:
    """Show a network the smallest clip of each kind that a set has.

    Args:
        clips: (h, w) of the LR frames and number of frames of each clip.
        network, scale, device, precision, place: see :func:`show_clip`.

    Raises:
        OptionsError: see :func:`show_clip`.
    """
    kinds = {((_reduced(h), _reduced(w)), min(frames, _MOST_FRAMES)) for (h, w), frames in clips}
    for size, frames in sorted(kinds)[:4]:
        show_clip(network, size, frames, scale=scale, device=device, precision=precision, place=place)


def _reduced(side: int) -> int:
    """A side equivalent to this one for a network that requires multiples of a size or a smallest size."""
    return side if side < 2 * _PERIOD else _PERIOD + side % _PERIOD
