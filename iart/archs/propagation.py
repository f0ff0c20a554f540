"""Second-order propagation of features through a clip (paper, section 3.1; after BasicVSR++)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from iart.archs.recompute_policy import recompute
from iart.ops.warp import flow_warp

PASSES = ('backward_1', 'forward_1', 'backward_2', 'forward_2')


class _Readable(Protocol):
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Tensor: ...


def propagate(
    features: _Readable,
    flows: _Readable | Sequence[Tensor],
    align: nn.Module,
    fuse: Callable[[Tensor], Tensor],
    backward: bool,
    recompute_align: bool = False,
) -> Iterator[tuple[int, Tensor]]:
    """Run one pass; each frame's feature is read once, and then no more, before what the pass makes of it comes out.

    Args:
        features: t features (n, C, h, w). The caller may put an output where its input was while the pass runs.
        flows: t-1 flows (n, 2, h, w); entry i leads from frame i to i+1 for a backward pass, from frame i+1 to i for
            a forward pass.
        align: see :mod:`iart.alignments`.
        fuse: (n, 3, C, h, w) of first-order aligned, current, second-order aligned → (n, C, h, w).
        backward: from the last frame to the first.
        recompute_align: keep nothing of an alignment for the backward pass of training.

    Yields:
        Frame index and its new feature (n, C, h, w), in the order of the pass.
    """
    prepare = getattr(align, 'prepare', _as_it_is)
    t = len(features)
    sources: list[Any] = []  # the last two outputs of this pass, newest first, ready to be aligned
    flow_before = None
    for i in range(t - 1, -1, -1) if backward else range(t):
        x = features[i]
        if not sources:
            first = second = x
        else:
            flow = flows[i] if backward else flows[i - 1]
            first = recompute(recompute_align, align, sources[0], x, flow)
            if flow_before is None:
                second = torch.zeros_like(x)
            else:
                second = recompute(recompute_align, align, sources[1], x, flow + flow_warp(flow_before, flow))
            flow_before = flow
        z = fuse(torch.stack((first, x, second), dim=1))
        yield i, z
        if t > 1:
            sources = [prepare(z), *sources[:1]]


def _as_it_is(source: Tensor) -> Tensor:
    return source
