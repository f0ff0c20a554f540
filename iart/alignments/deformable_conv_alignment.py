"""Flow-guided deformable convolution (FGDC), first order, and second order as in BasicVSR++."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from iart.alignments.argument_checks import check_above_zero
from iart.ops.deformable import TAPS, modulated_deform_conv, offsets_at_flow
from iart.ops.warp import flow_warp
from iart.registry import ALIGNMENT_REGISTRY, SUFFIX


@ALIGNMENT_REGISTRY.register(suffix=SUFFIX)
class DeformableConvAlignment(nn.Module):
    """Convolve the source at the flow plus learned offsets (paper, table 1, FGDC).

    With offsets o and masks m predicted from the warped source, the current feature and the flow::

        o_gk = max_offset·tanh(...) + flow(p)        m_gk = sigmoid(...)
        aligned(p) = b + Σ_g Σ_k W_gk · m_gk · source_g(p + k + o_gk)          (3×3 taps k, groups g of channels)

    The last layer of the prediction starts at zero: at the start every tap follows the flow and every mask is ½.

    Parameters: 250,962 at C = 60, 6 groups, first order.

    Second order (Chan et al., "BasicVSR++", CVPR 2022) aligns both neighbors in one convolution of 2C channels: the
    first half of the offsets belongs to one flow, the second half to the other. The alignment is called once with both
    neighbors, and the network fuses one aligned feature instead of two.

    Args:
        channels: width C of the features.
        num_heads: the network's attention heads; decides the default of ``groups``.
        order: 1 for one neighbor; 2 for both at once, in a network with second-order propagation.
        groups: deformable groups, a divisor of ``channels · order`` (and even for order 2); default
            ``num_heads · order``.
        max_offset: largest distance of a tap from the flow, in pixels.

    Raises:
        ValueError: ``groups`` does not fit, or a number is not above 0.
    """

    trains_flow = True

    def __init__(
        self,
        *,
        channels: int,
        num_heads: int,
        order: Literal[1, 2] = 1,
        groups: int | None = None,
        max_offset: float = 10.0,
    ) -> None:
        super().__init__()
        check_above_zero(groups=groups, max_offset=max_offset)
        groups = groups or num_heads * order
        if channels * order % groups or groups % order:
            expected = (
                f'a divisor of {channels} channels' if order == 1 else f'an even divisor of {2 * channels} channels'
            )
            raise ValueError(f'groups: got {groups}, expected {expected}')
        self.order, self.joint, self.groups, self.max_offset = order, order == 2, groups, max_offset
        self.weight = nn.Parameter(torch.empty(channels, channels * order, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        inputs = (order + 1) * channels + 2 * order
        self.conv_offset = nn.Sequential(
            nn.Conv2d(inputs, channels, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(channels, 3 * TAPS * groups, 3, padding=1),
        )
        bound = 1 / math.sqrt(channels * order * TAPS)
        nn.init.uniform_(self.weight, -bound, bound)
        for parameter in self.conv_offset[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, source: Tensor, current: Tensor, flow: Tensor, source2: Tensor | None = None, flow2: Tensor | None = None
    ) -> Tensor:
        """Align one neighbor, or both with ``order`` 2.

        Args:
            source, source2: (n, C, h, w) features of the nearer and the farther neighbor.
            current: (n, C, h, w) feature of the current frame.
            flow, flow2: (n, 2, h, w) flows to ``source`` and to ``source2``, in pixels.

        Returns:
            The aligned (n, C, h, w) feature.

        Raises:
            ValueError: the number of sources or flows is not ``order``.
        """
        sources = [x for x in (source, source2) if x is not None]
        flows = [f for f in (flow, flow2) if f is not None]
        if len(sources) != self.order or len(flows) != self.order:
            raise ValueError(
                f'deformable convolution: got {len(sources)} sources and {len(flows)} flows, expected {self.order} '
                'of each'
            )
        warped = [flow_warp(x, f) for x, f in zip(sources, flows, strict=True)]
        inputs = torch.cat([warped[0], current, *warped[1:], *(f.to(current.dtype) for f in flows)], dim=1)
        raw, mask = self.conv_offset(inputs).split([2 * TAPS * self.groups, TAPS * self.groups], dim=1)
        parts = raw.chunk(self.order, dim=1)
        offset = torch.cat(
            [offsets_at_flow(part, f, self.max_offset) for part, f in zip(parts, flows, strict=True)], dim=1
        )
        return modulated_deform_conv(torch.cat(sources, dim=1), offset, mask.float().sigmoid(), self.weight, self.bias)
