"""Implicit resampling-based alignment (paper, section 3): attention over the taps around the sampling point."""

import torch
from torch import Tensor, nn

from iart.ops.dense import Dense
from iart.ops.sine import offset_code, tap_code
from iart.ops.taps import sampling_taps
from iart.registry import ALIGNMENT_REGISTRY, SUFFIX


@ALIGNMENT_REGISTRY.register(suffix=SUFFIX)
class ImplicitAlignment(nn.Module):
    """Resample the source by attention between the current pixel and the taps around its sampling point.

    The query carries the code of the sub-pixel offset, the keys and values carry the codes of their taps, so the
    network learns the interpolation kernel instead of being given one. No output projection, no residual.

    Args:
        channels: width C of the features; a multiple of 4 (sine codes of two coordinates) and of ``num_heads``.
        num_heads: attention heads.
        window: side of the tap neighbourhood: 2 in the released weights; 3 and 4 in the paper's table 5.

    Raises:
        ValueError: ``channels`` does not fit.
    """

    def __init__(self, *, channels: int, num_heads: int, window: int = 2) -> None:
        super().__init__()
        if channels % 4 or channels % num_heads:
            raise ValueError(f'channels: got {channels}, expected a multiple of 4 and of num_heads ({num_heads})')
        if window < 2:
            raise ValueError(f'window: got {window}, expected 2 or more')
        self.channels, self.num_heads, self.window = channels, num_heads, window
        self.q = Dense(channels, channels)
        self.k = Dense(channels, channels)
        self.v = Dense(channels, channels)

    def prepare(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of every source pixel, (n·h·w, C) each.

        ``Wk·(source + code) + bk`` is linear, so the source's part is computed once per pixel instead of once per tap.
        """
        rows = _pixel_rows(source)
        return self.k(rows), self.v(rows)

    def forward(self, source: Tensor | tuple[Tensor, Tensor], current: Tensor, flow: Tensor) -> Tensor:
        """Align ``source`` to ``current``.

        Args:
            source: (n, C, h, w), or what :meth:`prepare` made of it.
            current: (n, C, h, w).
            flow: (n, 2, h, w) pixels, ``aligned(p) = source(p + flow(p))``.

        Returns:
            (n, C, h, w), channels last in memory.
        """
        keys, values = self.prepare(source) if isinstance(source, Tensor) else source
        n, _, h, w = current.shape
        index, offset = sampling_taps(flow, self.window)
        code = offset_code(offset, self.window, self.channels)
        query = self.q(_pixel_rows(current) + code.to(current.dtype))
        taps = tap_code(self.window, self.channels, current.device).to(keys.dtype)
        tap_keys = nn.functional.linear(taps, self.k.weight).to(keys.dtype)
        tap_values = nn.functional.linear(taps, self.v.weight).to(values.dtype)

        width = self.channels // self.num_heads
        scaled = query * width**-0.5
        logits = torch.stack(
            [
                (scaled * (keys.index_select(0, i) + code)).unflatten(1, (-1, width)).sum(2)
                for i, code in zip(index, tap_keys, strict=True)
            ]
        )
        weights = logits.softmax(0).to(values.dtype)
        out = torch.zeros_like(query)
        for share, i, code in zip(weights, index, tap_values, strict=True):
            tap = (values.index_select(0, i) + code).unflatten(1, (-1, width))
            out = out + (share.unsqueeze(2) * tap).flatten(1)
        return out.view(n, h, w, self.channels).permute(0, 3, 1, 2)

    def tap_weights(self, source: Tensor | tuple[Tensor, Tensor], current: Tensor, flow: Tensor) -> Tensor:
        """The attention over the taps of every pixel, for those who want to look at it.

        Measured on :meth:`forward` itself, which is linear in the values: they are set to one on every ``window``-th
        row and
        column of the source in turn, which each tap neighbourhood meets just once.

        Args:
            source, current, flow: as for :meth:`forward`.

        Returns:
            (n, num_heads, window², h, w), summing to one over the taps. Taps that the image's edge moved to the same
            pixel
            share its weight equally.
        """
        keys, values = self.prepare(source) if isinstance(source, Tensor) else source
        n, _, h, w = current.shape
        side = self.window
        row, column = torch.meshgrid(
            torch.arange(h, device=flow.device), torch.arange(w, device=flow.device), indexing='ij'
        )
        group = (row % side * side + column % side).flatten()
        nothing = self.forward((keys, torch.zeros_like(values)), current, flow)
        shares = []
        for number in range(side**2):
            chosen = (group == number).repeat(n).unsqueeze(1).to(values.dtype).expand_as(values)
            shares.append(
                (self.forward((keys, chosen), current, flow) - nothing).unflatten(1, (self.num_heads, -1))[:, :, 0]
            )
        by_group = torch.stack(shares, 2).flatten(3)
        index = sampling_taps(flow, side)[0]
        met = group[index % (h * w)].view(side**2, n, h * w).transpose(0, 1)
        sharing = (met.unsqueeze(1) == met.unsqueeze(2)).sum(1)
        weights = by_group.gather(2, met.unsqueeze(1).expand_as(by_group)) / sharing.unsqueeze(1)
        return weights.unflatten(3, (h, w))


def _pixel_rows(feature: Tensor) -> Tensor:
    """(n, c, h, w) → (n·h·w, c); a view when the feature is channels last in memory."""
    return feature.permute(0, 2, 3, 1).reshape(-1, feature.shape[1])
