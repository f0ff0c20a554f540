"""Swin blocks over windows of three frames, on tokens that stay listed window by window (see ops/windows.py)."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from iart.archs.recompute_policy import recompute
from iart.ops.attention import biased_attention
from iart.ops.dense import Dense, dense
from iart.ops.windows import WindowLayout, relative_position_index


class WindowAttention(nn.Module):
    """Multi-head self-attention inside each window, with a learnt bias for every relative position.

    Args:
        channels: width C of the tokens.
        window: (frames, height, width).
        num_heads: divides ``channels``.
        qkv_bias: whether the projections to queries, keys and values have a bias.
    """

    relative_position_index: Tensor

    def __init__(self, *, channels: int, window: tuple[int, int, int], num_heads: int, qkv_bias: bool = True) -> None:
        super().__init__()
        self.window, self.num_heads = window, num_heads
        rows = (2 * window[0] - 1) * (2 * window[1] - 1) * (2 * window[2] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(rows, num_heads))
        # A constant that released checkpoints carry; rebuilt here, compared when a checkpoint is loaded.
        self.register_buffer('relative_position_index', relative_position_index(window), persistent=False)
        self.qkv = Dense(channels, 3 * channels, bias=qkv_bias)
        self.proj = Dense(channels, channels)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def position_bias(self) -> Tensor:
        """(heads, tokens, tokens)."""
        tokens = len(self.relative_position_index)
        flat = self.relative_position_bias_table.index_select(0, self.relative_position_index.view(-1))
        return flat.view(tokens, tokens, -1).permute(2, 0, 1).contiguous()

    def forward(
        self, x: Tensor, layout: WindowLayout, bias: Tensor | None = None, queries: slice | None = None
    ) -> Tensor:
        """Attend within windows.

        Args:
            x: (windows·tokens, C) in the layout's order.
            layout: how they stand.
            bias: what :meth:`position_bias` gives, where it has been computed before.
            queries: which tokens of each window ask; default all. What the others would get is not computed.

        Returns:
            (windows·asking tokens, C).
        """
        c = x.shape[1]
        asking = queries or slice(0, layout.tokens)
        q, k, v = self._project(x.view(-1, layout.tokens, c), queries)
        bias = (self.position_bias() if bias is None else bias)[:, asking]
        parts = []
        for group in layout.groups:
            run = slice(group.start, group.stop)
            masked = bias if group.mask is None else bias + group.mask[asking]
            parts.append(biased_attention(q[run], k[run], v[run], masked).transpose(1, 2).reshape(-1, c))
        return self.proj(parts[0] if len(parts) == 1 else torch.cat(parts))

    def _project(self, x: Tensor, queries: slice | None) -> tuple[Tensor, Tensor, Tensor]:
        """(windows, tokens, C) → q, k, v of shape (windows, heads, tokens, C/heads); views, not copies."""
        if queries is None:
            q, k, v = rearrange(self.qkv(x), 'w t (qkv heads c) -> qkv w heads t c', qkv=3, heads=self.num_heads)
            return q, k, v
        c, weight, bias = x.shape[2], self.qkv.weight, self.qkv.bias
        few = dense(x[:, queries], weight[:c], None if bias is None else bias[:c])
        k, v = rearrange(
            dense(x, weight[c:], None if bias is None else bias[c:]),
            'w t (kv heads c) -> kv w heads t c',
            kv=2,
            heads=self.num_heads,
        )
        return rearrange(few, 'w t (heads c) -> w heads t c', heads=self.num_heads), k, v


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them; the names are timm's."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Dense(channels, hidden)
        self.fc2 = Dense(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(..., channels) → the same."""
        return self.fc2(F.gelu(self.fc1(x)))


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

    def forward(
        self,
        x: Tensor,
        layout: WindowLayout,
        bias: Tensor | None = None,
        *,
        middle_only: bool = False,
        recompute_mlp: bool = False,
    ) -> Tensor:
        """Transform tokens.

        Args:
            x: (windows·tokens, C) in the layout's order.
            layout: the layout of this block's shift.
            bias: the attention's position bias, where it has been computed before.
            middle_only: return the middle frame's tokens only; the rest is not computed.
            recompute_mlp: keep nothing of the MLP for the backward pass.

        Returns:
            (windows·tokens, C), or (windows·tokens of the middle frame, C).
        """
        y = self.norm1(x)
        if layout.inside is not None:
            y = y * layout.inside.to(y.dtype)  # padding takes part in attention as zeros
        y = self.attn(y, layout, bias, layout.middle if middle_only else None)
        sample = layout.sample
        if middle_only:
            x, sample = _middle(x, layout), _middle(sample, layout)
        x = x + self._drop(y, sample)
        return x + self._drop(recompute(recompute_mlp, self._feed, x), sample)

    def _feed(self, x: Tensor) -> Tensor:
        return self.mlp(self.norm2(x))

    def _drop(self, branch: Tensor, sample: Tensor) -> Tensor:
        """Stochastic depth: zero the whole branch of a clip with probability ``drop_path``, scale the others up."""
        if not self.training or not self.drop_path:
            return branch
        keep = 1 - self.drop_path
        clips = torch.empty(int(sample[-1]) + 1 if len(sample) else 0, device=branch.device)
        share = clips.bernoulli_(keep) / keep
        return branch * share[sample].unsqueeze(1).to(branch.dtype)


def _middle(x: Tensor, layout: WindowLayout) -> Tensor:
    """The middle frame's tokens of (windows·tokens, ...)."""
    return x.unflatten(0, (-1, layout.tokens))[:, layout.middle].flatten(0, 1)
