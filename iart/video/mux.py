"""Muxing of the finished video: encoded segments, and the input's other streams."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from pathlib import Path
from typing import Any, BinaryIO

from iart import log
from iart.errors import DataError
from iart.video import pyav
from iart.video.companions import (
    ATTACHMENT,
    COPY,
    COVER,
    FORMATS,
    Companion,
    add_copy,
    attach,
    attach_cover,
    covers,
    own_metadata,
)
from iart.video.container import opened, picture_stream
from iart.video.copied_packets import Feed, Outlet, SoundEncoder, Taken, add_sound_encoder, copied_packets
from iart.video.encode import Encoding, add_video_stream
from iart.video.facts import Clip
from iart.video.matroska import display_size, set_display_size
from iart.video.packet_order import Order
from iart.video.read_back import stated_aspect
from iart.video.timecode import advanced

_BITEXACT = 0x400  # AVFMT_FLAG_BITEXACT: no random numbers and no names of versions in the file
MILLISECONDS = ('.mkv', '.webm')
"""Containers that know no finer time, and none before 0."""

Pictures = Callable[[Any, Any], Iterable[Any]]
"""Returns the video's packets for an output container and its video stream, in decoding order."""


@dataclass(frozen=True)
class Recipe:
    """Everything that a video is made of besides its frames.

    Args:
        suffix: extension of the output, which determines the container.
        clip: the input's facts.
        encoding: encoding of the frames.
        companions: streams of the input that the output gets as well.
        any_metadata: whether to write metadata of any name (``.mp4`` and ``.mov``), which fewer players show.
    """

    suffix: str
    clip: Clip
    encoding: Encoding
    companions: tuple[Companion, ...] = ()
    any_metadata: bool = False


class MuxError(DataError):
    """A packet that the output's container rejects.

    Args:
        stream: number of the input's stream; None for the video.
        text: the message.
    """

    def __init__(self, stream: int | None, text: str) -> None:
        super().__init__(text)
        self.stream = stream


def mux(target: Path, segments: Sequence[Path], recipe: Recipe) -> tuple[Order, Taken]:
    """Write the whole video.

    Args:
        target: file to write; its extension has no effect.
        segments: packet files, in order.
        recipe: everything else.

    Returns:
        The times of the frames, and what was copied.

    Raises:
        MuxError: the container rejects a packet.
        OSError: the disk is full, or the file cannot be written.
    """
    order = Order(segments)
    suffix, clip = recipe.suffix, recipe.clip
    if suffix in MILLISECONDS and not order.in_milliseconds(clip.time_base):
        log.logger.info(
            f'{suffix} keeps time in milliseconds: time stamps are rounded to these; .mp4 and .mov keep them as '
            'they are'
        )
    with target.open('w+b') as file:
        sink = Sink(file)
        try:
            taken = write(sink, recipe, lambda container, stream: order.packets(stream, clip.time_base))
            finish_header(file, recipe)
            file.flush()
        except Exception:
            target.unlink()
            if sink.error is not None:  # PyAV may have made another one of it
                raise sink.error from None
            raise
    return order, taken


def finish_header(file: BinaryIO, recipe: Recipe) -> None:
    """Write the sample aspect ratio of Matroska, which PyAV cannot pass to FFmpeg."""
    aspect = stated_aspect(recipe.clip.pixel_aspect)
    if recipe.suffix in MILLISECONDS and aspect is not None:
        set_display_size(file, display_size(recipe.encoding.width, recipe.encoding.height, aspect))


def write(sink: Any, recipe: Recipe, pictures: Pictures) -> Taken:
    """Write a container.

    Args:
        sink: file-like object that can be written and searched.
        recipe: what is written.
        pictures: gives the packets of the video.

    Raises:
        MuxError: the container rejects a packet.
    """
    import av

    options = {'movflags': 'use_metadata_tags'} if recipe.any_metadata else {}
    with contextlib.ExitStack() as stack:
        is_file = recipe.clip.file.is_file()
        source = stack.enter_context(opened(recipe.clip.file)) if is_file else None
        container = av.open(sink, 'w', format=FORMATS[recipe.suffix], options=options)
        try:
            taken = _fill(container, source, recipe, pictures)
        except BaseException:
            with contextlib.suppress(Exception):
                container.close()
            raise
        container.close()
    return taken


