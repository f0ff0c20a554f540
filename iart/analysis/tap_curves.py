"""Weights of an alignment's taps over the sub-pixel offset, compared with bilinear interpolation."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iart.analysis.frequency import constant_flow, shifted
from iart.ops.taps import first_tap

STEPS = 17
SHIFT_Y = 0.25
_BORDER = 4  # pixels that are left out: an ideal shift is periodic


class TapCurves(NamedTuple):
    """Weights of the taps along a shift in x; the shift in y is a quarter of a pixel."""

    offsets: NDArray[np.float64]
    """(steps,) shifts in x, in [0, 1)."""
    attention: NDArray[np.float64]
    """(steps, heads, window²), averaged over pixels."""
    spread: NDArray[np.float64]
    """(steps, 2, window²), 10th and 90th percentile over pixels of the mean over heads."""
    bilinear: NDArray[np.float64]
    """(steps, window²)"""


@torch.no_grad()
def tap_curves(align: Any, source: Tensor, current: Tensor) -> TapCurves:
    """Evaluate an alignment's ``tap_weights`` over a range of shifts; the current feature is shifted as well.

    Args:
        align: an alignment with ``tap_weights`` and ``window``.
        source: (n, c, h, w) feature such as the alignment gets in the network, more than 8 pixels a side.
        current: (n, c, h, w) current feature without motion.
    """
    offsets = (np.arange(STEPS) + 0.5) / STEPS
    attention, spread, bilinear = [], [], []
    first = getattr(align, 'first', first_tap(align.window, 'centered'))
    places = np.arange(first, first + align.window)
    for x in offsets:
        flow = constant_flow(source, x, SHIFT_Y)
        weights = align.tap_weights(source, shifted(current, x, SHIFT_Y), flow)
        weights = weights[..., _BORDER:-_BORDER, _BORDER:-_BORDER].double().numpy()
        attention.append(weights.mean((0, 3, 4)))
        spread.append(np.percentile(weights.mean(1), (10, 90), axis=(0, 2, 3)))
        row, column = (np.clip(1 - np.abs(places - s), 0, None) for s in (SHIFT_Y, x))
        bilinear.append(np.outer(row, column).ravel())
    return TapCurves(offsets, np.stack(attention), np.stack(spread), np.stack(bilinear))
