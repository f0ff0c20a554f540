"""Videos as inputs: their facts, checked before hours of work, and their frames one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from iart import log
from iart.errors import DataError
from iart.upscaling.upscale_options import UpscaleOptions
from iart.video import pyav
from iart.video.color import coding_of
from iart.video.container import opened, picture_stream
from iart.video.facts import Clip, Tags
from iart.video.index import VideoIndex, index_of
from iart.video.orientation import UPRIGHT, orientation_of
from iart.video.pictures import Decoded, Shown
from iart.video.pixel_formats import has_alpha
from iart.video.reader import FrameReader

_SECOND = 1_000_000  # FFmpeg's own unit of time
_CUT_SHORT = 1.5  # seconds that may be missing at the end: containers round, and audio may last longer
_ALWAYS = 1 << 62


def examine(file: Path, settings: UpscaleOptions, *, upright: bool = False) -> Clip:
    """Read a video's packets and decode the first frame of the selected part.

    Args:
        file: the video.
        settings: settings, which select the part.
        upright: whether frames are rotated as the file specifies, for outputs that cannot specify it.

    Raises:
        DataError: not a video, no frames, cut short, interlaced, or colors that are not understood.
    """
    index = index_of(file)
    with opened(file) as container:
        stream = picture_stream(container, file)
        clock = _clock(container, stream, index, settings.fps)
        chosen = _choose(file, index, clock, settings)
        missing = _promised(container, stream) - chosen.ends
        if missing > _CUT_SHORT and settings.end is None and settings.preview is None:
            raise DataError(
                f'{file}: is cut short: its frames end {missing:.1f} s before the end in its header; copy or download '
                f'it again, or upscale what is there with  --end {chosen.ends:.3f}'
            )
        frame = _first_frame(file, index, chosen.first - clock.offset)
        if pyav.is_interlaced(stream, frame) and not settings.progressive:
            raise _interlaced(file)
        matrix, orientation = pyav.display_matrix(frame), UPRIGHT
        notes = [*_losses(container, stream, frame, chosen, index, upright=upright), *_unused_rate(settings, index)]
        if upright:
            orientation, notes_on_shape = _turned(matrix, pyav.fraction(stream.sample_aspect_ratio))
            matrix, notes = None, [*notes, *notes_on_shape]
        height, width = orientation.size((frame.height, frame.width))
        return Clip(
            file=file,
            height=height,
            width=width,
            pix_fmt=frame.format.name,
            coding=coding_of(frame, file, index.facts.siting),
            tags=Tags(*pyav.color_tags(stream, frame)),
            time_base=clock.unit,
            rate=clock.rate,
            frames=chosen.frames,
            first=chosen.first,
            last=chosen.last,
            pixel_aspect=pyav.fraction(stream.sample_aspect_ratio),
            display_matrix=matrix,
            begin=chosen.begin,
            stop=chosen.stop,
            origin=clock.origin,
            orientation=orientation,
            notes=tuple(notes),
            counted_from=clock.offset if index.counted else None,
        )


@dataclass(frozen=True)
class _Clock:
    """How the times of an index become time stamps.

    Args:
        unit: of time stamps, in seconds.
        rate: frames per second.
        start: where the input's own clock starts, in seconds.
        origin: the time stamp that is shown at 0.
        offset: time stamp of an index's time 0: not 0 where frames are counted.
    """

    unit: Fraction
    rate: Fraction
    start: Fraction
    origin: int
    offset: int = 0


def _clock(container: Any, stream: Any, index: VideoIndex, fps: Fraction | None) -> _Clock:
    rate: Fraction = pyav.fraction(stream.average_rate) or pyav.fraction(stream.guessed_rate) or Fraction(25)
    start: Fraction = _start(container)
    if index.counted:
        rate = fps or pyav.fraction(stream.guessed_rate) or rate
        begin = round(stream.start_time * pyav.unit(stream) * rate) if stream.start_time else 0
        return _Clock(1 / rate, rate, start, min(begin, round(start * rate)), begin)
    unit = pyav.unit(stream)
    first = int(index.times[0])
    # Sound may begin before 0 (the lead-in of AAC): then 0 stays 0. Frames before 0 would be lost.
    zero = min(first, round(start / unit))
    origin = zero if zero > 0 else min(first, 0)
    return _Clock(unit, rate, start, origin)


def _start(container: Any) -> Fraction:
    """Return where the input's clock starts, in seconds: exactly, where FFmpeg rounds to microseconds."""
    starts: list[Fraction] = [
        Fraction(stream.start_time) * pyav.unit(stream)
        for stream in (*container.streams.video, *container.streams.audio)
        if stream.start_time is not None and not (stream.type == 'video' and pyav.is_attached_picture(stream))
    ]
    return min(starts, default=Fraction(container.start_time or 0, _SECOND))