def _fill(container: Any, source: Any, recipe: Recipe, pictures: Pictures) -> Taken:
    clip, taken = recipe.clip, Taken()
    container.flags |= _BITEXACT
    video = add_video_stream(container, recipe.encoding, clip)
    if clip.display_matrix is not None:
        video.set_display_matrix(clip.display_matrix)
    copies, feeds, loose = dict[int, Any](), dict[int, Feed](), list[tuple[Any, bytes]]()
    if source is not None:
        loose = _add_pictures_and_files(container, source, recipe)
        for index, way in recipe.companions:
            stream = source.streams[index]
            if way == COPY:
                copies[index] = add_copy(container, stream)
            elif way not in (COVER, ATTACHMENT):
                copies[index] = add_sound_encoder(container, stream, way)
                copies[index].metadata.update(own_metadata(stream.metadata))
                copies[index].disposition = pyav.disposition(stream)
                feeds[index] = SoundEncoder(stream, copies[index], clip)
        _describe(container, video, source, clip)
    try:
        container.start_encoding()
    except ValueError as error:  # FFmpeg's, too
        raise MuxError(None, f'{recipe.suffix} cannot hold these streams ({error})') from error
    for copy, content in loose:
        _mux(container, _loose_packet(copy, content), None, recipe)
    ours: Iterator[tuple[float, int, Any]] = ((float(p.dts * pyav.unit(p)), -1, p) for p in pictures(container, video))
    outlets = {index: Outlet(index, copy, recipe.suffix, taken) for index, copy in copies.items()}
    theirs = copied_packets(source, outlets, clip, feeds) if source is not None else iter(())
    for _, index, packet in merge(ours, theirs, key=lambda item: item[:2]):
        _mux(container, packet, index if index >= 0 else None, recipe)
    return taken


def _mux(container: Any, packet: Any, stream: int | None, recipe: Recipe) -> None:
    import av

    try:
        container.mux(packet)
    except (av.error.FFmpegError, ValueError) as error:
        name = 'the video' if stream is None else f'stream {stream} of {recipe.clip.file.name}'
        reason = getattr(error, 'strerror', None) or error
        raise MuxError(stream, f'{name} cannot be written to {recipe.suffix} ({reason})') from error


def _add_pictures_and_files(container: Any, source: Any, recipe: Recipe) -> list[tuple[Any, bytes]]:
    """Add covers and attachments; return the contents of covers that are streams."""
    ways = dict(recipe.companions)
    for index in (i for i, way in ways.items() if way == ATTACHMENT):
        attach(container, source.streams[index])
    indexes = [i for i, way in ways.items() if way == COVER]
    if not indexes:
        return []
    with opened(recipe.clip.file) as second:  # packets of the first are still needed
        contents = dict(covers(second, indexes))
    if recipe.suffix == '.mkv':
        for index, content in contents.items():
            attach_cover(container, source.streams[index], content)
        return []
    return [(add_copy(container, source.streams[index]), content) for index, content in contents.items()]


def _loose_packet(stream: Any, content: bytes) -> Any:
    import av

    packet = av.Packet(content)
    packet.pts = packet.dts = 0
    packet.time_base, packet.stream, packet.is_keyframe = pyav.unit(stream), stream, True
    return packet


class Sink:
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
    """Write metadata, the shifted time code and chapters."""
    ours = picture_stream(source, clip.file)
    container.metadata.update(_moved_metadata(source.metadata, ours, clip))
    video.metadata.update(_moved_metadata(ours.metadata, ours, clip))
    video.disposition = pyav.disposition(ours)
    chapters = [moved for chapter in pyav.chapters(source) if (moved := _moved_chapter(chapter, clip))]
    if chapters:
        container.set_chapters(chapters)


def _moved_metadata(metadata: dict[str, str], stream: Any, clip: Clip) -> dict[str, str]:
    """Return metadata with the time code of the first selected frame."""
    result = own_metadata(metadata)
    if clip.begin is not None:
        frames = round((clip.first - (stream.start_time or 0)) * clip.time_base * clip.rate)
        for key in (k for k in result if k.lower() == 'timecode'):
            result[key] = advanced(result[key], frames, clip.rate) or result[key]
    return result


def _moved_chapter(chapter: dict[str, Any], clip: Clip) -> dict[str, Any] | None:
    """Return a chapter cut to the part; None if outside."""
    unit = chapter['time_base']
    start, stop = chapter['start'], chapter['end']
    if clip.span is not None:
        begin, end = (int(moment // unit) for moment in clip.span)
        start, stop = max(start, begin), min(stop, end)
    shift = round(clip.shift * clip.time_base / unit)
    return {**chapter, 'start': start - shift, 'end': stop - shift} if start < stop else None
