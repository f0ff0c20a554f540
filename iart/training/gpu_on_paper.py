"""Counting what a GPU would do on tensors without data, on a machine that has none."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import sdpa_backward_flop_count, sdpa_flop_count

from iart import device as devices
from iart.ops.flops import Counting, Work

_ATTENTION_KERNELS = 3  # of a call: the kernel, and two that clear its seeds


@contextmanager
def as_on_gpu(counting: Counting) -> Iterator[None]:
    """Let networks take the computations that they take on a GPU, while this context counts them on a CPU.

    Heads are padded in half precision, windows at the border share a call, both orders are aligned in one call, linear
    layers are matrix products, attention is CUDA's memory-efficient kernel with its own backward pass, and autocast
    computes layer norms in float32, which a CPU's does not: so the tokens between blocks are float32. A test compares
    the counts with those of torch's CUDA code (tests/null_cuda).

    Args:
        counting: the active count.
    """

    def attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor, scale: float) -> Tensor:
        result: Tensor = _Attention.apply(counting, q, k, v, attn_mask)
        return result

    layer_norm = F.layer_norm

    def single(x: Tensor, *rest: Any, **options: Any) -> Tensor:
        return layer_norm(x.float() if torch.is_autocast_enabled('cpu') else x, *rest, **options)

    replaced: dict[str, Any] = {
        'head_multiple': lambda device, dtype: 16 // dtype.itemsize,
        'windows_of_attention_backward': lambda device: 0,
        'saves_launches': lambda device: True,
    }
    with ExitStack() as stack:
        for name, value in replaced.items():
            stack.enter_context(patch.object(devices, name, value))
        stack.enter_context(patch('iart.ops.dense._convolves', lambda x, weight: False))
        stack.enter_context(patch('torch.nn.functional.layer_norm', single))
        stack.enter_context(patch('iart.ops.attention.F.scaled_dot_product_attention', attention))
        yield


class _Attention(torch.autograd.Function):
    """Allocates what CUDA's memory-efficient attention does, counts its work, computes nothing."""

    @staticmethod
    def forward(ctx: Any, counting: Counting, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:  # type: ignore[override]
        out = torch.empty_like(q)
        sums = q.new_empty(q.shape[:-1], dtype=torch.float32)
        flops = sdpa_flop_count(q.shape, k.shape, v.shape)
        counting.add(_key(counting, q), Work(int(flops), _bytes(q, k, v, bias, out, sums), _ATTENTION_KERNELS))
        ctx.counting = counting
        ctx.save_for_backward(q, k, v, bias, out, sums)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        q, k, v, bias, out, sums = ctx.saved_tensors
        gradients = tuple(torch.empty_like(x) for x in (q, k, v))
        flops = sdpa_backward_flop_count(gradient.shape, q.shape, k.shape, v.shape)
        moved = _bytes(q, k, v, bias, out, sums, gradient, *gradients)
        of_bias: Tensor | None = None
        if ctx.needs_input_grad[4]:
            each = bias.new_empty(len(q), *bias.shape[1:])  # of every window, also where all share one bias
            moved += _bytes(each)
            of_bias = each.sum(0, keepdim=True) if len(bias) == 1 else each
        ctx.counting.add(_key(ctx.counting, q), Work(int(flops), moved, _ATTENTION_KERNELS))
        return None, *gradients, of_bias


def _key(counting: Counting, q: Tensor) -> tuple[str, str]:
    return counting.module, counting.name('attention', q)


def _bytes(*tensors: Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