@dataclass(frozen=True)
class _Chosen:
    """Return the number of selected frames, and the time stamps of the first and the last.

    ``begin`` and ``stop`` are as in :class:`Clip`; ``ends`` is when the video ends, in seconds from its start.
    """

    frames: int
    first: int
    last: int
    begin: int | None
    stop: int | None
    ends: float


def _choose(file: Path, index: VideoIndex, clock: _Clock, settings: UpscaleOptions) -> _Chosen:
    times, count = index.times, len(index.times)
    begin, stop = _stamp(settings.start, clock, -_ALWAYS), _stamp(settings.end, clock, _ALWAYS)
    low, high = (int(np.searchsorted(times, stamp - clock.offset)) for stamp in (begin, stop))
    ends = float((index.facts.end + clock.offset) * clock.unit - clock.start)
    if low >= high:
        raise DataError(f'{file}: got no frames between --start and --end; the video lasts to {ends:.3f} s')
    cut = settings.preview is not None and low + settings.preview < high
    if cut and settings.preview is not None:
        high = low + settings.preview
        stop = int(times[high]) + clock.offset if high < count else _ALWAYS
    return _Chosen(
        frames=high - low,
        first=int(times[low]) + clock.offset,
        last=int(times[high - 1]) + clock.offset,
        begin=begin if settings.start is not None else None,
        stop=stop if cut or settings.end is not None else None,
        ends=ends,
    )


