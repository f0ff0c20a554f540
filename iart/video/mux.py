"""The finished video: encoded segments, and beside them what the input had besides pictures, copied as it is."""

import io
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from heapq import merge
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from iart import log
from iart.errors import UserError
from iart.video import pyav
from iart.video.container import opened, picture_stream
from iart.video.encode import Encoding, add_video_stream
from iart.video.facts import Clip
from iart.video.packets import Encoded, read_packets

_FORMATS = {'.mkv': 'matroska', '.mov': 'mov', '.webm': 'webm'}
_OF_THE_CONTAINER = (
    'major_brand',
    'minor_version',
    'compatible_brands',
    'encoder',
    'duration',
    'number_of_frames',
    'number_of_bytes',
)
_BITEXACT = 0x400  # AVFMT_FLAG_BITEXACT: no random numbers and no names of versions in the file
_MILLISECONDS = ('.mkv', '.webm')  # containers that know no finer time


class Companions(NamedTuple):
    """Streams of the input beside the pictures, by number: what the output takes, and what it cannot."""

    kept: tuple[int, ...]
    left_out: tuple[str, ...]


def companions(clip: Clip, encoding: Encoding, suffix: str) -> Companions:
    """Try which streams the output can hold, and that it can be written at all: before hours of work, not after.

    Raises:
        UserError: the encoder or the container refuses the pictures.
    """
    if refused := _refusal(clip, encoding, suffix):
        what = f'{encoding.width}×{encoding.height} pixels of {encoding.pix_fmt} in {suffix}'
        raise UserError(
            f'{encoding.codec} refuses {what} ({refused}); try another --codec, --pix-fmt, --preset or output'
        )
    if not clip.file.is_file():
        return Companions((), ())
    kept, left_out = list[int](), list[str]()
    with opened(clip.file) as source:
        pictures = picture_stream(source, clip.file).index
        for stream in source.streams:
            if stream.index == pictures or (
                stream.type == 'data' and source.chapters()
            ):  # .mp4 keeps titles of chapters as a stream
                continue
            if reason := _why_not(stream) or _refusal(clip, encoding, suffix, stream):
                left_out.append(f'stream {stream.index} ({stream.type}): {reason}')
            else:
                kept.append(stream.index)
    return Companions(tuple(kept), tuple(left_out))


def _why_not(stream: Any) -> str:
    if stream.type == 'video' and not pyav.is_attached_picture(stream):
        return 'only the first stream of pictures is upscaled'
    return '' if stream.type in ('audio', 'subtitle', 'attachment', 'video') else 'such streams cannot be copied'


def _refusal(clip: Clip, encoding: Encoding, suffix: str, stream: Any = None) -> str:
    """Why a container does not take the pictures, or them and one stream beside; empty: it does."""
    import av

    try:
        with av.open(io.BytesIO(), 'w', format=_FORMATS.get(suffix, 'mp4')) as container:
            add_video_stream(container, encoding, clip)
            if stream is not None:
                _add_copy(container, stream)
            container.start_encoding()
    except (av.error.FFmpegError, ValueError, OSError) as error:
        return str(getattr(error, 'strerror', None) or error)
    return ''


def _add_copy(container: Any, stream: Any) -> Any:
    if stream.type == 'attachment':
        return container.add_attachment(
            stream.name or stream.metadata.get('filename', 'attachment'), stream.mimetype or '', stream.data
        )
    copy = container.add_stream_from_template(stream, opaque=True)
    copy.metadata.update({k: v for k, v in stream.metadata.items() if k.lower() not in _OF_THE_CONTAINER})
    copy.disposition = pyav.disposition(stream)
    return copy


def mux(
    target: Path, suffix: str, segments: Sequence[Path], clip: Clip, encoding: Encoding, kept: Sequence[int]
) -> int:
    """Write the whole video.

    Args:
        target: file to write, whatever its ending.
        suffix: ending of the output, which names the container.
        segments: packet files, in order.
        clip: the input.
        encoding: of the segments.
        kept: streams of the input to copy.

    Returns:
        Number of frames.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """

    order = _Order(segments)
    if suffix in _MILLISECONDS and not order.in_milliseconds(clip.time_base):
        log.logger.info(
            f'{suffix} keeps time in milliseconds: time stamps are rounded to these; .mp4 and .mov keep them as '
            'they are'
        )
    with target.open('wb') as file:
        sink = _Sink(file)
        try:
            _write(sink, suffix, order, clip, encoding, kept)
            file.flush()
        except Exception:
            target.unlink()
            if sink.error is not None:  # PyAV may have made another one of it
                raise sink.error from None
            raise
    return order.frames


