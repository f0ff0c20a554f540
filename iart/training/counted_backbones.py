"""Counting of training steps of networks with fusion backbones, which do the same work for every frame of every pass.

Each backbone is executed once on tensors without data; its further calls are replaced by one operation that allocates
the same memory and counts the same FLOPs. This takes seconds instead of minutes.
"""

import gc
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from iart.archs.fusion_backbone import FusionBackbone, Prepared
from iart.inference.costs import Allocations
from iart.ops.flops import Counting, Counts, difference


@dataclass(frozen=True)
class _Call:
    """Cost of one call of a backbone: work, and bytes allocated on top of those before the call."""

    shape: torch.Size
    """Shape of the output."""
    dtype: torch.dtype
    work: Counts
    kept: int
    """Bytes stored for the backward pass, without output and input."""
    peak: int
    backward_work: Counts = field(default_factory=dict)
    backward_peak: int = 0
    """Bytes on top of those at the start of the backward pass."""
    used: tuple[bool, ...] = ()
    """Whether each parameter gets a gradient."""


class _Replayed(torch.autograd.Function):
    """Replaces a call of a backbone: allocates the same memory, computes nothing."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, call: _Call, counting: Counting, shared: Sequence[Tensor], x: Tensor, *parameters: Tensor
    ) -> Tensor:
        _add(counting, call.work)
        _allocate(x, call.peak)
        ctx.call, ctx.counting, ctx.parameters = call, counting, parameters
        ctx.save_for_backward(x, x.new_empty(call.kept, dtype=torch.uint8), *shared)
        return torch.empty(call.shape, dtype=call.dtype, device=x.device, memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        call, x = ctx.call, ctx.saved_tensors[0]
        _add(ctx.counting, call.backward_work)
        _allocate(x, call.backward_peak)
        gradients = [torch.empty_like(p) if u else None for p, u in zip(ctx.parameters, call.used, strict=True)]
        return None, None, None, torch.empty_like(x) if ctx.needs_input_grad[3] else None, *gradients


def _add(counting: Counting, work: Counts) -> None:
    for key, one in work.items():
        counting.add(key, one)


def _allocate(like: Tensor, count: int) -> None:
    """Allocate some bytes and give them back."""
    like.new_empty(max(0, count), dtype=torch.uint8)


@contextmanager
def backbones_once(network: nn.Module, counting: Counting, allocations: Allocations) -> Iterator[None]:
    """Execute backbones of ``network`` once for every kind of call while this context lasts.

    Args:
        network: any network; without fusion backbones nothing changes.
        counting: the active count of FLOPs.
        allocations: the active count of bytes.
    """
    calls: dict[Any, _Call] = {}
    with ExitStack() as stack:
        for module in network.modules():
            if isinstance(module, FusionBackbone):
                forward = _forward(module, calls, counting, allocations)
                stack.enter_context(patch.object(module, 'forward', forward))
        yield


def _forward(module: FusionBackbone, calls: dict[Any, _Call], counting: Counting, allocations: Allocations) -> Any:
    original = module.forward
    parameters = [p for p in module.parameters() if p.requires_grad]
    structure = str(module)

    def forward(x: Tensor, prepared: Prepared) -> Tensor:
        key = structure, x.shape, x.dtype, x.requires_grad, torch.is_grad_enabled(), prepared.policy, len(parameters)
        if key not in calls:
            again = module.prepare(prepared.layouts, prepared.policy)  # with a graph of its own, which is freed
            calls[key] = _measured(lambda y: original(y, again), x, parameters, counting, allocations)
        output: Tensor = _Replayed.apply(calls[key], counting, _biases(prepared), x, *parameters)
        return output

    return forward


def _biases(prepared: Prepared) -> list[Tensor]:
    """Return what the calls of a pass share and keep for the backward pass."""
    return [run.bias.detach() for group in prepared.blocks for block in group for run in block.attention.runs]


def _measured(
    forward: Any, x: Tensor, parameters: Sequence[Tensor], counting: Counting, allocations: Allocations
) -> _Call:
    """Call ``forward`` and its backward pass, and leave both counts as they were."""
    peak, counts, start = allocations.peak, dict(counting.counts), allocations.now
    allocations.peak = start
    source = x.detach().requires_grad_(x.requires_grad)
    output = forward(source)
    made = allocations.now - start - output.numel() * output.element_size()
    work = difference(counting.counts, counts)
    call = _Call(output.shape, output.dtype, work, max(0, made), allocations.peak - start)
    inputs = [t for t in (source, *parameters) if t.requires_grad]
    if output.requires_grad and inputs:
        gradient, before, begin = torch.ones_like(output), dict(counting.counts), allocations.now
        allocations.peak = begin
        gradients = torch.autograd.grad(output, inputs, gradient, allow_unused=True)
        used = tuple(g is not None for g in gradients[len(gradients) - len(parameters) :])
        backward = difference(counting.counts, before)
        call = replace(call, backward_work=backward, backward_peak=allocations.peak - begin, used=used)
        del gradients, gradient
    del output, source
    gc.collect()  # what is recomputed holds its closures in cycles
    allocations.peak = peak
    counting.counts = counts
    return call
