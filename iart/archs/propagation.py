"""Propagation of features through a clip, first or second order (paper, section 3.1; after BasicVSR++)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from iart import device as devices
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

    @property
    def causal(self) -> bool:
        """Whether all passes run forward: a frame then depends on no later one."""
        return all(name.startswith('forward') for name in self.passes)


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
    prepare = source_of(align)
    t = len(features)
    sources: list[Any] = []  # the last two outputs of this pass, newest first, ready to be aligned
    flow_before = None
    for i in range(t - 1, -1, -1) if backward else range(t):
        x = features[i]
        near = None if not sources else flows[i] if backward else flows[i - 1]
        far = None if near is None or flow_before is None or order == 1 else second_flow(near, flow_before)
        z = fuse(aligned_frames(x, sources, near, far, align, order, recompute_align))
        flow_before = near
        yield i, z
        if t > 1:
            sources = [prepare(z), *sources[:1]]


def second_flow(flow: Tensor, flow_before: Tensor) -> Tensor:
    """Return the flow to the second-order neighbor: that to the first one, and on from there; (n, 2, h, w) each."""
    return flow + flow_warp(flow_before, flow)


def aligned_frames(
    x: Tensor,
    sources: Sequence[Any],
    near: Tensor | None,
    far: Tensor | None,
    align: nn.Module,
    order: int,
    recompute_align: bool = False,
) -> Tensor:
    """Return what a backbone fuses for one frame: the current feature and the aligned ones of its neighbors.

    Args:
        x: (n, C, h, w) feature of the current frame.
        sources: what :func:`source_of` makes of the last outputs of the pass, newest first; none for its first frame.
        near: (n, 2, h, w) flow to the first-order neighbor; None for the first frame of a pass.
        far: the flow to the second-order neighbor; None for the first two frames, and with ``order`` 1.
        align, order, recompute_align: see :func:`propagate`.

    Returns:
        (n, 3, C, h, w) of first-order aligned, current, second-order aligned; (n, 2, C, h, w) of aligned, current with
        ``order`` 1 and with a joint alignment.
    """
    joint = getattr(align, 'joint', False)
    if near is None:
        aligned = [x] * (order if not joint else 1)
    elif joint:
        both = (torch.zeros_like(x), torch.zeros_like(near)) if far is None else (sources[1], far)
        aligned = [recompute(recompute_align, align, sources[0], x, near, *both)]
    elif far is not None and devices.saves_launches(x.device) and (join := _join_of(align, sources)):
        together = recompute(recompute_align, align, join(sources), torch.cat((x, x)), torch.cat((near, far)))
        aligned = list(together.chunk(2))
    else:
        aligned = [recompute(recompute_align, align, sources[0], x, near)]
        if far is not None:
            aligned.append(recompute(recompute_align, align, sources[1], x, far))
        elif order == 2:
            aligned.append(torch.zeros_like(x))
    return torch.stack((aligned[0], x, *aligned[1:]), dim=1)


def source_of(align: nn.Module) -> Callable[[Tensor], Any]:
    """Return what makes a feature ready to be aligned: the alignment's ``prepare``, or nothing."""
    prepare: Callable[[Tensor], Any] = getattr(align, 'prepare', _as_it_is)
    return prepare


def _as_it_is(source: Tensor) -> Tensor:
    return source


def _join_of(align: nn.Module, sources: Sequence[Any]) -> Callable[[Sequence[Any]], Any] | None:
    """Return what joins ready sources along the batch: the alignment's ``join``; None if it has none for its own kind
    of sources."""
    join: Callable[[Sequence[Any]], Any] | None = getattr(align, 'join', None)
    if join is None and all(isinstance(source, Tensor) for source in sources):
        return _cat
    return join


def _cat(sources: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(sources))


def check_fused_frames(num_frames: int | None, window_size: Sequence[int], order: int, joint: bool) -> None:
    """Raise ValueError, naming the argument, unless a backbone's sizes fit the frames that are fused.

    Args:
        num_frames: from the options; None: whatever is needed.
        window_size: (frames, height, width) of an attention window.
        order: neighbors that a frame is fused with.
        joint: whether the alignment brings both neighbors in one call.
    """
    if joint and order == 1:
        raise ValueError('alignment: got order 2 (both neighbors), expected order 1 with propagation.order 1')
    frames = 2 if joint or order == 1 else 3
    if num_frames not in (None, frames):
        fused = (
            'aligned neighbor, current frame'
            if frames == 2
            else 'first-order neighbor, current frame, second-order neighbor'
        )
        raise ValueError(f'num_frames: got {num_frames}, expected {frames} ({fused})')
    if len(window_size) != 3 or window_size[0] != frames:
        raise ValueError(
            f'window_size: got {list(window_size)}, expected [{frames}, height, width] ({frames} frames are fused)'
        )
