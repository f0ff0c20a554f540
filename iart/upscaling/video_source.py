"""Reading a video: what it is, checked before hours of work, and its frames one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from iart import log
from iart.errors import DataError
from iart.upscaling.settings import Settings
from iart.video import pyav
from iart.video.facts import Clip, Tags
from iart.video.index import opened
from iart.video.pictures import Decoded, Shown, coding_of

_SECOND = 1_000_000  # FFmpeg's own unit of time
_CUT_SHORT = 1.5  # seconds that may be missing at the end: containers round, and audio may last longer


def examine(file: Path, settings: Settings) -> Clip:
    """Read a video's packets and decode its first frame.

    Raises:
        DataError: not a video, no frames, cut short, interlaced, or colours that are not understood.
    """
    frame = _first_frame(file, settings)
    with opened(file) as container:
        stream = container.streams.video[0]
        part = _part(container, stream, settings)
        count = _count(container, stream, part, settings.preview)
        rate = pyav.fraction(stream.average_rate) or pyav.fraction(stream.guessed_rate) or Fraction(25)
        aspect = pyav.fraction(stream.sample_aspect_ratio)
        tags = Tags(*pyav.color_tags(stream, frame))
    where = f'{file}: '
    if count.packets == 0:
        raise DataError(f'{where}found no frames, expected a video')
    if count.missing > _CUT_SHORT and settings.end is None and settings.preview is None:
        raise DataError(
            f'{where}is cut short: its frames end {count.missing:.1f} s before its header says; copy or download '
            'it again, '
            f'or upscale what is there with  --end {count.ends:.3f}'
        )
    if count.wanted == 0:
        raise DataError(f'{where}found no frames between --start and --end; the video lasts to {count.ends:.3f} s')
    cut = settings.preview is not None and count.wanted > settings.preview
    begin = part.begin if settings.start is not None else None
    return Clip(
        file=file,
        height=frame.height,
        width=frame.width,
        pix_fmt=frame.format.name,
        coding=coding_of(frame, file),
        tags=tags,
        time_base=part.unit,
        rate=rate,
        frames=settings.preview if cut and settings.preview else count.wanted,
        first=count.first,
        last=count.last,
        pixel_aspect=aspect,
        display_matrix=pyav.display_matrix(frame),
        begin=begin,
        stop=count.stop if cut else (part.stop if settings.end is not None else None),
    )


@dataclass(frozen=True)
class _Part:
    """The time stamps wanted: from ``begin`` to before ``stop``, in units of ``unit`` seconds."""

    begin: int
    stop: int
    unit: Fraction


@dataclass
class _Count:
    """What a look at all packets finds; times in seconds."""

    packets: int = 0
    wanted: int = 0
    first: int = 0
    last: int = 0
    stop: int = 0
    ends: float = 0.0
    missing: float = 0.0


def _part(container: Any, stream: Any, settings: Settings) -> _Part:
    unit = pyav.unit(stream)
    zero = Fraction(container.start_time or 0, _SECOND)
    begin = (
        -(1 << 62) if settings.start is None else -((-(zero + settings.start)) // unit)
    )  # the first time stamp not before it
    stop = (1 << 62) if settings.end is None else -((-(zero + settings.end)) // unit)
    return _Part(int(begin), int(stop), unit)


def _first_frame(file: Path, settings: Settings) -> Any:
    with opened(file) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream), None)
        if frame is None:
            raise DataError(f'{file}: got no frames, expected a video')
        if pyav.is_interlaced(stream, frame) and not settings.progressive:
            raise _interlaced(file)
        return frame


def _interlaced(file: Path) -> DataError:
    return DataError(
        f'{file}: is interlaced, expected whole frames: deinterlace it first, for example  ffmpeg -i {file.name} '
        '-vf bwdif=mode=send_field '
        '-c:v ffv1 -c:a copy OUT.mkv ; or give --progressive if it is only tagged so'
    )


def _count(container: Any, stream: Any, part: _Part, preview: int | None) -> _Count:
    """Look at all packets without decoding them."""
    import heapq

    found, newest, smallest = _Count(), -(1 << 62), list[int]()
    for packet in container.demux(stream):
        if not packet.size or packet.is_discard:
            continue
        found.packets += 1
        if packet.pts is None:
            raise DataError(
                f'{container.name}: its frames have no times of their own; copy it to another container, such as .mkv'
            )
        newest = max(newest, packet.pts + (packet.duration or 0))
        if not part.begin <= packet.pts < part.stop:
            continue
        found.first = packet.pts if not found.wanted else min(found.first, packet.pts)
        found.last = packet.pts if not found.wanted else max(found.last, packet.pts)
        found.wanted += 1
        if preview is not None:  # keep the `preview + 1` smallest
            heapq.heappush(smallest, -packet.pts)
            if len(smallest) > preview + 1:
                heapq.heappop(smallest)
    if preview is not None and len(smallest) > preview:
        found.stop = -heapq.heappop(smallest)  # the first frame that is not wanted
        found.last = -smallest[0]
    zero = Fraction(container.start_time or 0, _SECOND)
    found.ends = float(newest * part.unit - zero)
    found.missing = _promised(container, stream) - found.ends
    return found


def _promised(container: Any, stream: Any) -> float:
    """Seconds that the pictures last by the container's header; 0: it does not say."""
    if stream.duration:
        start = Fraction(container.start_time or 0, _SECOND)
        return float((stream.duration + (stream.start_time or 0)) * pyav.unit(stream) - start)
    tag = stream.metadata.get('DURATION', '')  # Matroska's
    if tag.count(':') == 2:
        hours, minutes, seconds = tag.split(':')
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return float(container.duration or 0) / _SECOND if len(container.streams) == 1 else 0.0


def read(clip: Clip, settings: Settings) -> Iterator[Shown]:
    """The frames that are wanted, as they are decoded.

    Raises:
        DataError: the file is damaged, or a frame is interlaced or not as the first one.
    """
    begin = clip.first if clip.begin is not None else None
    given, last = 0, None
    with opened(clip.file) as container:
        stream = container.streams.video[0]
        stream.thread_type = 'AUTO'
        if begin is not None:
            container.seek(begin, stream=stream, backward=True, any_frame=False)
        for frame in container.decode(stream):
            if frame.pts is None or (begin is not None and frame.pts < begin):
                continue
            if given == clip.frames or (clip.stop is not None and frame.pts >= clip.stop):
                return
            _check(frame, clip, last, settings)
            last = frame.pts
            given += 1
            yield Shown(Decoded(frame, clip.coding), frame.pts - clip.shift, frame.duration or 0)
    if given < clip.frames:
        log.logger.warning(
            f'{clip.file}: {clip.frames - given} of its {clip.frames} frames could not be decoded; the ones before '
            'them are shown longer'
        )


def _check(frame: Any, clip: Clip, last: int | None, settings: Settings) -> None:
    seconds = float(frame.pts * clip.time_base)
    if frame.interlaced_frame and not settings.progressive:
        raise _interlaced(clip.file)
    if (frame.height, frame.width, frame.format.name) != (clip.height, clip.width, clip.pix_fmt):
        raise DataError(
            f'{clip.file}: got {frame.width}×{frame.height} {frame.format.name} at {seconds:.3f} s, expected '
            f'{clip.width}×{clip.height} {clip.pix_fmt} as at the beginning: upscale the parts with --start and --end'
        )
    if last is not None and frame.pts <= last:
        raise DataError(
            f'{clip.file}: two frames are to be shown at {seconds:.3f} s; copy it to another container, such as .mkv'
        )
