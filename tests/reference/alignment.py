"""Section "Implicit alignment" of the network specification."""

import math

import torch
from torch import Tensor, nn

TEMPERATURE = 0.01


def sine_code(vectors: Tensor, channels: int) -> Tensor:
    """(..., 2) of (row, column) → (..., channels): the first half encodes the row, the second the column."""
    half = channels // 2
    coordinates = []
    for u in (vectors[..., 0], vectors[..., 1]):
        numbers = []
        for k in range(half):
            angle = u / TEMPERATURE ** torch.tensor(2 * (k // 2) / half)
            numbers.append(torch.sin(angle) if k % 2 == 0 else torch.cos(angle))
        coordinates.append(torch.stack(numbers, dim=-1))
    return torch.cat(coordinates, dim=-1)


class ReferenceAlignment(nn.Module):
    """Attention of each pixel of ``current`` over the 2×2 source pixels around its sampling point."""

    def __init__(self, *, channels: int, num_heads: int) -> None:
        super().__init__()
        self.channels, self.num_heads = channels, num_heads
        self.q = nn.Linear(channels, channels)
        self.k = nn.Linear(channels, channels)
        self.v = nn.Linear(channels, channels)

    def forward(self, source: Tensor, current: Tensor, flow: Tensor) -> Tensor:
        """(n, C, h, w), (n, C, h, w), (n, 2, h, w) pixels (x, y) → (n, C, h, w)."""
        n, c, h, w = current.shape
        rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing='ij')
        pixel = torch.stack([rows, columns], dim=-1).to(flow)  # (h, w, 2)
        s = pixel + flow.flip(1).permute(0, 2, 3, 1)  # (n, h, w, 2), (row, column)
        s0 = s.floor()
        d = s - s0

        clip = torch.arange(n, device=current.device).view(n, 1, 1)
        taps, codes = [], []
        for row, column in [(0, 0), (0, 1), (1, 0), (1, 1)]:
            tap_row = (s0[..., 0].long() + row).clamp(0, h - 1)
            tap_column = (s0[..., 1].long() + column).clamp(0, w - 1)
            taps.append(source.permute(0, 2, 3, 1)[clip, tap_row, tap_column])  # (n, h, w, C)
            codes.append(sine_code(torch.tensor([row, column]).to(flow) / (1 + 1e-6) * 2 * math.pi, c))
        window = torch.stack(taps, dim=-2) + torch.stack(codes)  # (n, h, w, 4, C)

        offset_code = sine_code(d / (2 + 1e-6) * 2 * math.pi, c)
        query = self.q(current.permute(0, 2, 3, 1) + offset_code)  # (n, h, w, C)
        key, value = self.k(window), self.v(window)  # (n, h, w, 4, C)

        width = c // self.num_heads
        query = query.view(n, h, w, self.num_heads, 1, width)
        key = key.view(n, h, w, 4, self.num_heads, width).transpose(3, 4)  # (n, h, w, heads, 4, width)
        value = value.view(n, h, w, 4, self.num_heads, width).transpose(3, 4)
        attention = (query * width**-0.5 @ key.transpose(-2, -1)).softmax(dim=-1)  # (n, h, w, heads, 1, 4)
        return (attention @ value).reshape(n, h, w, c).permute(0, 3, 1, 2)
