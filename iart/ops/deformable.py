"""Sampling at learned offsets around a 3×3 window: deformable convolution and deformable attention.

Offsets have the layout of deformable convolution: for group g and tap k = 3·i + j, channel 2·(9·g + k) is the
displacement in rows and channel 2·(9·g + k) + 1 that in columns, in pixels, from p + (i − 1, j − 1). Samples outside
the image are zero.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from iart.ops.warp import pixel_grid

TAPS = 9


def offsets_at_flow(raw: Tensor, flow: Tensor, max_offset: float) -> Tensor:
    """Return ``max_offset · tanh(raw) + flow`` in float32, the flow turned from (x, y) to (row, column).

    Args:
        raw: (n, 2·m, h, w) output of a network for m taps.
        flow: (n, 2, h, w) pixels.
        max_offset: largest distance of a tap from the flow, in pixels.
    """
    return max_offset * raw.float().tanh() + flow.float().flip(1).repeat(1, raw.shape[1] // 2, 1, 1)


def modulated_deform_conv(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return torchvision's 3×3 deformable convolution in float32, since half precision would round the offsets.

    Args:
        x: (n, c, h, w).
        offset: (n, 2·9·groups, h, w), see the top of this file.
        mask: (n, 9·groups, h, w), factor of each tap.
        weight: (outputs, c, 3, 3).
        bias: (outputs,).

    Returns:
        (n, outputs, h, w) in the dtype of ``x``.
    """
    with torch.autocast(x.device.type, enabled=False):
        out = deform_conv2d(x.float(), offset.float(), weight.float(), bias.float(), padding=1, mask=mask.float())
    return out.to(x.dtype)


def deformable_attention(q: Tensor, kv: Tensor, offset: Tensor, heads: int) -> Tensor:
    """Compute attention from each pixel to nine displaced positions (the operator of RVRT).

    The groups are spread over keys and values together: with as many groups as heads, the first half of the groups
    displaces keys, two heads each, and the second half displaces values. A position outside the image has a zero key
    and a zero value, and is part of the softmax.

    Args:
        q: (n, c, h, w) queries; heads divide c.
        kv: (n, 2c, h, w), keys then values.
        offset: (n, 2·9·groups, h, w), see the top of this file; groups divide 2c.
        heads: attention heads.

    Returns:
        (n, c, h, w), the heads one after the other.
    """
    n, c, h, w = q.shape
    groups = offset.shape[1] // (2 * TAPS)
    step = torch.arange(-1, 2, device=q.device, dtype=torch.float32)
    window = torch.stack(torch.meshgrid(step, step, indexing='ij'), dim=-1).view(1, TAPS, 2, 1, 1)
    place = offset.float().reshape(n * groups, TAPS, 2, h, w) + window + pixel_grid(h, w, q.device).flip(0)
    scale = place.new_tensor([2 / max(h - 1, 1), 2 / max(w - 1, 1)]).view(2, 1, 1)
    grid = (place * scale - 1).flip(2).permute(0, 1, 3, 4, 2).reshape(n * groups, TAPS * h, w, 2)
    with torch.autocast(q.device.type, enabled=False):
        content = kv.float().reshape(n * groups, 2 * c // groups, h, w)
        sampled = F.grid_sample(content, grid, mode='bilinear', padding_mode='zeros', align_corners=True)
        keys, values = sampled.view(n, 2, heads, c // heads, TAPS, h, w).unbind(1)
        query = q.float().view(n, heads, c // heads, 1, h, w) * (c // heads) ** -0.5
        share = (query * keys).sum(2, keepdim=True).softmax(3)
        out = (share * values).sum(3).view(n, c, h, w)
    return out.to(q.dtype)
