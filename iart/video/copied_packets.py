"""Packets of the streams besides the video: cut to the selected part, shifted with it, in ascending order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from iart.video import pyav
from iart.video.facts import Clip

_EQUAL_TIMES = ('.mkv', '.webm')  # containers in which packets may have one decoding time


@dataclass
class Taken:
    """What was seen of the packets of an output's streams.

    Args:
        ends: when the last packet begins and when it ends, in seconds of the output, by number of the input's stream.
        sounds: numbers of the input's streams that hold sound.
        nudged: number of packets whose times were moved, because those of their stream are equal or fall, likewise.
        nudge: by how much at most, in seconds.
        earliest: when the earliest packet is shown, in seconds of the output; 0 at most.
    """

    ends: dict[int, tuple[float, float]] = field(default_factory=dict)
    sounds: set[int] = field(default_factory=set)
    nudged: dict[int, int] = field(default_factory=dict)
    nudge: float = 0.0
    earliest: Fraction = Fraction(0)


def nearest(value: Fraction) -> int:
    """Round to the nearest integer, halves away from zero, as FFmpeg does."""
    rounded = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return rounded if value >= 0 else -rounded


class Outlet:
    """An output stream that takes packets of an input stream, in ascending order of decoding.

    Args:
        index: number of the input's stream.
        stream: the output's; its container has written its header, so that its unit of time is final.
        suffix: ending of the output.
        taken: record of all packets, updated with each.
    """

    def __init__(self, index: int, stream: Any, suffix: str, taken: Taken) -> None:
        self._index, self._stream, self._taken = index, stream, taken
        self._unit = pyav.unit(stream)
        self.hides_priming = suffix not in _EQUAL_TIMES and stream.type == 'audio'
        self._step = 0 if suffix in _EQUAL_TIMES or stream.type != 'audio' else 1
        self._last: int | None = None

    def take(self, packet: Any, shift: Fraction) -> float:
        """Make a packet one of the output.

        Args:
            packet: packet with a time, of the input or new from an encoder.
            shift: what is subtracted from its times, in seconds.

        Returns:
            When it is decoded, in seconds.
        """
        unit = pyav.unit(packet)
        pts = nearest((packet.pts * unit - shift) / self._unit)
        dts = pts if packet.dts is None else nearest((packet.dts * unit - shift) / self._unit)
        duration = nearest((packet.duration or 0) * unit / self._unit)
        self._taken.earliest = min(self._taken.earliest, pts * self._unit)
        if self._last is not None and dts < self._last + self._step:
            smallest = self._last + self._step
            self._taken.nudged[self._index] = self._taken.nudged.get(self._index, 0) + 1
            self._taken.nudge = max(self._taken.nudge, float((smallest - dts) * self._unit))
            pts = max(pts, smallest) if pts >= dts else pts
            dts = smallest
        pts = max(pts, dts)
        self._last = dts
        if self._stream.type == 'audio':
            self._taken.sounds.add(self._index)
        begin, end = self._taken.ends.get(self._index, (0.0, 0.0))
        self._taken.ends[self._index] = (
            max(begin, float(pts * self._unit)),
            max(end, float((pts + duration) * self._unit)),
        )
        packet.time_base = self._unit
        packet.pts, packet.dts, packet.duration = pts, dts, duration
        packet.stream = self._stream
        return float(dts * self._unit)


Feed = Callable[[Any], Iterator[Any]]
"""Returns the output's packets for an input's packet; for None, those that the encoder still holds."""


def copied_packets(
    source: Any, outlets: dict[int, Outlet], clip: Clip, feeds: dict[int, Feed]
) -> Iterator[tuple[float, int, Any]]:
    """Yield (seconds, input stream, packet) of every stream besides the video, ascending in seconds.

    Packets that an edit list removes, and those outside the selected part, are dropped. Subtitles that are shown when
    the part begins are kept from its beginning; so is the packet from which a sound decoder starts (AAC's priming), if
    the container can hide it again.

    Args:
        source: the open input.
        outlets: where packets of a stream go, by its number.
        clip: the input's facts.
        feeds: encoders of the streams that cannot be copied, by number.
    """
    streams = [source.streams[index] for index in outlets]
    if not streams:
        return
    shift = clip.shift * clip.time_base
    latest = float('-inf')
    following: dict[int, int] = {}
    priming: dict[int, Any] = {}  # of each stream, the last packet before its first one; None after that
    for packet in source.demux(*streams):
        index = packet.stream.index
        if index in feeds:
            arrived = list(feeds[index](packet if packet.size else None))
        else:
            arrived = [packet] if packet.size and _is_selected(packet, clip, following) else []
            if arrived:
                arrived = [*filter(None, [priming.get(index)]), *arrived]
                priming[index] = None
            elif packet.is_discard and outlets[index].hides_priming and clip.span is None:
                priming[index] = packet if index not in priming or priming[index] is not None else None
        for one in arrived:
            latest = max(latest, outlets[index].take(one, shift))  # streams may be interleaved loosely
            yield latest, index, one


def _is_selected(packet: Any, clip: Clip, following: dict[int, int]) -> bool:
    """Return whether a packet belongs to the part; set its time if it has none, and cut subtitles to the part."""
    index = packet.stream.index
    if packet.pts is None:
        packet.pts = packet.dts if packet.dts is not None else following.get(index)
    if packet.pts is None:
        return False
    following[index] = packet.pts + (packet.duration or 0)
    if packet.is_discard:
        return False
    if clip.span is None:
        return True
    unit = pyav.unit(packet)
    begin, end = clip.span
    if packet.stream.type == 'subtitle' and packet.pts * unit < begin < following[index] * unit:
        late = -(-begin // unit) - packet.pts
        packet.pts, packet.dts, packet.duration = packet.pts + int(late), None, packet.duration - int(late)
    return begin <= packet.pts * unit < end


class SoundEncoder:
    """An encoder for sound that the output cannot hold as it is.

    Args:
        stream: the input's stream.
        target: the output's stream, with an encoder.
        clip: the input's facts.
    """

    def __init__(self, stream: Any, target: Any, clip: Clip) -> None:
        import av

        context = target.codec_context
        self._stream, self._target, self._clip = stream, target, clip
        self._resampler = av.AudioResampler(context.format.name, context.layout.name, context.sample_rate)

    def __call__(self, packet: Any) -> Iterator[Any]:
        """Yield the output's packets for a packet of the input; for None, the rest."""
        import av

        try:
            frames = self._stream.codec_context.decode(packet)
        except av.error.InvalidDataError:  # a damaged packet is a gap
            frames = []
        for frame in frames:
            if frame.pts is not None and self._is_selected(frame):
                for part in self._resampler.resample(frame):
                    yield from self._encode(part)
        if packet is None:
            for part in self._resampler.resample(None):
                yield from self._encode(part)
            yield from self._encode(None)

    def _is_selected(self, frame: Any) -> bool:
        span = self._clip.span
        return span is None or span[0] <= frame.pts * pyav.unit(frame) < span[1]

    def _encode(self, frame: Any) -> Iterator[Any]:
        for packet in self._target.encode(frame):
            if packet.size and packet.pts is not None:
                yield packet


_LAYOUTS = {1: 'mono', 2: 'stereo', 6: '5.1', 8: '7.1'}


def add_sound_encoder(container: Any, stream: Any, encoder: str) -> Any:
    """Add an output stream with an encoder for the sound of an input's stream."""
    context = stream.codec_context
    rate = 48000 if encoder == 'libopus' else context.sample_rate
    channels = context.layout.nb_channels
    # PCM in AVI and others states no layout, only a number of channels, but some encoders need a layout
    target = container.add_stream(encoder, rate=rate, layout=_LAYOUTS.get(channels, context.layout.name))
    if encoder != 'flac':
        target.bit_rate = 96000 * max(1, channels)
    target.codec_context.thread_count = 1
    return target
