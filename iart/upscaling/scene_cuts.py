"""Detection of scene cuts on low-resolution frames.

The rule. Frames are averaged down to at most 32×18 pixels; d(t) is the mean absolute difference of the frames t−1 and t
there, over R'G'B', in levels of 0..255. Frame t begins a shot when d(t) is at least :data:`LEAST` and at least
:data:`RATIO` times every d within :data:`NEIGHBORS` frames before and after t. So fast motion is no cut (its neighbors
differ as much), a flash is none (two large differences side by side), and a fade is none (many small ones). Shots of
:data:`NEIGHBORS` frames and fewer are not found.

docs/upscale.md has measurements on real clips.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from torch import Tensor
from torch.nn import functional as F

LEAST = 10.0  # gray levels
RATIO = 1.8
NEIGHBORS = 3  # frames
_ROWS, _COLUMNS = 18, 32

T = TypeVar('T')


def thumbnail(rgb: Tensor) -> Tensor:
    """Reduce (3, h, w) in [0, 1] to (3, at most 18, at most 32) in levels of 0..255, by averages of blocks."""
    h, w = rgb.shape[-2:]
    return F.adaptive_avg_pool2d(rgb, (min(h, _ROWS), min(w, _COLUMNS))) * 255


def difference(one: Tensor, other: Tensor) -> float:
    """Return the mean absolute difference of two thumbnails, in gray levels."""
    return float((one - other).abs().mean())


def is_cut(change: float, around: Iterable[float]) -> bool:
    """Return whether a frame begins a shot.

    Args:
        change: d of the frame.
        around: d of up to NEIGHBORS frames before and after it.
    """
    return change >= LEAST and change >= RATIO * max(around, default=0.0)


def mark_shots(frames: Iterable[T], rgb: Callable[[T], Tensor]) -> Iterator[tuple[T, bool]]:
    """Yield each frame with whether it begins a shot, as the first one does. Reads NEIGHBORS frames ahead.

    Args:
        frames: in order.
        rgb: converts a frame to (3, h, w) in [0, 1].
    """
    before: deque[float] = deque(maxlen=NEIGHBORS)
    first = True
    for (frame, change), *following in _windows(_changes(frames, rgb), 1 + NEIGHBORS):
        yield frame, first or is_cut(change, [*before, *(d for _, d in following)])
        if not first:  # which has no d
            before.append(change)
        first = False


def _changes(frames: Iterable[T], rgb: Callable[[T], Tensor]) -> Iterator[tuple[T, float]]:
    """Yield each frame with its d; 0 for the first."""
    last: Tensor | None = None
    for frame in frames:
        small = thumbnail(rgb(frame))
        yield frame, 0.0 if last is None else difference(last, small)
        last = small


def _windows(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield each item with up to ``size − 1`` that follow it."""
    waiting: deque[T] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) == size:
            yield list(waiting)
            waiting.popleft()
    while waiting:
        yield list(waiting)
        waiting.popleft()
