"""Attention with an additive bias."""

import torch
from torch import Tensor
from torch.nn import functional as F


def biased_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """``softmax(q kᵀ / sqrt(d) + bias) v``.

    Fused wherever that is the faster way. The one place where it is not: a CPU in training, where the fused
    kernel has no gradient for the bias and falls back to one that is slower than the plain product.

    Args:
        q: (b, heads, queries, d).
        k, v: (b, heads, keys, d).
        bias: (heads, queries, keys), the same for every element of the batch.

    Returns:
        (b, heads, queries, d).
    """
    bias = bias.to(q.dtype)
    if q.device.type == 'cpu' and bias.requires_grad and torch.is_grad_enabled():
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2) + bias
        return logits.softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.unsqueeze(0))
