"""How an alignment weighs its taps as the sub-pixel offset changes, beside bilinear interpolation."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iart.ops.taps import first_tap

STEPS = 17


class TapCurves(NamedTuple):
    """Weights of the taps along a shift in x, averaged over pixels; the shift in y is a quarter of a pixel."""

    offsets: NDArray[np.float64]
    """(steps,) shifts in x, in [0, 1)."""
    attention: NDArray[np.float64]
    """(steps, heads, window²)"""
    bilinear: NDArray[np.float64]
    """(steps, window²)"""


@torch.no_grad()
def tap_curves(align: Any, source: Tensor, current: Tensor) -> TapCurves:
    """Ask an alignment for its ``tap_weights`` at one shift after the other.

    Args:
        align: an alignment with ``tap_weights`` and ``window``.
        source, current: (n, c, h, w) features as the alignment meets them.
    """
    offsets = (np.arange(STEPS) + 0.5) / STEPS
    attention, bilinear = [], []
    first = getattr(align, 'first', first_tap(align.window, 'centered'))
    places = np.arange(first, first + align.window)
    for x in offsets:
        flow = torch.empty(source.shape[0], 2, *source.shape[-2:])
        flow[:, 0], flow[:, 1] = x, 0.25
        weights = align.tap_weights(source, current, flow)[..., 2:-2, 2:-2]
        attention.append(weights.mean((0, 3, 4)).double().numpy())
        row, column = (np.clip(1 - np.abs(places - s), 0, None) for s in (0.25, x))
        bilinear.append(np.outer(row, column).ravel())
    return TapCurves(offsets, np.stack(attention), np.stack(bilinear))
