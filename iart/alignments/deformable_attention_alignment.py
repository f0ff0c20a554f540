"""Flow-guided deformable attention (FGDA) of RVRT."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iart.alignments.argument_checks import check_above_zero
from iart.ops.deformable import TAPS, deformable_attention, offsets_at_flow
from iart.ops.dense import Dense
from iart.ops.warp import flow_warp
from iart.registry import ALIGNMENT_REGISTRY, SUFFIX


@ALIGNMENT_REGISTRY.register(suffix=SUFFIX)
class DeformableAttentionAlignment(nn.Module):
    """Attend to nine positions at the flow plus learned offsets (paper, table 1, FGDA).

    The operator of Liang et al., "Recurrent Video Restoration Transformer" (RVRT), NeurIPS 2022.
    With offsets o predicted from the current feature, the warped source and the flow::

        o_gk = max_offset·tanh(...) + flow(p)        q = Wq·current(p) + bq
        K, V = projections of keys and source, per pixel, sampled bilinearly at p + k + o_gk   (3×3 taps k)
        y = Wo·Σ_k softmax_k(q·K_k / sqrt(head width))·V_k + bo        aligned(p) = y + MLP(y)

    Projections are 2C wide; there is no residual connection from source or current to the output. The last layer of the
    prediction starts at zero. Groups are spread over keys and values together: see
    :func:`iart.ops.deformable.deformable_attention`. The gradient is exact; the released backward kernel multiplies the
    gradient of the keys by head width^−½ once too often.

    Parameters: 213,424 at C = 60, 12 groups.

    Args:
        channels: width C of the features.
        num_heads: the network's attention heads; decides the defaults of ``heads`` and ``groups``.
        keys: the feature that keys are computed from: ``current``, as in the released study, or ``source``, as in RVRT.
        heads: attention heads, divisors of 2C; default ``2 · num_heads``.
        groups: groups of channels that share offsets, divisors of 4C; default ``2 · num_heads``.
        max_offset: largest distance of a tap from the flow, in pixels.
        hidden: width of the prediction's layers.

    Raises:
        ValueError: ``heads`` or ``groups`` does not fit, or a number is not above 0.
    """

    trains_flow = True

    def __init__(
        self,
        *,
        channels: int,
        num_heads: int,
        keys: Literal['current', 'source'] = 'current',
        heads: int | None = None,
        groups: int | None = None,
        max_offset: float = 10.0,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        check_above_zero(heads=heads, groups=groups, max_offset=max_offset, hidden=hidden)
        self.keys, self.heads, self.max_offset = keys, heads or 2 * num_heads, max_offset
        groups, width = groups or 2 * num_heads, 2 * channels
        if width % self.heads:
            raise ValueError(f'heads: got {self.heads}, expected a divisor of twice the channels ({width})')
        if 2 * width % groups:
            raise ValueError(f'groups: got {groups}, expected a divisor of four times the channels ({2 * width})')
        self.proj_q = _per_pixel(Dense(channels, width))
        self.proj_k = _per_pixel(Dense(channels, width))
        self.proj_v = _per_pixel(Dense(channels, width))
        self.proj = _per_pixel(Dense(width, channels))
        self.mlp = _per_pixel(_Mlp(channels, 2 * channels))
        layers: list[nn.Module] = [_PlaneConv(2 * channels + 2, hidden, 1)]
        for _ in range(4):
            layers += [nn.LeakyReLU(0.1), _PlaneConv(hidden, hidden, 3)]
        self.conv_offset = nn.Sequential(*layers, nn.LeakyReLU(0.1), _PlaneConv(hidden, 2 * TAPS * groups, 1))
        for parameter in self.conv_offset[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, source: Tensor, current: Tensor, flow: Tensor) -> Tensor:
        """Return (n, C, h, w) for (n, C, h, w) source and current and a (n, 2, h, w) flow in pixels."""
        inputs = torch.cat((current, flow_warp(source, flow), flow.to(current.dtype)), dim=1)
        offset = offsets_at_flow(self.conv_offset(inputs), flow, self.max_offset)
        pixels = current.permute(0, 2, 3, 1)
        neighbor = source.permute(0, 2, 3, 1)
        q = self.proj_q(pixels)
        k = self.proj_k(pixels if self.keys == 'current' else neighbor)
        kv = torch.cat((k, self.proj_v(neighbor)), dim=-1)
        attended = deformable_attention(q.permute(0, 3, 1, 2), kv.permute(0, 3, 1, 2), offset, self.heads)
        y = self.proj(attended.permute(0, 2, 3, 1))
        return (y + self.mlp(y)).permute(0, 3, 1, 2)


def _per_pixel(layer: nn.Module) -> nn.Sequential:
    """Wrap a layer so that its name matches released checkpoints, where a change of axes comes first."""
    return nn.Sequential(nn.Identity(), layer)


class _Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Dense(channels, hidden)
        self.fc2 = Dense(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Transform (..., channels) to the same shape."""
        return self.fc2(F.gelu(self.fc1(x)))


class _PlaneConv(nn.Conv3d):
    """A convolution of single frames whose weight has the shape of released checkpoints, (outputs, inputs, 1, k, k)."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, (1, kernel, kernel))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (n, inputs, h, w) to (n, outputs, h, w)."""
        return F.conv2d(x, self.weight.squeeze(2), self.bias, padding=self.kernel_size[1] // 2)
