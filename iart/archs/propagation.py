"""Propagation of features through a clip, first or second order (paper, section 3.1; after BasicVSR++)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from iart.archs.recompute_policy import recompute
from iart.ops.warp import flow_warp

PASSES = ('backward_1', 'forward_1', 'backward_2', 'forward_2')


@dataclass(frozen=True)
class Propagation:
    """The propagation passes of a network and the number of neighbors in each.

    Args:
        order: number of neighbors that a frame is fused with: 1, or 2 as published.
        passes: names in order, each beginning with ``backward`` or ``forward``; each pass has its own backbone and
            reads the features that the previous pass wrote.

    Raises:
        ValueError: a name begins otherwise, or appears twice.
    """

    order: Literal[1, 2] = 2
    passes: Sequence[str] = PASSES

    def __post_init__(self) -> None:
        wrong = [name for name in self.passes if not name.startswith(('backward', 'forward')) or '.' in name]
        if wrong or not self.passes or len(set(self.passes)) < len(self.passes):
            raise ValueError(
                f'propagation.passes: got {list(self.passes)}, expected different names that begin with backward '
                f'or forward, such as {list(PASSES)}'
            )


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
    order: int = 2,
) -> Iterator[tuple[int, Tensor]]:
    """Run one pass, which reads each frame's feature once, before it yields its own feature of that frame.

    Args:
        features: t features (n, C, h, w). The caller may overwrite an input with its output while the pass runs.
        flows: t-1 flows (n, 2, h, w) in pixels; entry i leads from frame i to i+1 for a backward pass, from frame i+1
            to i for a forward pass.
        align: the alignment, see :mod:`iart.alignments`.
        fuse: the backbone: (n, 3, C, h, w) of first-order aligned, current, second-order aligned → (n, C, h, w). With
            ``order`` 1, and with an alignment of both neighbors (``joint``), (n, 2, C, h, w) of aligned, current.
        backward: whether to run from the last frame to the first.
        recompute_align: whether the backward pass of training recomputes alignments.
        order: number of neighbors that a frame is fused with, 1 or 2.

    Yields:
        Frame index and its new feature (n, C, h, w), in the order of the pass.
    """
    prepare = getattr(align, 'prepare', _as_it_is)
    t = len(features)
    joint = getattr(align, 'joint', False)
    sources: list[Any] = []  # the last two outputs of this pass, newest first, ready to be aligned
    flow_before = None
    for i in range(t - 1, -1, -1) if backward else range(t):
        x = features[i]
        if not sources:
            aligned = [x] * (order if not joint else 1)
        else:
            flow = flows[i] if backward else flows[i - 1]
            farther = None if flow_before is None or order == 1 else flow + flow_warp(flow_before, flow)
            if joint:
                both = (torch.zeros_like(x), torch.zeros_like(flow)) if farther is None else (sources[1], farther)
                aligned = [recompute(recompute_align, align, sources[0], x, flow, *both)]
            else:
                aligned = [recompute(recompute_align, align, sources[0], x, flow)]
                if farther is not None:
                    aligned.append(recompute(recompute_align, align, sources[1], x, farther))
                elif order == 2:
                    aligned.append(torch.zeros_like(x))
            flow_before = flow
        z = fuse(torch.stack((aligned[0], x, *aligned[1:]), dim=1))
        yield i, z
        if t > 1:
            sources = [prepare(z), *sources[:1]]


def _as_it_is(source: Tensor) -> Tensor:
    return source
