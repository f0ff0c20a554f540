"""Temporal consistency of restored clips, measured with optical flow from SPyNet.

Both figures compare neighboring frames, so they belong to clips, not to single frames:

- **tOF** (TecoGAN, Chu et al. 2020): mean distance, in pixels, between the flow of the restored clip and that of the
ground
  truth. Flicker and wobble move things that are still. The paper prints ten times this number.
- **warping error** (Lai et al. 2018): mean squared difference between a restored frame and the next one warped back to
it along
  the ground truth's flow, where nothing is covered or uncovered. Channels in [0, 1]. Blur lowers it: read it beside the
  same figure of the ground truth.
"""

import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from iart.errors import DataError
from iart.image import Frame, to_tensor
from iart.ops.warp import flow_warp
from iart.registry import SMALLEST_SIDE, spynet_class
from iart.weights import load_weights

Flow = Callable[[Tensor, Tensor], Tensor]
"""(1, 3, h, w), (1, 3, h, w) -> (1, 2, h, w): where each pixel of the first image is in the second, in pixels."""


@dataclass(frozen=True)
class TemporalScores:
    """Figures of one clip, each a mean over its pairs of neighboring frames.

    Args:
        tof: pixels; 0 for identical motion.
        warping_error: warping error of the restored clip.
        gt_warping_error: warping error of the ground truth.
        pairs: number of pairs.
    """

    tof: float
    warping_error: float
    gt_warping_error: float
    pairs: int


def spynet_flow(weights: str | Path, device: torch.device | None = None) -> Flow:
    """Return SPyNet as a :data:`Flow`.

    Args:
        weights: file of SPyNet alone (``iart weights`` fetches one), or of any network that holds one: the weights that
            restored the clip will do.

    Raises:
        WeightsError: the file is missing or holds something else.
    """
    network: nn.Module = spynet_class()()
    load_weights(network, weights, optional=('mean', 'std'), part='spynet')
    return network.to(device or torch.device('cpu')).eval().requires_grad_(False)


@torch.no_grad()
def temporal_scores(
    restored: Iterable[Frame], gt: Iterable[Frame], flow: Flow, device: torch.device | None = None
) -> TemporalScores:
    """Measure one clip; frames are taken two at a time.

    Args:
        restored: (h, w, 3) uint8 RGB frames in order.
        gt: as many frames of the same size.
        flow: see :func:`spynet_flow`.

    Raises:
        DataError: fewer than two frames, unequal numbers or sizes, or frames of less than 64 pixels a side.
    """
    figures: list[tuple[float, float, float]] = []
    for (a, real_a), (b, real_b) in pairwise(_tensors(restored, gt, device)):
        real_flow = flow(real_a, real_b)
        distance = (flow(a, b) - real_flow).square().sum(1).sqrt().mean()
        visible = visible_in_both(real_flow, flow(real_b, real_a))
        figures.append(
            (
                float(distance),
                _warping_error(a, b, real_flow, visible),
                _warping_error(real_a, real_b, real_flow, visible),
            )
        )
    if not figures:
        raise DataError('temporal consistency: got fewer than two frames, expected a clip')
    tof, error, gt_error = (statistics.fmean(column) for column in zip(*figures, strict=True))
    return TemporalScores(tof, error, gt_error, len(figures))


def _tensors(
    restored: Iterable[Frame], gt: Iterable[Frame], device: torch.device | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Both frames of a place as (1, 3, h, w)."""
    left, right = iter(restored), iter(gt)
    while True:
        a, b = next(left, None), next(right, None)
        if a is None and b is None:
            return
        if a is None or b is None or a.shape != b.shape:
            sizes = ' and '.join('no frame' if x is None else f'{x.shape[1]}x{x.shape[0]}' for x in (a, b))
            raise DataError(
                f'temporal consistency: got {sizes}, expected as many restored frames as ground truth, of the same size'
            )
        if min(a.shape[:2]) < SMALLEST_SIDE:
            raise DataError(
                f'temporal consistency: got {a.shape[1]}x{a.shape[0]}, expected {SMALLEST_SIDE} pixels or more a side'
            )
        yield to_tensor(a)[None].to(device), to_tensor(b)[None].to(device)


def visible_in_both(forward: Tensor, backward: Tensor) -> Tensor:
    """Pixels of the first frame that the second shows, too: following the flow and back ends near the start (Ruder et
    al. 2016).

    Args:
        forward: (n, 2, h, w) from the first to the second frame.
        backward: (n, 2, h, w) from the second to the first.

    Returns:
        (n, 1, h, w) float, 1 or 0; places that leave the image are 0.
    """
    back = flow_warp(backward, forward)
    inside = flow_warp(torch.ones_like(forward[:, :1]), forward) > 0.999
    off = (forward + back).square().sum(1, keepdim=True)
    lengths = forward.square().sum(1, keepdim=True) + back.square().sum(1, keepdim=True)
    return ((off <= 0.01 * lengths + 0.5) & inside).to(forward.dtype)


def _warping_error(a: Tensor, b: Tensor, flow: Tensor, visible: Tensor) -> float:
    squares = (a - flow_warp(b, flow)).square().mean(1, keepdim=True) * visible
    return float(squares.sum() / visible.sum().clamp(min=1))
