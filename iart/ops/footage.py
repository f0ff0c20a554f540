"""What frames look like: how much detail they hold, whether they were compressed in blocks, how noisy they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.float32]

_BLOCK = 8  # pixels: the grid of JPEG and MPEG-2, and of most transforms of newer codecs
_BAND = 0.08, 0.25  # share of the highest frequency that even soft footage holds
_FLOOR = 0.003  # of the power that a natural image would have there: less is no detail
_BINS = 64
_SMALLEST = 32
_HAAR_MEDIAN = 0.6745  # median of the magnitude of a normal variable with standard deviation 1


@dataclass(frozen=True)
class Footage:
    """Figures of a few frames.

    Args:
        detail: (vertical, horizontal) highest frequency with detail, as a share of what the size could hold, (0, 1].
        blockiness: mean step at the borders of 8×8 blocks, relative to the steps elsewhere; 1: no blocks.
        noise: standard deviation of the finest noise in gray levels.
    """

    detail: tuple[float, float]
    blockiness: float
    noise: float


def measure_footage(frames: Sequence[Luma]) -> Footage:
    """Measure a few frames.

    Args:
        frames: (h, w) float32 luma, 0 to 255, of one size, at least 32 pixels a side.

    Raises:
        ValueError: there are none, or they are too small.
    """
    if not frames or min(frames[0].shape) < _SMALLEST:
        raise ValueError(
            f'got {len(frames)} frames of {frames[0].shape if frames else ()}, expected {_SMALLEST} pixels'
        )
    detail = _detail(frames, 0), _detail(frames, 1)
    blockiness = float(np.mean([max(_blockiness(f, axis) for axis in (0, 1)) for f in frames]))
    return Footage(detail, blockiness, float(np.median([_noise(f) for f in frames])))


def _detail(frames: Sequence[Luma], axis: int) -> float:
    """Return the highest frequency along an axis whose power is not far below that of a natural image.

    Power of natural images falls with the square of the frequency; enlarging leaves nothing above the old limit.
    """
    length = frames[0].shape[axis]
    window = np.hanning(length).astype(np.float32)
    window = window[:, None] if axis == 0 else window[None, :]
    power = np.zeros(length // 2 + 1)
    for frame in frames:
        centered = (frame - frame.mean(axis=axis, keepdims=True)) * window
        power += (np.abs(np.fft.rfft(centered, axis=axis)) ** 2).mean(axis=1 - axis)
    frequency = np.arange(len(power)) / (len(power) - 1)
    whitened = power * frequency**2
    edges = np.linspace(0, 1, min(_BINS, len(power) // 2) + 1)
    place = np.clip(np.digitize(frequency, edges) - 1, 0, len(edges) - 2)
    bins = np.array([whitened[place == i].mean() for i in range(len(edges) - 1)])
    usual = np.median(bins[(edges[1:] > _BAND[0]) & (edges[1:] <= _BAND[1])])
    rich = np.nonzero(bins > _FLOOR * usual)[0]
    return float(edges[rich[-1] + 1]) if usual > 0 and len(rich) else 1.0


def _blockiness(frame: Luma, axis: int) -> float:
    steps = np.abs(np.diff(frame, axis=axis)).mean(axis=1 - axis)
    # Each step beside its neighbors, so that a single strong edge does not count as a border of blocks.
    around = (np.roll(steps, 1) + np.roll(steps, -1)) / 2
    ratio = (steps / (around + 0.5))[2:-2]
    phases = [np.median(ratio[phase::_BLOCK]) for phase in range(_BLOCK)]
    return float(max(phases) / np.median(phases))


def _noise(frame: Luma) -> float:
    """Return the noise from the diagonal detail of 2×2 pixels, which natural images have little of."""
    h, w = (side // 2 * 2 for side in frame.shape)
    a, b, c, d = frame[:h:2, :w:2], frame[:h:2, 1:w:2], frame[1:h:2, :w:2], frame[1:h:2, 1:w:2]
    return float(np.median(np.abs(a - b - c + d)) / 2 / _HAAR_MEDIAN)
