"""Implicit resampling-based alignment (paper, section 3.2): attention over the taps around the sampling point."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iart.alignments.argument_checks import check_above_zero
from iart.ops.dense import Dense, dense
from iart.ops.sine import TEMPERATURE, offset_code, tap_code
from iart.ops.taps import Origin, first_tap, sampling_taps
from iart.ops.warp import flow_warp
from iart.registry import ALIGNMENT_REGISTRY, SUFFIX

Prepared = tuple[Tensor, ...]
"""Keys and values of every source pixel; with a residual, the source as well."""


@ALIGNMENT_REGISTRY.register(suffix=SUFFIX)
class ImplicitAlignment(nn.Module):
    """Resample the source by attention between the current pixel and the taps around its sampling point.

    With s = p + flow(p), offset d = s − floor(s), taps t_j and sine codes γ (:mod:`iart.ops.sine`)::

        q = Wq·(current(p) + γ(d)) + bq        k_j, v_j = W·(source(t_j) + γ(j)) + b
        aligned(p) = Σ_j softmax_j(q·k_j / sqrt(C / heads)) · v_j            in each head

    The query carries the code of the sub-pixel offset, the keys and values carry the codes of their taps, so the
    network learns the interpolation kernel instead of being given one. No output projection, no residual.

    Parameters: 3·(C² + C); 10,980 at C = 60, 43,560 at C = 120, whatever the window.

    ``residual: bilinear`` is not in the paper. With b(p) the bilinear sample of the source, the result is::

        aligned(p) = b(p) + Σ_j softmax_j(...) · (Wv·(source(t_j) + γ(j) − b(p)) + bv)

    where Wv and bv start at zero. At initialization this is exactly bilinear warping, so it can replace the warp of a
    trained network without changing its output. Values are differences to b, so that a flat source is corrected by its
    codes only.

    Args:
        channels: width C of the features; a multiple of 4 (sine codes of two coordinates) and of the number of heads.
        num_heads: the network's attention heads; default for ``heads``.
        window: side of the tap neighborhood in pixels: 2 in the released weights; 3 and 4 in the paper's table 4.
        origin: position of the neighborhood: see :func:`iart.ops.taps.first_tap`. For a window of 2 all but ``paper``
            mean 0..1.
        codes: the sine codes that are added (paper, table 3): ``both``, ``window`` (of the taps), ``offset`` (of the
            query) or ``none``. Without the code of the offset, the sub-pixel part of the flow has no effect.
        edges: the value of a tap outside the image: the pixel at the edge (``duplicate``) or the zero vector
            (``zero``); its code is added either way.
        heads: attention heads; default ``num_heads``.
        temperature: T of the sine codes, above 0.
        residual: ``bilinear`` or None; see above.

    Raises:
        ValueError: ``channels``, ``window``, ``heads`` or ``temperature`` is out of range.
    """

    def __init__(
        self,
        *,
        channels: int,
        num_heads: int,
        window: int = 2,
        origin: Origin = 'centered',
        codes: Literal['both', 'window', 'offset', 'none'] = 'both',
        edges: Literal['duplicate', 'zero'] = 'duplicate',
        heads: int | None = None,
        temperature: float = TEMPERATURE,
        residual: Literal['bilinear'] | None = None,
    ) -> None:
        super().__init__()
        check_above_zero(heads=heads, temperature=temperature)
        num_heads = heads or num_heads
        if channels % 4 or channels % num_heads:
            raise ValueError(f'channels: got {channels}, expected a multiple of 4 and of num_heads ({num_heads})')
        if window < 2:
            raise ValueError(f'window: got {window}, expected 2 or more')
        self.channels, self.num_heads, self.window = channels, num_heads, window
        self.first, self.temperature, self.residual = first_tap(window, origin), temperature, residual
        self.codes_taps, self.codes_offset = codes in ('both', 'window'), codes in ('both', 'offset')
        self.zero_outside = edges == 'zero'
        self.q = Dense(channels, channels)
        self.k = Dense(channels, channels)
        self.v = Dense(channels, channels)
        if residual:
            nn.init.zeros_(self.v.weight)
            nn.init.zeros_(self.v.bias)

    @property
    def trains_flow(self) -> bool:
        """Whether a gradient reaches the flow, through the offset code or the bilinear residual; floor() has none."""
        return self.codes_offset or self.residual is not None

    @property
    def starts_neutral(self) -> bool:
        """Whether this alignment, at initialization, equals a bilinear warp."""
        return self.residual is not None

    def prepare(self, source: Tensor) -> Prepared:
        """Return the (n·h·w, C) keys and values of every source pixel, and the source if there is a residual.

        ``Wk·(source + code) + bk`` is linear, so its first part is computed once per pixel, not per tap. With
        zero edges a last row is appended, which taps outside the image read.

        Args:
            source: (n, C, h, w) feature.
        """
        rows = _pixel_rows(source)
        if self.zero_outside:
            rows = torch.cat((rows, rows.new_zeros(1, self.channels)))
        return self.k(rows), self.v(rows), *((source,) if self.residual else ())

    def join(self, sources: Sequence[Prepared]) -> Prepared:
        """Join the results of :meth:`prepare` for several features along the batch, to align them in one call."""
        if not self.zero_outside:
            return tuple(torch.cat(parts) for parts in zip(*sources, strict=True))
        keys, values, *rest = zip(*sources, strict=True)
        # Only the last source keeps the row that taps outside the image read.
        rows = (torch.cat([*(part[:-1] for part in parts[:-1]), parts[-1]]) for parts in (keys, values))
        return *rows, *(torch.cat(parts) for parts in rest)

    def forward(self, source: Tensor | Prepared, current: Tensor, flow: Tensor) -> Tensor:
        """Align ``source`` to ``current``.

        Args:
            source: (n, C, h, w) feature, or the result of :meth:`prepare` for it.
            current: (n, C, h, w) feature.
            flow: (n, 2, h, w) flow in pixels, ``aligned(p) = source(p + flow(p))``.

        Returns:
            The aligned (n, C, h, w) feature, channels last in memory.
        """
        prepared = self.prepare(source) if isinstance(source, Tensor) else source
        n, _, h, w = current.shape
        shares, index, tap_values = self._attend(prepared, current, flow)
        values = prepared[1]
        shares = shares.to(values.dtype)
        out = torch.zeros(n * h * w, self.channels, dtype=values.dtype, device=values.device)
        # Tap by tap: gathering all window² taps at once would take window² times the memory of a feature.
        for share, i, code in zip(shares, index, tap_values, strict=True):
            tap = (values.index_select(0, i) + code).unflatten(1, (self.num_heads, -1))
            out = out + (share.unsqueeze(2) * tap).flatten(1)
        if self.residual:
            warped = _pixel_rows(flow_warp(prepared[2], flow))
            # Σ_j softmax_j · Wv·b = Wv·b, since the softmax sums to one: subtracted once instead of from every tap.
            out = out + warped - dense(warped, self.v.weight, None)
        return out.view(n, h, w, self.channels).permute(0, 3, 1, 2)

    def tap_weights(self, source: Tensor | Prepared, current: Tensor, flow: Tensor) -> Tensor:
        """Return the attention over the taps of every pixel, as :meth:`forward` uses it.

        These are the weights of the learned interpolation kernel: a fixed kernel (bilinear, bicubic) has one weight per
        tap that depends on the sub-pixel offset alone; here it depends on the content of both frames as well, and
        each head has its own. :mod:`iart.analysis.frequency` computes the frequency response of these kernels.

        Args:
            source, current, flow: as for :meth:`forward`.

        Returns:
            (n, heads, window², h, w) in [0, 1], summing to one over the taps, which are listed row by row from the
            window's first tap.
        """
        prepared = self.prepare(source) if isinstance(source, Tensor) else source
        n, _, h, w = current.shape
        shares, _, _ = self._attend(prepared, current, flow)
        return shares.view(-1, n, h, w, self.num_heads).permute(1, 4, 0, 2, 3)

    def _attend(self, prepared: Prepared, current: Tensor, flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute attention from every pixel of the current frame to its taps.

        Returns:
            attention: (window², n·h·w, heads), a softmax over the first dimension;
            rows: (window², n·h·w) row of the prepared keys and values that each tap reads;
            code values: (window², C), the values Wv·γ(j) of the taps' codes, the same for all pixels.
        """
        keys, values = prepared[:2]
        index, offset = sampling_taps(flow, self.window, first=self.first, mark_outside=self.zero_outside)
        rows = _pixel_rows(current)
        if self.codes_offset:
            rows = rows + offset_code(offset, self.window, self.channels, self.temperature).to(current.dtype)
        query = self.q(rows)
        # W·(source(t_j) + γ(j)) + b splits into the prepared rows W·source + b and a constant W·γ(j) per tap.
        taps = tap_code(self.window, self.channels, current.device, self.temperature).to(keys.dtype)
        taps = taps if self.codes_taps else torch.zeros_like(taps)
        tap_keys = F.linear(taps, self.k.weight).to(keys.dtype)
        tap_values = F.linear(taps, self.v.weight).to(values.dtype)
        width = self.channels // self.num_heads
        scaled = query * width**-0.5
        logits = torch.stack(
            [
                (scaled * (keys.index_select(0, i) + code)).unflatten(1, (-1, width)).sum(2)
                for i, code in zip(index, tap_keys, strict=True)
            ]
        )
        return logits.softmax(0), index, tap_values


def _pixel_rows(feature: Tensor) -> Tensor:
    """Return (n, c, h, w) as (n·h·w, c); a view if the feature is channels last in memory."""
    return feature.permute(0, 2, 3, 1).reshape(-1, feature.shape[1])
