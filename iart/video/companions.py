"""Streams of the input besides its video: which of them the output can hold, copied, as a cover, or re-encoded."""

import io
from collections.abc import Iterator
from typing import Any, NamedTuple

from iart.video import pyav

FORMATS = {'.mp4': 'mp4', '.m4v': 'mp4', '.mkv': 'matroska', '.mov': 'mov', '.webm': 'webm'}
OF_THE_CONTAINER = (
    'major_brand',
    'minor_version',
    'compatible_brands',
    'encoder',
    'duration',
    'number_of_frames',
    'number_of_bytes',
    'bps',
)
"""Metadata that describes the input's container, in lower case; the output gets its own."""
COPY, COVER, ATTACHMENT = 'copy', 'cover', 'attachment'
_SOUND = {'.mkv': ('flac',), '.webm': ('libopus', 'libvorbis')}  # encoders of what cannot be copied
_OTHER_SOUND = ('aac',)
_COVERS = {'mjpeg': ('jpg', 'image/jpeg'), 'png': ('png', 'image/png'), 'bmp': ('bmp', 'image/bmp')}


class Companion(NamedTuple):
    """A stream of the input that the output gets as well.

    Args:
        stream: its number in the input.
        way: ``copy``, ``cover`` (an attached picture), ``attachment``, or the name of the encoder of sound that cannot
            be copied.
    """

    stream: int
    way: str


def companion_of(stream: Any, suffix: str, *, timecode: bool = False) -> tuple[Companion | None, str]:
    """Return how the output takes a stream, and a note for the log.

    Args:
        stream: a stream of the input other than its video.
        suffix: extension of the output.
        timecode: whether the input's video states a time code, which the output gets.

    Returns:
        The companion and a note; None and the reason if it is left out.
    """
    name = f'stream {stream.index} ({stream.type})'
    left_out = f'{name} is left out: '
    if stream.type == 'video' and pyav.is_attached_picture(stream):
        return _cover(stream, suffix, left_out.replace('video', 'cover'))
    if stream.type == 'video':
        return None, f'{left_out}only the first video stream is upscaled'
    if stream.type == 'attachment':
        if suffix == '.mkv':
            return Companion(stream.index, ATTACHMENT), ''
        return None, f'{left_out}{suffix} holds no attachments (.mkv does)'
    if stream.type == 'data':
        if timecode and suffix != '.webm':
            return None, ''  # written again, from the metadata of the video
        return None, f'{left_out}such streams cannot be copied'
    if stream.type not in ('audio', 'subtitle'):
        return None, f'{left_out}such streams cannot be copied'
    reason = _refusal(stream, suffix)
    if not reason:
        return Companion(stream.index, COPY), ''
    if stream.type == 'audio':
        encoder = encoder_for(suffix)
        codec = stream.codec_context.name if stream.codec_context else 'unknown'
        if encoder and codec != 'unknown':
            return Companion(stream.index, encoder), f'{name}: {suffix} takes no {codec}, it is encoded as {encoder}'
    return None, f'{left_out}{reason} (.mkv takes most streams)'


def encoder_for(suffix: str) -> str | None:
    """Return the encoder for sound that a container cannot hold (lossless for .mkv); None if this FFmpeg has none."""
    import av

    return next((name for name in _SOUND.get(suffix, _OTHER_SOUND) if name in av.codecs_available), None)


def _cover(stream: Any, suffix: str, left_out: str) -> tuple[Companion | None, str]:
    codec = stream.codec_context.name if stream.codec_context else 'unknown'
    if codec not in _COVERS:
        return None, f'{left_out}{codec} pictures cannot be attached'
    if suffix in ('.mp4', '.m4v', '.mkv'):
        return Companion(stream.index, COVER), ''
    return None, f'{left_out}{suffix} holds no covers (.mp4 and .mkv do)'


def _refusal(stream: Any, suffix: str) -> str:
    """Return why a container does not take a copied stream; empty if it does."""
    import av

    try:
        with av.open(io.BytesIO(), 'w', format=FORMATS[suffix]) as container:
            add_copy(container, stream)
            container.start_encoding()
    except (av.error.FFmpegError, ValueError, OSError) as error:
        return str(getattr(error, 'strerror', None) or error)
    return ''


def add_copy(container: Any, stream: Any) -> Any:
    """Add a stream to an output container that takes copied packets of an input's stream."""
    copy = container.add_stream_from_template(stream, opaque=True)
    describe_copy(copy, stream)
    return copy


def describe_copy(copy: Any, stream: Any) -> None:
    """Copy metadata and disposition of the input's stream to an output stream."""
    copy.metadata.update(own_metadata(stream.metadata))
    copy.disposition = pyav.disposition(stream)


def own_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Return the metadata that is not about the container it was in."""
    return {
        k: v
        for k, v in metadata.items()
        if k.lower() not in OF_THE_CONTAINER and not k.upper().startswith('_STATISTICS')
    }


def attach(container: Any, stream: Any) -> None:
    """Add a copy of an attachment, such as a font."""
    name = stream.metadata.get('filename') or stream.name or 'attachment'
    container.add_attachment(name, stream.mimetype or '', stream.data)


def attach_cover(container: Any, stream: Any, content: bytes) -> None:
    """Add a cover as an attachment, as in Matroska."""
    ending, kind = _COVERS[stream.codec_context.name]
    name = stream.metadata.get('filename') or f'cover.{ending}'
    container.add_attachment(name, stream.metadata.get('mimetype') or kind, content)


def covers(source: Any, indexes: list[int]) -> Iterator[tuple[int, bytes]]:
    """Yield (index, content) of attached pictures, which come before all other packets."""
    missing = set(indexes)
    if not missing:
        return
    for packet in source.demux(*[source.streams[index] for index in indexes]):
        if packet.size and packet.stream.index in missing:
            missing.discard(packet.stream.index)
            yield packet.stream.index, bytes(packet)
        if not missing:
            return
