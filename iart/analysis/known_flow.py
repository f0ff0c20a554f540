"""Error of an alignment on exactly known flow, by sub-pixel phase and by distance to occlusions."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
Align = Callable[[Tensor, Tensor, Tensor], Tensor]
PHASES = 8
DISTANCES = (1, 2, 3, 5, 8, 13, 21)
"""Upper ends of the rings around occlusions, in pixels."""


class AlignmentError(NamedTuple):
    """Mean squared error relative to the variance of the target.

    The target is the alignment's output if nothing moved: for fixed kernels the source feature of the current frame; a
    value projection cancels.
    """

    visible: float
    """Mean over pixels whose target is visible."""
    hidden: float
    """Mean over all other pixels."""
    by_phase: Array
    """Mean over visible pixels by sub-pixel offset: the larger of both axes' distances to a whole pixel, in 8 equal
    steps up to ½; NaN if there are no such pixels."""
    by_distance: Array
    """Mean over visible pixels by distance to the nearest hidden one, in the rings of ``DISTANCES``."""


class Pair(NamedTuple):
    """What an alignment gets of two frames, and the exact flow between them."""

    source: Tensor
    """(1, c, h, w)"""
    current: Tensor
    """(1, c, h, w)"""
    flow: Tensor
    """(1, 2, h, w), from current to source."""
    hidden: NDArray[np.bool_]
    """(h, w), true where the flow's target is covered or outside."""
    still: Tensor
    """(1, c, h, w), the source if nothing moved: that of the current frame."""


@torch.no_grad()
def alignment_error(align: Align, pairs: Iterable[Pair]) -> AlignmentError:
    """Average the error of an alignment over pairs of frames.

    Args:
        align: an alignment, called with (source, current, flow).
        pairs: images or features of rendered clips: see :mod:`iart.analysis.trained`.
    """
    sums = {name: np.zeros((2, count)) for name, count in (('seen', 2), ('phase', PHASES), ('ring', len(DISTANCES)))}
    for pair in pairs:
        target = align(pair.still, pair.current, torch.zeros_like(pair.flow))
        error = (align(pair.source, pair.current, pair.flow) - target).square().mean((0, 1)).double().numpy()
        error = error / target.var((2, 3)).mean().item()  # not between channels: a constant is no content
        seen = ~pair.hidden
        offset = np.abs(pair.flow[0].numpy() - pair.flow[0].numpy().round()).max(0)
        distance = cv2.distanceTransform(seen.astype(np.uint8), cv2.DIST_L2, 5)
        phase = np.minimum((offset * 2 * PHASES).astype(int), PHASES - 1)
        ring = np.minimum(np.searchsorted(DISTANCES, distance), len(DISTANCES) - 1)
        _add(sums['seen'], pair.hidden.astype(int), error)
        _add(sums['phase'], phase[seen], error[seen])
        _add(sums['ring'], ring[seen], error[seen])
    means = {name: np.where(count > 0, total / np.maximum(count, 1), np.nan) for name, (total, count) in sums.items()}
    return AlignmentError(float(means['seen'][0]), float(means['seen'][1]), means['phase'], means['ring'])


def _add(sums: Array, place: NDArray[np.int64], error: Array) -> None:
    sums[0] += np.bincount(place.ravel(), error.ravel(), sums.shape[1])
    sums[1] += np.bincount(place.ravel(), minlength=sums.shape[1])
