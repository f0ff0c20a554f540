"""Pure functions that pick, crop and turn clips of uint8 frames; all chance comes from the generator passed in."""

from collections.abc import Sequence

import numpy as np

from iart.image import Frame


def pick_frames(
    rng: np.random.Generator, count: int, start: int, length: int, intervals: Sequence[int], reverse: bool = False
) -> list[int]:
    """Indexes of ``length`` frames, an interval apart, out of a clip of ``count``.

    The interval is drawn among those that fit the clip. The window begins at ``start``, or at a place drawn by chance
    where it would run over the clip's end (BasicSR's rule). With ``reverse`` it runs backwards every second time.
    """
    fitting = [i for i in intervals if span(length, i) <= count]
    interval = int(fitting[int(rng.integers(len(fitting)))])
    last = count - span(length, interval)
    drawn, backwards = int(rng.integers(last + 1)), rng.random() < 0.5
    start = start if start <= last else drawn
    indexes = [start + k * interval for k in range(length)]
    return indexes[::-1] if reverse and backwards else indexes


def span(length: int, interval: int) -> int:
    """Number of frames that ``length`` frames an ``interval`` apart reach over."""
    return (length - 1) * interval + 1


def pick_corner(rng: np.random.Generator, height: int, width: int, size: int) -> tuple[int, int]:
    """Top and left of a ``size`` x ``size`` square within ``height`` x ``width``, in pixels."""
    return int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))


def turn_or_flip(rng: np.random.Generator, clips: Sequence[Frame], *, hflip: bool, rotate: bool) -> list[Frame]:
    """Flip left-right; flip up-down and swap height and width; each by chance, the same for all frames of all clips.

    Args:
        clips: arrays of shape (t, h, w, 3).
        hflip: allow the left-right flip.
        rotate: allow the up-down flip and the swap, which together with ``hflip`` give all 8 positions of a square.
    """
    left_right, up_down, swap = (rng.random(3) < 0.5) & (hflip, rotate, rotate)
    turned = []
    for clip in clips:
        if left_right:
            clip = clip[:, :, ::-1]
        if up_down:
            clip = clip[:, ::-1]
        turned.append(clip.transpose(0, 2, 1, 3) if swap else clip)
    return turned


def mirror(clip: Frame) -> Frame:
    """(t, h, w, 3) to (2t, h, w, 3): the clip, followed by the clip backwards."""
    return np.concatenate([clip, clip[::-1]])
