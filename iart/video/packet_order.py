"""Decoding times and durations of the packets of separately encoded segments."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from iart.video.packets import Encoded, read_packets


class Order:
    """Decoding times for the packets of separately encoded segments.

    Each encoder counts from its own beginning; concatenated, decoding times would decrease at borders if the frame rate
    varies. So they are computed again: the n-th packet is decoded when the (n − delay)-th frame is shown, where
    ``delay`` is as small as the order of the packets allows.

    Args:
        segments: packet files, in order.
    """

    def __init__(self, segments: Sequence[Path]) -> None:
        self._files = segments
        self._times = array('q')
        self.delay = 0
        for file in segments:
            stamps = [packet.pts for packet in read_packets(file, contents=False)]
            ranks = {pts: rank for rank, pts in enumerate(sorted(stamps))}
            self.delay = max(self.delay, *(n - ranks[pts] for n, pts in enumerate(stamps)))
            self._times.extend(ranks)
        self.frames = len(self._times)

    def in_milliseconds(self, time_base: Fraction) -> bool:
        """Return whether every frame is shown at a whole millisecond."""
        return not any(pts * 1000 * time_base.numerator % time_base.denominator for pts in self._times)

    def span(self, time_base: Fraction) -> tuple[float, float]:
        """Return when the first and the last frame are shown, in seconds."""
        return float(self._times[0] * time_base), float(self._times[-1] * time_base)

    def packets(self, stream: Any, time_base: Fraction) -> Iterator[Any]:
        """Yield all packets, ready for a container."""
        for number, packet in enumerate(self._all()):
            yield _packet(
                packet, self._decoded_at(number), stream, time_base, packet.duration or self._lasts(packet.pts)
            )

    def _all(self) -> Iterable[Encoded]:
        for file in self._files:
            yield from read_packets(file)

    def _decoded_at(self, number: int) -> int:
        if number >= self.delay:
            return self._times[number - self.delay]
        step = self._times[1] - self._times[0] if self.frames > 1 else 1
        return self._times[0] - (self.delay - number) * step

    def _lasts(self, pts: int) -> int:
        """Return the duration of a frame that states none: until the next frame, or that of the previous one."""
        place = bisect_left(self._times, pts)
        if place + 1 < self.frames:
            return self._times[place + 1] - pts
        return pts - self._times[place - 1] if place else 1


def _packet(encoded: Encoded, dts: int, stream: Any, time_base: Fraction, duration: int) -> Any:
    import av

    packet = av.Packet(encoded.content)
    packet.pts, packet.dts, packet.duration, packet.time_base = encoded.pts, dts, duration, time_base
    packet.is_keyframe, packet.stream = encoded.is_key, stream
    return packet
