"""Implicit resampling-based alignment (paper, section 3.2): attention over the taps around the sampling point."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iart.ops.dense import Dense, dense
from iart.ops.sine import TEMPERATURE, offset_code, tap_code
from iart.ops.taps import Origin, first_tap, sampling_taps
from iart.ops.warp import flow_warp
from iart.registry import ALIGNMENT_REGISTRY, SUFFIX

Prepared = tuple[Tensor, ...]
"""Keys and values of every source pixel, and with a residual the source itself."""


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

    and Wv, bv start at zero: at the start this is bilinear warping, exactly, so it can replace the warping of a trained
        network
    without changing its output. Wv = 1 without codes would be the implicit alignment; what is between the two is
    learned. The attention sees differences to b, so that a correction of a flat source is zero but for the codes.

    Args:
        channels: width C of the features; a multiple of 4 (sine codes of two coordinates) and of the number of heads.
        num_heads: attention heads, where ``heads`` does not say otherwise: the network's.
        window: side of the tap neighborhood: 2 in the released weights; 3 and 4 in the paper's table 4.
        origin: where the neighborhood lies: see :func:`iart.ops.taps.first_tap`. All agree on 0..1 for a window of 2
            but ``paper``.
        codes: which sine codes there are (paper, table 3): ``both``, ``window`` (of the taps), ``offset`` (of the
            query) or ``none``. Without the offset's code nothing depends on the sub-pixel part of the flow.
        edges: what a tap outside the image reads: the pixel at the edge (``duplicate``), or the zero vector (``zero``),
            to which its code is still added.
        heads: attention heads; default ``num_heads``.
        temperature: T of the sine codes, above 0.
        residual: ``bilinear`` or none; see above.

    Raises:
        ValueError: ``channels``, ``window`` or ``temperature`` is out of range.
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
        num_heads = heads or num_heads
        if channels % 4 or channels % num_heads:
            raise ValueError(f'channels: got {channels}, expected a multiple of 4 and of num_heads ({num_heads})')
        if window < 2:
            raise ValueError(f'window: got {window}, expected 2 or more')
        if temperature <= 0:
            raise ValueError(f'temperature: got {temperature}, expected a number above 0')
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
        """Whether the flow gets a gradient: through the offset code or the bilinear residual; floor() has none."""
        return self.codes_offset or self.residual is not None

    @property
    def starts_neutral(self) -> bool:
        """Whether a network that was trained with a bilinear warp gives the same with this alignment in its place."""
        return self.residual is not None

    def prepare(self, source: Tensor) -> Prepared:
        """Return keys and values of every source pixel, (n·h·w, C) each, and the source where there is a residual.

        ``Wk·(source + code) + bk`` is linear, so the source's part is computed once per pixel instead of once per tap.
        With zero
        edges a last row is added: what a tap outside the image reads.
        """
        rows = _pixel_rows(source)
        if self.zero_outside:
            rows = torch.cat((rows, rows.new_zeros(1, self.channels)))
        return self.k(rows), self.v(rows), *((source,) if self.residual else ())

    def forward(self, source: Tensor | Prepared, current: Tensor, flow: Tensor) -> Tensor:
        """Align ``source`` to ``current``.

        Args:
            source: (n, C, h, w), or what :meth:`prepare` made of it.
            current: (n, C, h, w).
            flow: (n, 2, h, w) pixels, ``aligned(p) = source(p + flow(p))``.

        Returns:
            (n, C, h, w), channels last in memory.
        """
        prepared = self.prepare(source) if isinstance(source, Tensor) else source
        n, _, h, w = current.shape
        shares, index, tap_values = self._attend(prepared, current, flow)
        values = prepared[1]
        shares = shares.to(values.dtype)
        out = torch.zeros(n * h * w, self.channels, dtype=values.dtype, device=values.device)
        for share, i, code in zip(shares, index, tap_values, strict=True):
            tap = (values.index_select(0, i) + code).unflatten(1, (self.num_heads, -1))
            out = out + (share.unsqueeze(2) * tap).flatten(1)
        if self.residual:
            warped = _pixel_rows(flow_warp(prepared[2], flow))
            out = out + warped - dense(warped, self.v.weight, None)
        return out.view(n, h, w, self.channels).permute(0, 3, 1, 2)

    def tap_weights(self, source: Tensor | Prepared, current: Tensor, flow: Tensor) -> Tensor:
        """Return the attention over the taps of every pixel, as :meth:`forward` uses it.

        Args:
            source, current, flow: as for :meth:`forward`.

        Returns:
            (n, heads, window², h, w), summing to one over the taps, which run row by row from the window's first one.
        """
        prepared = self.prepare(source) if isinstance(source, Tensor) else source
        n, _, h, w = current.shape
        shares, _, _ = self._attend(prepared, current, flow)
        return shares.view(-1, n, h, w, self.num_heads).permute(1, 4, 0, 2, 3)

    def _attend(self, prepared: Prepared, current: Tensor, flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (window², n·h·w, heads) attention, (window², n·h·w) source rows of taps, (window², C) values of their
        codes.
        """
        keys, values = prepared[:2]
        index, offset = sampling_taps(flow, self.window, first=self.first, mark_outside=self.zero_outside)
        asking = _pixel_rows(current)
        if self.codes_offset:
            asking = asking + offset_code(offset, self.window, self.channels, self.temperature).to(current.dtype)
        query = self.q(asking)
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
    """(n, c, h, w) → (n·h·w, c); a view when the feature is channels last in memory."""
    return feature.permute(0, 2, 3, 1).reshape(-1, feature.shape[1])
