"""Swin blocks over windows of three frames, on tokens that stay listed window by window (see ops/windows.py)."""

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from iart import device as devices
from iart.archs.recompute_policy import recompute
from iart.ops.attention import biased_attention
from iart.ops.dense import Dense, dense
from iart.ops.windows import WindowLayout, relative_position_index


@dataclass(frozen=True)
class BiasedRun:
    """Consecutive windows that attend in one call, with their bias: position bias plus mask, in the compute dtype."""

    windows: slice
    bias: Tensor
    """(heads, tokens, tokens) for all windows, or (kinds, heads, tokens, tokens), selected by ``kind``."""
    kind: Tensor | None = None
    """(windows,) int64."""

    def of(self, queries: slice) -> Tensor:
        """Return (heads, queries, tokens), or (windows, heads, queries, tokens)."""
        bias = self.bias[..., queries, :]
        # In training ``prepare`` has already picked: each call would keep its head copy for the backward pass.
        return bias if self.kind is None else bias.index_select(0, self.kind)


@dataclass(frozen=True)
class PreparedAttention:
    """The inputs of an attention that are the same for all frames of a pass.

    Weights are in the compute dtype, which saves a cast per call. Where the fused kernels of the device require it,
    heads are padded with zeros to ``width`` channels: rows of zeros in ``qkv_weight`` add zeros to every q·k and give
    zeros as further channels of v, which meet columns of zeros in ``proj_weight``.
    """

    runs: tuple[BiasedRun, ...]
    width: int
    """Channels of a head, padding included."""
    qkv_weight: Tensor
    """(3·heads·width, C)"""
    qkv_bias: Tensor | None
    """(3·heads·width,)"""
    proj_weight: Tensor
    """(C, heads·width)"""
    proj_bias: Tensor
    """(C,)"""


