"""Pure functions that choose, crop and flip frames of clips; random numbers come from the generator passed in."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from iart.image import Frame


def pick_frames(
    rng: np.random.Generator, count: int, start: int, length: int, intervals: Sequence[int], reverse: bool = False
) -> list[int]:
    """Choose the indices of ``length`` frames, an interval apart, from a clip of ``count``.

    The interval is drawn among those that fit the clip. The window begins at ``start``, or at a random frame if it
    would exceed the clip (BasicSR's rule). With ``reverse`` it is reversed with probability ½.
    """
    fitting = [i for i in intervals if span(length, i) <= count]
    interval = int(fitting[int(rng.integers(len(fitting)))])
    last = count - span(length, interval)
    drawn, backwards = int(rng.integers(last + 1)), rng.random() < 0.5
    start = start if start <= last else drawn
    indexes = [start + k * interval for k in range(length)]
    return indexes[::-1] if reverse and backwards else indexes


def span(length: int, interval: int) -> int:
    """Return the number of frames that ``length`` frames an ``interval`` apart span."""
    return (length - 1) * interval + 1


def pick_corner(rng: np.random.Generator, height: int, width: int, size: int) -> tuple[int, int]:
    """Draw the top and left of a ``size`` x ``size`` square within ``height`` x ``width``, in pixels."""
    return int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))


class Turn(NamedTuple):
    """A symmetry of the square: flips first, then a swap of height and width."""

    left_right: bool
    up_down: bool
    swap: bool


def draw_turn(rng: np.random.Generator, *, hflip: bool, rotate: bool) -> Turn:
    """Draw each of a left-right flip, an up-down flip, and a swap of height and width with a chance of one half.

    Args:
        hflip: whether to draw the left-right flip.
        rotate: whether to draw the up-down flip and the swap; with ``hflip`` all 8 symmetries of the square.
    """
    return Turn(*((rng.random(3) < 0.5) & (hflip, rotate, rotate)).tolist())


def turn_frames(clip: Frame, turn: Turn) -> Frame:
    """Apply a symmetry to all frames of (t, h, w, 3)."""
    if turn.left_right:
        clip = clip[:, :, ::-1]
    if turn.up_down:
        clip = clip[:, ::-1]
    return clip.transpose(0, 2, 1, 3) if turn.swap else clip


def turn_flows(flows: NDArray[np.float32], turn: Turn) -> NDArray[np.float32]:
    """Apply a symmetry to (..., 2, h, w) flows, both to their pixels and to their components x and y."""
    x, y = flows[..., 0, :, :], flows[..., 1, :, :]
    if turn.left_right:
        x, y = -x[..., ::-1], y[..., ::-1]
    if turn.up_down:
        x, y = x[..., ::-1, :], -y[..., ::-1, :]
    if turn.swap:
        x, y = y.swapaxes(-1, -2), x.swapaxes(-1, -2)
    return np.stack((x, y), axis=-3)


def mirror_flows(flows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the (2, 2t − 1, 2, h, w) flows of a clip after :func:`mirror`, from its (2, t − 1, 2, h, w) flows; zero in
    the middle.
    """
    still = np.zeros_like(flows, shape=(2, 1, *flows.shape[2:]))
    return np.concatenate([flows, still, flows[::-1, ::-1]], axis=1)


def mirror(clip: Frame) -> Frame:
    """Return the clip followed by the reversed clip: (t, h, w, 3) → (2t, h, w, 3)."""
    return np.concatenate([clip, clip[::-1]])
