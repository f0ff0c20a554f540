"""Parameters, time and memory of each alignment."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from iart.inference.costs import Allocations
from iart.registry import ALIGNMENT_REGISTRY, build
from iart.stopwatch import durations


class Cost(NamedTuple):
    """Cost of one call."""

    label: str
    parameters: int
    milliseconds: float
    """Fastest of the repeats."""
    training_milliseconds: float
    """Forward and backward."""
    megabytes: float
    """Tensors alive at the peak of a forward pass, beside input and parameters."""


def costs(
    sections: Iterable[tuple[str, Mapping[str, Any]]],
    device: torch.device,
    *,
    channels: int = 60,
    num_heads: int = 6,
    size: tuple[int, int] = (64, 64),
    repeats: int = 5,
) -> list[Cost]:
    """Measure one call of each alignment on random features.

    Args:
        sections: (label, ``alignment`` section).
        device: the device to compute on.
        channels, num_heads: width and number of attention heads of the network.
        size: (h, w) of the features.
        repeats: number of calls, of which the fastest counts.
    """
    measured = []
    for label, section in sections:
        align = build(ALIGNMENT_REGISTRY, section, channels=channels, num_heads=num_heads).to(device)
        source, current = torch.rand(2, 1, channels, *size, device=device)
        flow = torch.randn(1, 2, *size, device=device)
        with torch.no_grad(), Allocations() as allocations:
            align(source, current, flow)
        forward = min(durations(partial(_infer, align, (source, current, flow)), repeats, device))
        inputs = [x.clone().requires_grad_() for x in (source, current, flow)]
        both = min(durations(partial(_train, align, inputs), repeats, device))
        count = sum(p.numel() for p in align.parameters())
        measured.append(Cost(label, count, 1e3 * forward, 1e3 * both, allocations.peak / 2**20))
    return measured


@torch.no_grad()
def _infer(align: nn.Module, inputs: Sequence[Tensor]) -> None:
    align(*inputs)


def _train(align: nn.Module, inputs: Sequence[Tensor]) -> None:
    for tensor in inputs:
        tensor.grad = None
    align(*inputs).sum().backward()
