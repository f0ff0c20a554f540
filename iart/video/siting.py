"""Chroma siting that a stream states.

PyAV does not show FFmpeg's field for it. FFmpeg's Matroska writer does: the header it writes for a copy of the stream
holds the two numbers (Matroska's elements ChromaSitingHorz and ChromaSitingVert) for the sitings that occur: left,
center and top left. It leaves out the other three of H.264, which are then taken for not stated.
"""

import io
from collections.abc import Iterator
from typing import Any

# Elements of Matroska on the way to the two numbers, by their ids.
_PATH = (0x18538067, 0x1654AE6B, 0xAE, 0xE0, 0x55B0)  # Segment, Tracks, TrackEntry, Video, Color
_ACROSS, _DOWN = 0x55B7, 0x55B8
_ACROSS_NAMES = {1: ' left', 2: ''}
_DOWN_NAMES = {1: 'top', 2: ''}


def stream_siting(stream: Any) -> str | None:
    """Return the chroma siting of a video stream, as it states or its codec prescribes.

    Args:
        stream: PyAV's stream of an open input.

    Returns:
        A key of :data:`iart.video.chroma.SITINGS`; None if nothing is stated.
    """
    import av

    header = io.BytesIO()
    try:
        with av.open(header, 'w', format='matroska') as container:
            container.add_stream_from_template(stream, opaque=True)
            container.start_encoding()
    except (av.error.FFmpegError, ValueError):  # a codec that Matroska does not take
        return None
    content = memoryview(header.getvalue())
    for element in _PATH:
        content = next((body for id_, body in _elements(content) if id_ == element), memoryview(b''))
    stated = {id_: int.from_bytes(body, 'big') for id_, body in _elements(content)}
    across, down = _ACROSS_NAMES.get(stated.get(_ACROSS, 0)), _DOWN_NAMES.get(stated.get(_DOWN, 0))
    if across is None or down is None:
        return None
    return f'{down}{across}'.strip() or 'center'


def _elements(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the id and the body of each EBML element, up to the first that is not EBML."""
    position = 0
    while position < len(content):
        id_, position = _number(content, position, keep_marker=True)
        if position >= len(content):
            return
        size, body = _number(content, position, keep_marker=False)
        end = min(len(content), body + size)  # a size of all ones is "unknown" and leads to the end
        yield id_, content[body:end]
        position = end


def _number(content: memoryview, position: int, *, keep_marker: bool) -> tuple[int, int]:
    """Return a number of EBML's variable length, and the position after it."""
    length = 9 - content[position].bit_length()
    value = int.from_bytes(content[position : position + length], 'big')
    return value if keep_marker else value & ((1 << 7 * length) - 1), position + length
