"""Attention with an additive bias."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from iart import device as devices


def biased_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, scale: float | None = None) -> Tensor:
    """Compute ``softmax(scale · q kᵀ + bias) v`` with a fused kernel.

    Args:
        q: (b, heads, queries, d).
        k, v: (b, heads, keys, d).
        bias: (heads, queries, keys), the same for every element of the batch, or (b, heads, queries, keys).
        scale: factor of the logits; default 1/√d, and to be passed where d was padded with zeros.

    Returns:
        (b, heads, queries, d).
    """
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    bias = bias.to(q.dtype)
    bias = bias if bias.ndim == 4 else bias.unsqueeze(0)
    at_once = devices.windows_of_attention_backward(q.device)
    if at_once and torch.is_grad_enabled() and bias.requires_grad:
        return _RecomputingAttention.apply(q, k, v, bias, scale, at_once)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)


class _RecomputingAttention(torch.autograd.Function):
    """Fused forward, and a backward that computes the probabilities again, a few elements of the batch at a time.

    For devices whose fused kernel has no gradient for the bias (CPU), or none that gives the same bits twice (CUDA).
    What torch falls back to keeps the probabilities of the whole batch, (b, heads, queries, keys): most of the
    memory of training.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, scale: float, at_once: int) -> Tensor:
        # Detached: torch does not take the fused kernel for a bias that requires grad, even where no graph is recorded.
        out = F.scaled_dot_product_attention(q.detach(), k.detach(), v.detach(), attn_mask=bias.detach(), scale=scale)
        ctx.scale, ctx.at_once = scale, at_once
        ctx.save_for_backward(q, k, v, bias, out)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None, None]:
        q, k, v, bias, out = ctx.saved_tensors
        scale: float = ctx.scale
        bias32 = bias.float()
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        dbias = torch.zeros_like(bias32)
        for start in range(0, len(q), ctx.at_once):
            run = slice(start, start + ctx.at_once)
            q_, k_, v_, out_, g_ = (x[run].float() for x in (q, k, v, out, gradient))
            p = (
                torch.matmul(q_ * scale, k_.transpose(-1, -2)).add_(bias32 if len(bias) == 1 else bias32[run])
            ).softmax(-1)
            dv[run] = torch.matmul(p.transpose(-1, -2), g_)
            # Gradient of the logits: p · (dp − Σ p·dp), where the sum over the keys equals Σ g·out over the channels.
            ds = torch.matmul(g_, v_.transpose(-1, -2))
            ds.sub_((g_ * out_).sum(-1, keepdim=True)).mul_(p)
            dq[run] = torch.matmul(ds, k_).mul_(scale)
            dk[run] = torch.matmul(ds.transpose(-1, -2), q_).mul_(scale)
            if len(bias) == 1:
                dbias += ds.sum(0)
            else:
                dbias[run] = ds
        return dq, dk, dv, dbias.to(bias.dtype), None, None
