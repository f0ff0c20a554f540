"""What each alignment costs: parameters, time, memory."""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from iart import device as devices
from iart.inference.costs import Allocations
from iart.registry import ALIGNMENT_REGISTRY, build


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
        device: where to compute.
        channels, num_heads: of the network.
        size: (h, w) of the features.
        repeats: calls, of which the fastest counts.
    """
    measured = []
    for label, section in sections:
        align = build(ALIGNMENT_REGISTRY, section, channels=channels, num_heads=num_heads).to(device)
        source, current = torch.rand(2, 1, channels, *size, device=device)
        flow = torch.randn(1, 2, *size, device=device)
        with torch.no_grad(), Allocations() as allocations:
            align(source, current, flow)
        forward, both = [], []
        for _ in range(repeats):
            with torch.no_grad():
                forward.append(_seconds(partial(align, source, current, flow), device))
            inputs = [x.clone().requires_grad_() for x in (source, current, flow)]
            both.append(_seconds(partial(_train, align, inputs), device))
        count = sum(p.numel() for p in align.parameters())
        measured.append(Cost(label, count, 1e3 * min(forward), 1e3 * min(both), allocations.peak / 2**20))
    return measured


def _train(align: nn.Module, inputs: list[Tensor]) -> None:
    align(*inputs).sum().backward()


def _seconds(function: Callable[[], object], device: torch.device) -> float:
    devices.synchronize(device)
    begin = time.perf_counter()
    function()
    devices.synchronize(device)
    return time.perf_counter() - begin