@dataclass(frozen=True)
class PreparedBlock:
    """The inputs of a Swin block that are the same for all frames of a pass, in the compute dtype."""

    attention: PreparedAttention
    fc1_weight: Tensor
    fc1_bias: Tensor
    fc2_weight: Tensor
    fc2_bias: Tensor


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows, with a learned bias for every relative position.

    Args:
        channels: width C of the tokens.
        window: (frames, height, width).
        num_heads: attention heads, a divisor of ``channels``.
        qkv_bias: whether the projections to queries, keys and values have a bias.
    """

    relative_position_index: Tensor

    def __init__(self, *, channels: int, window: tuple[int, int, int], num_heads: int, qkv_bias: bool = True) -> None:
        super().__init__()
        self.window, self.num_heads = window, num_heads
        rows = (2 * window[0] - 1) * (2 * window[1] - 1) * (2 * window[2] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(rows, num_heads))
        # A constant of released checkpoints: rebuilt here, and compared when a checkpoint is loaded.
        self.register_buffer('relative_position_index', relative_position_index(window), persistent=False)
        self.qkv = Dense(channels, 3 * channels, bias=qkv_bias)
        self.proj = Dense(channels, channels)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def position_bias(self) -> Tensor:
        """Return the (heads, tokens, tokens) bias of every pair of tokens."""
        tokens = len(self.relative_position_index)
        flat = self.relative_position_bias_table.index_select(0, self.relative_position_index.view(-1))
        return flat.view(tokens, tokens, -1).permute(2, 0, 1).contiguous()

    def prepare(self, layout: WindowLayout) -> PreparedAttention:
        """Return the inputs of :meth:`forward` that depend on layout and weights only."""
        weight: Tensor = self.qkv.weight
        head = weight.shape[1] // self.num_heads
        dtype = devices.compute_dtype(weight.device, weight.dtype)
        multiple = devices.head_multiple(weight.device, dtype)
        width = -(-head // multiple) * multiple
        qkv_bias: Tensor | None = self.qkv.bias
        proj: Tensor = self.proj.weight
        if width > head:
            heads, c, more = self.num_heads, weight.shape[1], width - head
            weight = F.pad(weight.view(3 * heads, head, c), (0, 0, 0, more)).view(3 * heads * width, c)
            qkv_bias = None if qkv_bias is None else F.pad(qkv_bias.view(3 * heads, head), (0, more)).view(-1)
            proj = F.pad(proj.view(c, heads, head), (0, more)).view(c, heads * width)
        return PreparedAttention(
            runs=_runs(self.position_bias().to(dtype), layout),
            width=width,
            qkv_weight=weight.to(dtype),
            qkv_bias=None if qkv_bias is None else qkv_bias.to(dtype),
            proj_weight=proj.to(dtype),
            proj_bias=self.proj.bias.to(dtype),
        )

    def forward(
        self, x: Tensor, layout: WindowLayout, prepared: PreparedAttention | None = None, queries: slice | None = None
    ) -> Tensor:
        """Compute attention within windows.

        Args:
            x: (windows·tokens, C) in the layout's order.
            layout: the order of the tokens.
            prepared: the result of :meth:`prepare` for this layout, to share it between inputs.
            queries: the tokens of each window that attend; default all. No results are computed for the others.

        Returns:
            (windows·queries, C).
        """
        c = x.shape[1]
        prepared = prepared or self.prepare(layout)
        q, k, v = self._project(x.view(-1, layout.tokens, c), prepared, queries)
        scale = 1 / math.sqrt(c // self.num_heads)  # of the true width: padding adds nothing to a product
        parts = []
        for run in prepared.runs:
            bias = run.of(queries or slice(0, layout.tokens))
            out = biased_attention(q[run.windows], k[run.windows], v[run.windows], bias, scale)
            parts.append(out.transpose(1, 2).reshape(-1, self.num_heads * prepared.width))
        return dense(parts[0] if len(parts) == 1 else torch.cat(parts), prepared.proj_weight, prepared.proj_bias)

    def _project(self, x: Tensor, prepared: PreparedAttention, queries: slice | None) -> tuple[Tensor, Tensor, Tensor]:
        """Project (windows, tokens, C) to q, k, v of (windows, heads, tokens, width), as views of one tensor."""
        weight, bias = prepared.qkv_weight, prepared.qkv_bias
        if queries is None:
            q, k, v = rearrange(
                dense(x, weight, bias), 'w t (qkv heads c) -> qkv w heads t c', qkv=3, heads=self.num_heads
            )
            return q, k, v
        third = len(weight) // 3
        few = dense(x[:, queries], weight[:third], None if bias is None else bias[:third])
        both = dense(x, weight[third:], None if bias is None else bias[third:])
        k, v = rearrange(both, 'w t (kv heads c) -> kv w heads t c', kv=2, heads=self.num_heads)
        return rearrange(few, 'w t (heads c) -> w heads t c', heads=self.num_heads), k, v


def _runs(bias: Tensor, layout: WindowLayout) -> tuple[BiasedRun, ...]:
    """Add the masks of a layout to the (heads, tokens, tokens) position bias.

    There is one call of the attention per kind of window. On devices where a call costs more than copies of a bias, all
    windows at the border share one call, with a bias for each.
    """
    runs = [
        BiasedRun(slice(g.start, g.stop), bias if g.mask is None else bias + g.mask.to(bias.dtype))
        for g in layout.groups
    ]
    border = [
        (run, number)
        for number, run in enumerate(r for r, g in zip(runs, layout.groups, strict=True) if g.mask is not None)
    ]
    if len(border) < 2 or not devices.saves_launches(bias.device):
        return tuple(runs)
    kind = torch.cat(
        [torch.full((run.windows.stop - run.windows.start,), number, device=bias.device) for run, number in border]
    )
    windows = slice(border[0][0].windows.start, border[-1][0].windows.stop)
    biases = torch.stack([run.bias for run, _ in border])
    last = (
        BiasedRun(windows, biases.index_select(0, kind))
        if torch.is_grad_enabled()
        else BiasedRun(windows, biases, kind)
    )
    return (*runs[: len(runs) - len(border)], last)


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them; the names of the layers are timm's."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Dense(channels, hidden)
        self.fc2 = Dense(hidden, channels)

    def forward(self, x: Tensor, prepared: PreparedBlock | None = None) -> Tensor:
        """Transform (..., channels) to the same shape, with the weights of ``prepared`` if given."""
        if prepared is None:
            return self.fc2(F.gelu(self.fc1(x)))
        hidden = F.gelu(dense(x, prepared.fc1_weight, prepared.fc1_bias))
        return dense(hidden, prepared.fc2_weight, prepared.fc2_bias)


class SwinBlock(nn.Module):
    """LayerNorm, window attention, residual; LayerNorm, MLP, residual.

    Args:
        channels, window, num_heads, qkv_bias: see :class:`WindowAttention`.
        shift: rows and columns by which this block's windows are moved.
        mlp_ratio: hidden width of the MLP in units of ``channels``.
        drop_path: probability that a clip skips a residual branch in training (stochastic depth).
    """

    def __init__(
        self,
        *,
        channels: int,
        window: tuple[int, int, int],
        num_heads: int,
        shift: tuple[int, int] = (0, 0),
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.shift, self.drop_path = shift, drop_path
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels=channels, window=window, num_heads=num_heads, qkv_bias=qkv_bias)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, int(channels * mlp_ratio))

    def prepare(self, layout: WindowLayout) -> PreparedBlock:
        """Return the inputs of :meth:`forward` that depend on layout and weights only."""
        first, second = self.mlp.fc1, self.mlp.fc2
        dtype = devices.compute_dtype(first.weight.device, first.weight.dtype)
        weights = (t.to(dtype) for t in (first.weight, first.bias, second.weight, second.bias))
        return PreparedBlock(self.attn.prepare(layout), *weights)

    def forward(
        self,
        x: Tensor,
        layout: WindowLayout,
        prepared: PreparedBlock | None = None,
        *,
        middle_only: bool = False,
        recompute_mlp: bool = False,
    ) -> Tensor:
        """Transform tokens.

        Args:
            x: (windows·tokens, C) in the layout's order.
            layout: the layout of this block's shift.
            prepared: the result of :meth:`prepare` for this layout, to share it between inputs.
            middle_only: whether to compute and return the middle frame's tokens only.
            recompute_mlp: whether the backward pass recomputes the MLP.

        Returns:
            (windows·tokens, C), or (windows·tokens of the middle frame, C).
        """
        prepared = prepared or self.prepare(layout)
        y = self.norm1(x)
        if layout.padding is not None:
            y = y.index_fill(0, layout.padding, 0)  # padding takes part in attention as zeros
        y = self.attn(y, layout, prepared.attention, layout.middle if middle_only else None)
        sample = layout.sample
        if middle_only:
            x, sample = _middle(x, layout), _middle(sample, layout)
        x = x + self._drop(y, sample, layout.clips)
        return x + self._drop(recompute(recompute_mlp, self._feed, x, prepared), sample, layout.clips)

    def _feed(self, x: Tensor, prepared: PreparedBlock) -> Tensor:
        return self.mlp(self.norm2(x), prepared)

    def _drop(self, branch: Tensor, sample: Tensor, clips: int) -> Tensor:
        """Stochastic depth: zero the whole branch of a clip with probability ``drop_path``, scale the others up.

        Args:
            branch: (tokens, C).
            sample: (tokens,) which clip a token belongs to.
            clips: number of clips.
        """
        if not self.training or not self.drop_path:
            return branch
        keep = 1 - self.drop_path
        share = (torch.empty(clips, device=branch.device).bernoulli_(keep) / keep).to(branch.dtype)
        return branch * (share if clips == 1 else share.index_select(0, sample).unsqueeze(1))


def _middle(x: Tensor, layout: WindowLayout) -> Tensor:
    """Return the middle frame's tokens of (windows·tokens, ...)."""
    return x.unflatten(0, (-1, layout.tokens))[:, layout.middle].flatten(0, 1)
