"""Second-order propagation of features through a clip (paper, section 3.1; after BasicVSR++)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from iart.ops.warp import flow_warp

PASSES = ('backward_1', 'forward_1', 'backward_2', 'forward_2')


def propagate(features: list[Tensor], flows: Tensor | None, align: nn.Module, fuse: Callable[[Tensor], Tensor], backward: bool) -> None:
    """Run one pass, replacing each frame's feature by what the pass makes of it.

    Args:
        features: t features (n, C, h, w), frame by frame; overwritten. They may live on another device than
            the weights (host memory, for long clips) and are returned there.
        flows: (n, t-1, 2, h, w) to the next frame for a backward pass, to the previous one for a forward pass;
            None for a clip of one frame.
        align: see :mod:`iart.alignments`.
        fuse: (n, 3, C, h, w) of first-order aligned, current, second-order aligned → (n, C, h, w).
        backward: from the last frame to the first.
    """
    prepare = getattr(align, 'prepare', _as_it_is)
    t = len(features)
    sources: list[Any] = []  # the last two outputs of this pass, newest first, ready to be aligned
    flow_before = None
    for i in range(t - 1, -1, -1) if backward else range(t):
        home = features[i].device
        x = features[i] if flows is None else features[i].to(flows.device)
        if not sources or flows is None:
            first = second = x
        else:
            flow = flows[:, i] if backward else flows[:, i - 1]
            first = align(sources[0], x, flow)
            second = torch.zeros_like(x) if flow_before is None else align(sources[1], x, flow + flow_warp(flow_before, flow))
            flow_before = flow
        z = fuse(torch.stack((first, x, second), dim=1))
        features[i] = z.to(home)
        sources = [prepare(z), *sources[:1]]


def _as_it_is(source: Tensor) -> Tensor:
    return source
