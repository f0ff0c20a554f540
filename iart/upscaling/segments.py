"""Cutting an endless clip into segments: what is restored at once, encoded at once, and kept when a run is interrupted.

A segment ends where a shot ends, or after a fixed number of frames. In the second case it sees some frames of its
neighbors in the same shot, as the chunks of a memory plan do, so that propagation does not begin from nothing. The
borders depend on the frames and the two lengths alone, not on where a run was interrupted.
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
        frames: all that the network sees; they belong to one shot.
        own: which of them the segment delivers.
    """

    number: int
    frames: Sequence[T]
    own: range


def segments(frames: Iterable[tuple[T, bool]], length: int, overlap: int) -> Iterator[Segment[T]]:
    """Cut a clip.

    Args:
        frames: each with whether it begins a shot.
        length: frames that a segment delivers. The last of a shot may deliver up to ``overlap − 1`` more: these have
            been read already, and a short rest would be seen twice for little.
        overlap: frames of the same shot that a segment sees on each side beyond its own.

    Yields:
        Segments as soon as their frames are there; at most ``length + 2 · overlap`` frames are held.
    """
    number, held, start = 0, list[T](), 0  # `held[start:]` is still to be delivered
    for frame, begins in frames:
        if begins and held[start:]:
            yield Segment(number, held, range(start, len(held)))
            number += 1
        if begins:
            held, start = [], 0
        held.append(frame)
        if len(held) - start == length + overlap:
            yield Segment(number, held, range(start, start + length))
            number += 1
            kept = max(0, start + length - overlap)
            held, start = held[kept:], start + length - kept
    if held[start:]:
        yield Segment(number, held, range(start, len(held)))
