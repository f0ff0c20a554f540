"""What frames look like: how much detail they hold, whether they were compressed in blocks, how noisy they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.float32]

_BLOCK = 8  # pixels: the grid of JPEG and MPEG-2, and of most transforms of newer codecs
_BAND = 0.06, 0.25  # share of the highest frequency that even soft footage holds
_FLOOR = 10**-0.8  # of the power that a natural image would have: less is no detail
_BINS = 32
_SMALLEST = 64
_PATCH = 16  # pixels of the patches that noise is measured in
_FLAT = 20  # percentile of the patches, from the smoothest
_MEAN_MAGNITUDE = 0.7979  # of a normal variable with standard deviation 1


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
        frames: (h, w) float32 luma, 0 to 255, of one size, at least 64 pixels a side.

    Raises:
        ValueError: there are none, or they are too small.
    """
    if not frames or min(frames[0].shape) < _SMALLEST:
        size = frames[0].shape if frames else ()
        raise ValueError(f'got {len(frames)} frames of {size}, expected {_SMALLEST} pixels a side or more')
    noise = float(np.median([_noise(frame) for frame in frames]))
    blockiness = float(np.mean([max(_blockiness(frame, axis) for axis in (0, 1)) for frame in frames]))
    return Footage((_detail(frames, 0, noise), _detail(frames, 1, noise)), blockiness, noise)


def _detail(frames: Sequence[Luma], axis: int, noise: float) -> float:
    """Return the highest frequency along an axis whose power is not far below that of a natural image.

    The power of natural images falls with the square of the frequency. Enlarging and blur leave less above a limit,
    where the limit itself is seen a little too high: interpolation keeps a rest.
    """
    length = frames[0].shape[axis]
    window = np.hanning(length).astype(np.float32)
    window = window[:, None] if axis == 0 else window[None, :]
    power = np.zeros(length // 2 + 1)
    for frame in frames:
        centered = (frame - frame.mean(axis=axis, keepdims=True)) * window
        power += (np.abs(np.fft.rfft(centered, axis=axis)) ** 2).mean(axis=1 - axis)
    power = power / len(frames) - 1.5 * noise**2 * float((window**2).sum())
    frequency = np.arange(len(power)) / (len(power) - 1)
    edges = np.linspace(0, 1, min(_BINS, len(power) // 2) + 1)
    place = np.clip(np.digitize(frequency, edges) - 1, 0, len(edges) - 2)
    whitened = np.array([(power * frequency**2)[place == i].mean() for i in range(len(edges) - 1)])
    usual = float(np.median(whitened[(edges[1:] > _BAND[0]) & (edges[1:] <= _BAND[1])]))
    poor = (whitened < _FLOOR * usual) & (edges[1:] > _BAND[0])
    ends = np.nonzero(poor & np.append(poor[1:], True))[0]
    return float(edges[ends[0]]) if len(ends) and usual > 0 else 1.0


def _blockiness(frame: Luma, axis: int) -> float:
    steps = np.abs(np.diff(frame, axis=axis)).mean(axis=1 - axis)
    # Each step beside its neighbors, so that a single strong edge does not count as a border of blocks.
    around = (np.roll(steps, 1) + np.roll(steps, -1)) / 2
    ratio = (steps / (around + 0.5))[2:-2]
    phases = sorted(np.median(ratio[phase::_BLOCK]) for phase in range(_BLOCK))
    # The third: blocks of 4 have two phases in 8; more than two are the period of an interpolation.
    return float(phases[-1] / phases[-3]) if phases[-3] > 0 else 1.0


def _noise(frame: Luma) -> float:
    """Return the noise from the diagonal detail of 2×2 pixels in the smoothest patches."""
    h, w = (side // 2 * 2 for side in frame.shape)
    a, b, c, d = frame[:h:2, :w:2], frame[:h:2, 1:w:2], frame[1:h:2, :w:2], frame[1:h:2, 1:w:2]
    magnitude = np.abs(a - b - c + d) / 2
    rows, columns = (side // (_PATCH // 2) for side in magnitude.shape)
    cut = magnitude[: rows * (_PATCH // 2), : columns * (_PATCH // 2)]
    patches = cut.reshape(rows, _PATCH // 2, columns, _PATCH // 2).mean(axis=(1, 3))
    return float(np.percentile(patches, _FLAT)) / _MEAN_MAGNITUDE
