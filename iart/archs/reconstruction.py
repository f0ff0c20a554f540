"""Reconstruction ×4 of an image from a feature, as in EDVR and BasicVSR: two pixel shuffles on a bilinear base."""

from typing import Protocol

from torch import Tensor, nn
from torch.nn import functional as F


class ReconstructionLayers(Protocol):
    """A network that holds the layers of its reconstruction under the names of released checkpoints."""

    upconv1: nn.Conv2d
    upconv2: nn.Conv2d
    conv_hr: nn.Conv2d
    conv_last: nn.Conv2d


def enlarge(layers: ReconstructionLayers, x: Tensor) -> Tensor:
    """Compute the detail of an image at four times the size of a feature.

    Args:
        layers: the network.
        x: (n, c, h, w) feature.

    Returns:
        (n, 3, 4h, 4w), to be added to the bilinearly upsampled frame.
    """
    x = F.leaky_relu(F.pixel_shuffle(layers.upconv1(x), 2), 0.1)
    x = F.leaky_relu(F.pixel_shuffle(layers.upconv2(x), 2), 0.1)
    x = F.leaky_relu(layers.conv_hr(x), 0.1)
    return layers.conv_last(x)


def upsample_bilinear(frames: Tensor, scale: int = 4) -> Tensor:
    """Return (n, c, h, w) frames enlarged bilinearly, (n, c, scale·h, scale·w): the base that detail is added to."""
    return F.interpolate(frames, scale_factor=scale, mode='bilinear', align_corners=False)
