"""Decoding of a video's frames packet by packet, so that damage costs only the frames it hits."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_MOST_READ_ERRORS = 100  # in succession; after that many, reading ends


@dataclass
class Damage:
    """Losses of a video while it was decoded.

    Args:
        packets: number of packets that could not be decoded.
    """

    packets: int = 0


def decode(container: Any, stream: Any, damage: Damage) -> Iterator[Any]:
    """Yield the frames of a video stream in the order they are shown; packets that cannot be decoded are counted.

    Args:
        container: PyAV's input container, read from its current position.
        stream: one of its video streams.
        damage: counter of losses.
    """
    import av

    context = stream.codec_context
    for packet in packets(container, stream):
        if not packet.size:
            continue  # a repeated frame (Theora), or PyAV's end mark: the frame before is shown for longer
        try:
            frames = context.decode(packet)
        except av.error.FFmpegError:
            damage.packets += 1
            continue
        yield from frames
    with contextlib.suppress(av.error.FFmpegError):  # frames that the decoder still holds
        yield from context.decode(None)


def packets(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the packets of a stream; where a damaged stretch cannot be read, continue after it."""
    import av

    errors = 0
    while errors < _MOST_READ_ERRORS:
        try:
            for packet in container.demux(stream):
                errors = 0
                yield packet
            return
        except av.error.InvalidDataError:
            errors += 1


def first_frame(container: Any, stream: Any) -> Any | None:
    """Return the first frame that can be decoded; None if there is none."""
    return next(decode(container, stream, Damage()), None)


def is_hidden(codec: str, packet: Any) -> bool:
    """Return whether a packet holds only a frame that is never shown: VP8 and VP9 predict others from such frames.

    Args:
        codec: FFmpeg's name of the codec.
        packet: PyAV's packet, not empty.
    """
    first = memoryview(packet)[0]
    if codec == 'vp8':
        return not first & 0x10  # bit 4 of the frame tag (RFC 6386, 9.1): show_frame
    if codec != 'vp9' or memoryview(packet)[-1] & 0xE0 == 0xC0:  # a superframe ends in its mark, and shows a frame
        return False
    # VP9's uncompressed header: marker (2 bits), profile (2, and one reserved in profile 3), show_existing_frame,
    # frame_type, show_frame
    reserved = 1 if first >> 4 & 3 == 3 else 0
    return not first >> (3 - reserved) & 1 and not first >> (1 - reserved) & 1
