"""The display size in the header of a finished Matroska or WebM file.

FFmpeg's writer takes the sample aspect ratio from a field that PyAV does not set. Codecs that state it in their own
bitstream (H.264, HEVC) are fine without; for the others (VP9, AV1, FFV1) the header is rewritten in place: the free
space that the writer leaves before ``Info`` shrinks by what ``Tracks`` grows. Element numbers are those of RFC 9559.
"""

import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import BinaryIO, NamedTuple

from iart.errors import DataError

_SEGMENT, _SEEK_HEAD, _INFO, _TRACKS = (
    b'\x18\x53\x80\x67',
    b'\x11\x4d\x9b\x74',
    b'\x15\x49\xa9\x66',
    b'\x16\x54\xae\x6b',
)
_SEEK, _SEEK_ID, _SEEK_POSITION = b'\x4d\xbb', b'\x53\xab', b'\x53\xac'
_TRACK, _NUMBER, _VIDEO = b'\xae', b'\xd7', b'\xe0'
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = b'\x54\xb0', b'\x54\xba', b'\x54\xb2'
_VOID, _CRC = b'\xec', b'\xbf'
_HEAD = 1 << 22  # bytes that hold everything up to the end of Tracks


class _Element(NamedTuple):
    """An element of a file: its number, and where it begins, where its content begins, and where it ends."""

    number: bytes
    start: int
    content: int
    end: int


def display_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Return (width, height) in square pixels of a frame whose pixels have another aspect, exact where it can be."""
    if (width * aspect).denominator == 1 or (aspect > 1 and (height / aspect).denominator != 1):
        return round(width * aspect), height
    return width, round(height / aspect)


def set_display_size(file: BinaryIO, size: tuple[int, int], track: int = 1) -> None:
    """Write the display size of a video track.

    Args:
        file: open for reading and writing.
        size: (width, height) in square pixels.
        track: number of the track.

    Raises:
        DataError: the header is not as FFmpeg writes it.
    """
    file.seek(0)
    data = file.read(_HEAD)
    segment = next((e for e in _elements(data, 0, len(data)) if e.number == _SEGMENT), None)
    if segment is None:
        raise DataError('the Matroska file has no segment')
    parts: dict[bytes, _Element] = {}
    for element in _elements(data, segment.content, min(segment.end, len(data))):
        parts.setdefault(element.number, element)
        if element.number == _TRACKS:
            break
    if not {_SEEK_HEAD, _VOID, _INFO, _TRACKS} <= parts.keys() or parts[_VOID].end != parts[_INFO].start:
        raise DataError('the Matroska header has no free space before its Info element')
    tracks = _with_display(data, parts[_TRACKS], size, track)
    growth = len(tracks) - (parts[_TRACKS].end - parts[_TRACKS].start)
    void = _void(parts[_VOID].end - parts[_VOID].start - growth)
    between = data[parts[_INFO].start : parts[_TRACKS].start]
    seek_head = _moved(data, parts[_SEEK_HEAD], growth)
    middle = data[parts[_SEEK_HEAD].end : parts[_VOID].start]
    file.seek(parts[_SEEK_HEAD].start)
    file.write(seek_head + middle + void + between + tracks)


def _elements(data: bytes, start: int, end: int) -> Iterator[_Element]:
    while start < end:
        length = 9 - data[start].bit_length()
        number = data[start : start + length]
        size_length = 9 - data[start + length].bit_length()
        content = start + length + size_length
        size = int.from_bytes(data[start + length : content], 'big') & ((1 << 7 * size_length) - 1)
        unknown = size == (1 << 7 * size_length) - 1
        yield _Element(number, start, content, end if unknown else content + size)
        start = content + size


def _sized(number: bytes, content: bytes) -> bytes:
    length = next(k for k in range(1, 9) if len(content) < (1 << 7 * k) - 1)
    return number + (len(content) | 1 << 7 * length).to_bytes(length, 'big') + content


def _unsigned(number: bytes, value: int) -> bytes:
    return _sized(number, value.to_bytes(max(1, (value.bit_length() + 7) // 8), 'big'))


def _rebuilt(data: bytes, parent: _Element, change: Callable[[_Element], bytes], more: bytes = b'') -> bytes:
    """An element whose children are replaced by what ``change`` makes of them; its checksum is renewed."""
    children = list(_elements(data, parent.content, parent.end))
    content = b''.join(change(child) for child in children if child.number != _CRC) + more
    if any(child.number == _CRC for child in children):
        content = _sized(_CRC, zlib.crc32(content).to_bytes(4, 'little')) + content
    return _sized(parent.number, content)


def _with_display(data: bytes, tracks: _Element, size: tuple[int, int], track: int) -> bytes:
    display = _unsigned(_DISPLAY_WIDTH, size[0]) + _unsigned(_DISPLAY_HEIGHT, size[1])

    def in_video(child: _Element) -> bytes:
        replaced = child.number in (_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT)
        return b'' if replaced else data[child.start : child.end]

    def in_track(child: _Element) -> bytes:
        if child.number == _VIDEO:
            return _rebuilt(data, child, in_video, display)
        return data[child.start : child.end]

    def in_tracks(child: _Element) -> bytes:
        numbers = [
            int.from_bytes(data[e.content : e.end], 'big')
            for e in _elements(data, child.content, child.end)
            if child.number == _TRACK and e.number == _NUMBER
        ]
        return _rebuilt(data, child, in_track) if numbers == [track] else data[child.start : child.end]

    return _rebuilt(data, tracks, in_tracks)


def _void(length: int) -> bytes:
    if length == 0:
        return b''
    if length < 2 or 128 < length < 10:
        raise DataError('the Matroska header has too little free space')
    if length <= 128:
        return _VOID + bytes([0x80 | (length - 2)]) + bytes(length - 2)
    return _VOID + (length - 9 | 1 << 56).to_bytes(8, 'big') + bytes(length - 9)


def _moved(data: bytes, seek_head: _Element, growth: int) -> bytes:
    """The table of positions, after Info and Tracks have begun ``growth`` bytes earlier."""

    def in_seek_head(entry: _Element) -> bytes:
        if entry.number != _SEEK:
            return data[entry.start : entry.end]
        target = next(
            data[e.content : e.end] for e in _elements(data, entry.content, entry.end) if e.number == _SEEK_ID
        )

        def in_entry(child: _Element) -> bytes:
            content = data[child.content : child.end]
            if child.number == _SEEK_POSITION and target in (_INFO, _TRACKS):
                content = (int.from_bytes(content, 'big') - growth).to_bytes(len(content), 'big')
            return data[child.start : child.content] + content

        return _rebuilt(data, entry, in_entry)

    return _rebuilt(data, seek_head, in_seek_head)
