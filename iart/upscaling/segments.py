"""Division of a clip of any length into segments, which are restored, encoded and kept as a whole.

A segment ends where a shot ends, or after a fixed number of frames. In the second case it reads some frames of its
neighbors in the same shot, like the chunks of a memory plan, as context for propagation. The borders depend only on the
frames and the two lengths, not on interruptions.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar('T')


@dataclass(frozen=True)
class Segment(Generic[T]):
    """Frames that are restored together.

    Args:
        number: 0, 1, ...
        frames: all frames that the network reads; they belong to one shot.
        own: slice of the frames that the segment outputs.
    """

    number: int
    frames: Sequence[T]
    own: range


def segments(frames: Iterable[tuple[T, bool]], length: int, overlap: int) -> Iterator[Segment[T]]:
    """Divide a clip into segments.

    Args:
        frames: frames, each with whether it begins a shot.
        length: number of output frames of a segment. The last one of a shot may have up to ``overlap − 1`` more, which
            have been read already; a short segment of their own would cost more.
        overlap: number of frames of the same shot that a segment reads on each side beyond its own.

    Yields:
        Segments as soon as their frames are available; at most ``length + 2 · overlap`` frames are in memory.
    """
    number, frames_held, start = 0, list[T](), 0  # `frames_held[start:]` is not delivered yet
    for frame, begins in frames:
        if begins and frames_held[start:]:
            yield Segment(number, frames_held, range(start, len(frames_held)))
            number += 1
        if begins:
            frames_held, start = [], 0
        frames_held.append(frame)
        if len(frames_held) - start == length + overlap:
            yield Segment(number, frames_held, range(start, start + length))
            number += 1
            first = max(0, start + length - overlap)
            frames_held, start = frames_held[first:], start + length - first
    if frames_held[start:]:
        yield Segment(number, frames_held, range(start, len(frames_held)))
