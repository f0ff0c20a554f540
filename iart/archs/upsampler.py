"""Upsampling layers of the reconstruction, for scales ×1 to ×4.

×2 and ×4 shuffle by 2 once or twice, ×3 by 3; ×1, for restoration at the input's size, has no such layer. Names and
shapes at ×4 are those of the released checkpoints.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

Scale = Literal[1, 2, 3, 4]
SCALE: Scale = 4
"""The scale of the published networks, and the default."""
WIDTH = 64
"""Channels at the size of the output."""
_FACTORS: Mapping[int, tuple[int, ...]] = {1: (), 2: (2,), 3: (3,), 4: (2, 2)}


def upsampling_layers(scale: int, channels: int) -> Iterator[tuple[str, nn.Conv2d]]:
    """Yield the convolutions before each PixelShuffle, with their names in a checkpoint (``upconv1``, ``upconv2``).

    Args:
        scale: 1 to 4.
        channels: width of the features; the last layer reduces it to :data:`WIDTH`.

    Raises:
        ValueError: no such scale.
    """
    check_scale(scale)
    factors = _FACTORS[scale]
    for number, factor in enumerate(factors, start=1):
        width = WIDTH if number == len(factors) else channels
        yield f'upconv{number}', nn.Conv2d(channels, width * factor**2, 3, padding=1)


def width_after(scale: int, channels: int) -> int:
    """Return the channels of the result of :func:`enlarge` for a feature of ``channels``."""
    return WIDTH if _FACTORS[scale] else channels


def enlarge(network: nn.Module, x: Tensor, scale: int) -> Tensor:
    """Run the upsampling layers of a network: (n, channels, h, w) → (n, width, scale·h, scale·w)."""
    for number, factor in enumerate(_FACTORS[scale], start=1):
        x = F.leaky_relu(F.pixel_shuffle(_layer(network, f'upconv{number}')(x), factor), 0.1)
    return x


def _layer(network: nn.Module, name: str) -> nn.Module:
    layer: nn.Module = getattr(network, name)  # torch.export of torch 2.6 cannot trace get_submodule
    return layer


def reconstruct_detail(network: nn.Module, x: Tensor, scale: int) -> Tensor:
    """Compute the (n, 3, scale·h, scale·w) detail of an image from an (n, channels, h, w) feature.

    Args:
        network: the network, with the layers of :func:`upsampling_layers`, ``conv_hr`` and ``conv_last``.
        x: the feature.
        scale: the network's scale; the detail is added to :func:`upsample_bilinear` of the frame.
    """
    x = enlarge(network, x, scale)
    x = F.leaky_relu(_layer(network, 'conv_hr')(x), 0.1)
    return _layer(network, 'conv_last')(x)  # type: ignore[no-any-return]


def upsample_bilinear(frames: Tensor, scale: int = SCALE) -> Tensor:
    """Return (n, c, h, w) frames enlarged bilinearly: the base that detail is added to; at ×1 the frames themselves."""
    if scale == 1:
        return frames
    return F.interpolate(frames, scale_factor=scale, mode='bilinear', align_corners=False)


def check_scale(scale: int) -> None:
    """Raise ValueError unless there is such a scale."""
    if scale not in _FACTORS:
        raise ValueError(f'scale: got {scale}, expected one of {", ".join(map(str, _FACTORS))}')


def scale_of_state(state: Mapping[str, Tensor]) -> int | None:
    """Return the scale of a state dict's network, from shapes; None if they do not determine it."""
    if 'conv_hr.weight' not in state or 'conv_last.weight' not in state:
        return None
    if 'upconv2.weight' in state:
        return 4
    if 'upconv1.weight' in state:
        shuffled = state['upconv1.weight'].shape[0] / state['conv_hr.weight'].shape[1]
        return {4: 2, 9: 3}.get(int(shuffled)) if shuffled.is_integer() else None
    pixels = state['conv_last.weight'].shape[0] / 3
    return {1: 1, 4: 2, 9: 3, 16: 4}.get(int(pixels)) if pixels.is_integer() else None


def layers_of_scale(network: nn.Module, state: Mapping[str, Tensor]) -> frozenset[str]:
    """Return the names of the layers that cannot be loaded from a ``state`` of another scale.

    Args:
        network: a network with ``scale`` and the layers of this module.
        state: a state dict of the same kind of network.

    Returns:
        Names without ``.weight`` and ``.bias``; empty if the scales agree, or if the scale of ``state`` is unknown.
    """
    scale = scale_of_state(state)
    if scale is None or scale == network.scale:
        return frozenset()
    expected = network.state_dict()
    # The last two fit any scale if they work at the size of the output; otherwise their widths differ.
    last = {n for n in ('conv_hr', 'conv_last') if expected[f'{n}.weight'].shape != state[f'{n}.weight'].shape}
    return frozenset({'upconv1', 'upconv2'} | last)
