"""Attention with an additive bias."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_WINDOWS_AT_ONCE = 4  # of the backward pass on a CPU: few enough that their probabilities stay in its cache


def biased_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """``softmax(q kᵀ / sqrt(d) + bias) v``, fused.

    Args:
        q: (b, heads, queries, d).
        k, v: (b, heads, keys, d).
        bias: (heads, queries, keys), the same for every element of the batch.

    Returns:
        (b, heads, queries, d).
    """
    bias = bias.to(q.dtype)
    if q.device.type == 'cpu' and torch.is_grad_enabled() and bias.requires_grad:
        return _RecomputingAttention.apply(q, k, v, bias)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.unsqueeze(0))


class _RecomputingAttention(torch.autograd.Function):
    """Fused forward, and a backward that computes the probabilities again, a few windows at a time.

    torch's fused CPU kernel has no gradient for the bias, and what it falls back to keeps the probabilities of all
    windows: (b, heads, queries, keys), which is most of the memory that training takes.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        # Detached: torch passes the fused kernel over for a bias that wants a gradient, even where none is recorded.
        out = F.scaled_dot_product_attention(q.detach(), k.detach(), v.detach(), attn_mask=bias.detach().unsqueeze(0))
        ctx.save_for_backward(q, k, v, bias, out)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        q, k, v, bias, out = ctx.saved_tensors
        scale = q.shape[-1] ** -0.5
        bias32 = bias.float()
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        dbias = torch.zeros_like(bias32)
        for start in range(0, len(q), _WINDOWS_AT_ONCE):
            run = slice(start, start + _WINDOWS_AT_ONCE)
            q_, k_, v_, out_, g_ = (x[run].float() for x in (q, k, v, out, gradient))
            p = (torch.matmul(q_ * scale, k_.transpose(-1, -2)).add_(bias32)).softmax(-1)
            dv[run] = torch.matmul(p.transpose(-1, -2), g_)
            ds = torch.matmul(g_, v_.transpose(-1, -2))
            ds.sub_((g_ * out_).sum(-1, keepdim=True)).mul_(p)
            dq[run] = torch.matmul(ds, k_).mul_(scale)
            dk[run] = torch.matmul(ds.transpose(-1, -2), q_).mul_(scale)
            dbias += ds.sum(0)
        return dq, dk, dv, dbias.to(bias.dtype)