def _write(sink: '_Sink', suffix: str, order: '_Order', clip: Clip, encoding: Encoding, kept: Sequence[int]) -> None:
    import av

    with av.open(sink, 'w', format=_FORMATS.get(suffix, 'mp4')) as container:
        container.flags |= _BITEXACT
        video = add_video_stream(container, encoding, clip)
        if clip.display_matrix is not None:
            video.set_display_matrix(clip.display_matrix)
        if not clip.file.is_file():
            for packet in order.packets(video, clip.time_base):
                container.mux(packet)
            return
        with opened(clip.file) as source:
            copies = {index: _add_copy(container, source.streams[index]) for index in kept}
            _describe(container, video, source, clip)
            ours = ((float(p.dts * clip.time_base), 0, p) for p in order.packets(video, clip.time_base))
            for _, _, packet in merge(ours, _copied(source, copies, clip), key=lambda item: item[:2]):
                container.mux(packet)


class _Sink:
    """A file that remembers why it could not be written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None
        self.name, self.seek, self.tell = file.name, file.seek, file.tell

    def write(self, content: bytes) -> int:
        try:
            return self._file.write(content)
        except OSError as error:
            self.error = error
            raise


def _describe(container: Any, video: Any, source: Any, clip: Clip) -> None:
    """Metadata and chapters."""
    container.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in _OF_THE_CONTAINER})
    ours = picture_stream(source, clip.file)
    video.metadata.update({k: v for k, v in ours.metadata.items() if k.lower() not in _OF_THE_CONTAINER})
    video.disposition = pyav.disposition(ours)
    chapters = pyav.chapters(source)
    if clip.span is not None:
        chapters = [moved for chapter in chapters if (moved := _cut(chapter, clip))]
    if chapters:
        container.set_chapters(chapters)


def _cut(chapter: dict[str, Any], clip: Clip) -> dict[str, Any] | None:
    """A chapter as far as the part goes; None: not in it."""
    assert clip.span is not None
    unit = chapter['time_base']
    begin, end = (int(moment // unit) for moment in clip.span)
    start, stop = max(chapter['start'], begin), min(chapter['end'], end)
    shift = round(clip.shift * clip.time_base / unit)
    return {**chapter, 'start': start - shift, 'end': stop - shift} if start < stop else None


def _copied(source: Any, copies: dict[int, Any], clip: Clip) -> Iterator[tuple[float, int, Any]]:
    """(seconds, 1, packet) of every stream that is copied; of those that are shown within the part, if only a part is
    wanted.
    """
    streams = [source.streams[index] for index in copies if source.streams[index].type != 'attachment']
    if not streams:
        return
    last = float('-inf')
    for packet in source.demux(*streams):
        if not packet.size or packet.pts is None:
            continue
        unit = pyav.unit(packet)
        if clip.span is not None and not clip.span[0] <= packet.pts * unit < clip.span[1]:
            continue
        shift = round(clip.shift * clip.time_base / unit)
        packet.pts -= shift
        if packet.dts is not None:
            packet.dts -= shift
        index = packet.stream.index
        packet.stream = copies[index]
        last = max(
            last, float((packet.pts if packet.dts is None else packet.dts) * unit)
        )  # streams may be interleaved loosely
        yield last, 1, packet


class _Order:
    """Decoding times for packets of segments that were encoded apart.

    Each encoder began to count anew; put together, their decoding times would go back at borders when the frame rate
    varies. So they
    are given anew: the n-th packet is decoded when the (n − delay)-th frame is shown, where ``delay`` is as small as
        the order of
    the packets allows.
    """

    def __init__(self, segments: Sequence[Path]) -> None:
        from array import array

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
        """Whether every frame is shown at a whole millisecond."""
        return not any(pts * 1000 * time_base.numerator % time_base.denominator for pts in self._times)

    def packets(self, stream: Any, time_base: Fraction) -> Iterator[Any]:
        """All packets, ready for a container."""
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
        """How long a frame is shown that does not say it: until the next, or as long as the one before."""
        from bisect import bisect_left

        at = bisect_left(self._times, pts)
        if at + 1 < self.frames:
            return self._times[at + 1] - pts
        return pts - self._times[at - 1] if at else 1


def _packet(encoded: Encoded, dts: int, stream: Any, time_base: Fraction, duration: int) -> Any:
    import av

    packet = av.Packet(encoded.content)
    packet.pts, packet.dts, packet.duration, packet.time_base = encoded.pts, dts, duration, time_base
    packet.is_keyframe, packet.stream = encoded.is_key, stream
    return packet