def _stamp(moment: Fraction | None, clock: _Clock, always: int) -> int:
    """Return the first time stamp that is not before a moment, in seconds from the input's start."""
    return always if moment is None else int(-((-(clock.start + moment)) // clock.unit))


def _first_frame(file: Path, index: VideoIndex, first: int) -> Any:
    reader = FrameReader(file, index)
    try:
        for _, frame in reader.frames(first):
            return frame
    finally:
        reader.close()
    raise DataError(f'{file}: none of the selected frames can be decoded; copy or download it again')


def _interlaced(file: Path) -> DataError:
    return DataError(
        f'{file}: is interlaced, expected progressive frames: deinterlace it first, for example  ffmpeg -i {file.name} '
        '-vf bwdif=mode=send_field -c:v ffv1 -c:a copy OUT.mkv ; or give --progressive if only its tag is wrong'
    )


def _losses(
    container: Any, stream: Any, frame: Any, chosen: _Chosen, index: VideoIndex, *, upright: bool
) -> Iterator[str]:
    """Yield notes on unusual pictures, and on what folders of frames lose (the rehearsal reports losses of videos)."""
    if has_alpha(frame.format.name):
        yield f'its transparency ({frame.format.name}) is left out'
    elif stream.metadata.get('alpha_mode') == '1':  # of VP8 and VP9: in a second picture, which FFmpeg does not decode
        yield f'its transparency ({stream.codec_context.name} with alpha) is left out'
    cut = stream.frames - index.facts.hidden - len(index.times)
    if cut > 0 and not index.counted and 'mp4' in container.format.name.split(','):
        yield f'its edit list cuts {cut} of its {stream.frames} frames away, and so does the output'
    if index.counted:
        yield 'its frames have no times or equal times: they are shown one after the other at a constant rate'
    tail = float(container.duration or 0) / _SECOND - chosen.ends
    if tail > _CUT_SHORT and container.streams.audio and chosen.stop is None:
        yield f'its pictures end {tail:.1f} s before its sound'
    others = [s for s in container.streams.video if s.index != stream.index and not pyav.is_attached_picture(s)]
    if upright and others:
        yield f'it contains {len(others) + 1} video streams; only the first (stream {stream.index}) is upscaled'


def _unused_rate(settings: UpscaleOptions, index: VideoIndex) -> Iterator[str]:
    if settings.fps is not None and not index.counted:
        yield '--fps is for frames without times; this video keeps its times'


def _turned(matrix: tuple[int, ...] | None, aspect: Fraction | None) -> tuple[Any, list[str]]:
    """Return the rotation of frames for an output of images, and notes on what images cannot state."""
    orientation, notes = orientation_of(matrix), []
    if orientation is None:
        notes.append('it is shown rotated by another angle than quarter turns; its frames are written as coded')
        orientation = UPRIGHT
    elif orientation != UPRIGHT:
        notes.append('it is shown rotated; its frames are written upright')
    if aspect is not None and aspect != 1:
        notes.append(
            f'its pixels are not square ({aspect.numerator}:{aspect.denominator} wide); its frames are written pixel '
            'by pixel, and image files do not keep that'
        )
    return orientation, notes


def _promised(container: Any, stream: Any) -> float:
    """Return the duration of the pictures by the container's header, in seconds; 0 if not stated."""
    if stream.duration:
        return float((stream.duration + (stream.start_time or 0)) * pyav.unit(stream) - _start(container))
    tag = stream.metadata.get('DURATION', '')  # Matroska's
    if tag.count(':') == 2:
        hours, minutes, seconds = tag.split(':')
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - float(_start(container))
    return float(container.duration or 0) / _SECOND if len(container.streams) == 1 else 0.0


def read(clip: Clip, settings: UpscaleOptions) -> Iterator[Shown]:
    """Yield the selected frames as they are decoded; frames that cannot be decoded are counted and logged.

    Raises:
        DataError: a frame is interlaced, or differs in format from the first one.
    """
    offset = clip.counted_from or 0
    given, last = 0, None
    reader = FrameReader(clip.file, index_of(clip.file), threads=True)
    try:
        for time, frame in reader.frames(clip.first - offset):
            stamp = time + offset
            if stamp > clip.last:
                break
            _check(frame, stamp, clip, settings)
            if last is not None and stamp <= last:
                continue  # a decoder may repeat a frame in place of a damaged one
            last, given = stamp, given + 1
            duration = 1 if clip.counted_from is not None else frame.duration or 0
            yield Shown(Decoded(frame, clip.coding, clip.orientation), stamp - clip.shift, duration)
    finally:
        reader.close()
    if given < clip.frames or reader.damage.packets:
        log.logger.warning(
            f'{clip.file}: {clip.frames - given} of its {clip.frames} frames could not be decoded '
            f'({reader.damage.packets} damaged packets); the ones before them are shown longer'
        )


def _check(frame: Any, stamp: int, clip: Clip, settings: UpscaleOptions) -> None:
    seconds = float((stamp - clip.origin) * clip.time_base)
    if frame.interlaced_frame and not settings.progressive:
        raise _interlaced(clip.file)
    height, width = clip.orientation.size((clip.height, clip.width))
    if (frame.height, frame.width, frame.format.name) != (height, width, clip.pix_fmt):
        raise DataError(
            f'{clip.file}: got {frame.width}×{frame.height} {frame.format.name} at {seconds:.3f} s, expected '
            f'{width}×{height} {clip.pix_fmt} as before: upscale the parts one by one, with  --end {seconds:.3f}  and '
            f' --start {seconds:.3f}'
        )
