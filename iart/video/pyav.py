"""What differs between the versions of PyAV, 16 to 19, in one place: all other code uses what they have in common.

Arguments are PyAV's objects. ``scripts/check_pyav.py`` runs the tests of video code against each of these versions.
"""

import math
import struct
from fractions import Fraction
from typing import Any

_LIMITED = 1  # FFmpeg's number of the range
_INTERLACED = (2, 3, 4, 5)  # FFmpeg's field orders with two fields to a frame
# SWS_BICUBIC | SWS_ACCURATE_RND. As numbers, which every version takes: PyAV names the second one from 18 on only.
_BICUBIC_ACCURATE = 0x4 | 0x40000
_UPRIGHT = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def open_input(name: str) -> Any:
    """Open a video file for reading, even where its metadata is not UTF-8.

    Version 19 decodes such metadata by itself; earlier ones need the encoding, or raise UnicodeDecodeError.
    """
    import av

    return av.open(name) if int(av.__version__.split('.')[0]) >= 19 else av.open(name, metadata_errors='replace')


def is_interlaced(stream: Any, frame: Any) -> bool:
    """Return whether a video stream, or a frame decoded from it, is made of two fields.

    Before version 18 PyAV does not show the field order that a stream declares; then the frame's own flag decides.
    """
    declared = getattr(stream.codec_context, 'field_order', None)
    return bool(frame.interlaced_frame) or (declared is not None and int(declared) in _INTERLACED)


def color_tags(stream: Any, frame: Any) -> tuple[int, int, int, int]:
    """Return the matrix, primaries and transfer (numbers of ITU-T H.273) and range (FFmpeg's number) of a frame.

    Version 16 shows primaries and transfer only of the stream.
    """
    source = frame if hasattr(frame, 'color_primaries') else stream.codec_context
    return int(frame.colorspace), int(source.color_primaries), int(source.color_trc), int(frame.color_range)


def display_matrix(frame: Any) -> tuple[int, ...] | None:
    """Return FFmpeg's nine numbers for the rotation of a decoded frame; None if it is not rotated."""
    # Not by a loop: iterating over side data gives the entries up to version 18, and their types from 19 on.
    try:
        entry = frame.side_data.get('DISPLAYMATRIX')
    except ValueError:  # side data that this PyAV has no name for, such as EXIF: it shows none then, but the angle
        return _matrix_of(frame.rotation)
    if entry is None:
        return None
    numbers = struct.unpack('9i', bytes(entry)[:36])
    return None if numbers == _UPRIGHT else numbers


def _matrix_of(angle: int) -> tuple[int, ...] | None:
    """Return the display matrix of a rotation counterclockwise by some degrees, without mirroring; None for 0."""
    if not angle:
        return None
    sine, cosine = (round(f(math.radians(angle)) * (1 << 16)) for f in (math.sin, math.cos))
    return cosine, -sine, 0, sine, cosine, 0, 0, 0, 1 << 30


def can_write_display_matrix() -> bool:
    """Return whether this PyAV writes display matrices (from version 17 on)."""
    import av

    return hasattr(av.VideoStream, 'set_display_matrix')


def disposition(stream: Any) -> int:
    """Return a stream's flags, such as "default" and "attached picture", as FFmpeg's number.

    Version 16 gives an enumeration, which its own setter does not take.
    """
    return int(getattr(stream.disposition, 'value', stream.disposition))


def is_attached_picture(stream: Any) -> bool:
    """Return whether a stream is a single picture, such as a cover, and not the video."""
    from av.stream import Disposition

    return bool(disposition(stream) & Disposition.attached_pic.value)


def fraction(value: Any) -> Fraction | None:
    """Return a rate or a ratio as a Fraction; None where the file does not state it.

    From version 19 on PyAV has rational numbers of its own: they round to 32 bits, and 0/1 and 1/0 mean "not
        stated".
    """
    return Fraction(value.numerator, value.denominator) if value else None


def unit(timed: Any) -> Fraction:
    """Return the unit of the time stamps of a stream, a packet or a frame, in seconds."""
    return Fraction(timed.time_base.numerator, timed.time_base.denominator)


def chapters(container: Any) -> list[dict[str, Any]]:
    """Return an input's chapters: ``id``, ``start``, ``end``, ``time_base`` (a Fraction), ``metadata``."""
    return [{**chapter, 'time_base': fraction(chapter['time_base'])} for chapter in container.chapters()]


def repack(frame: Any, pix_fmt: str) -> Any:
    """Return a frame in another pixel format of its kind: numbers are moved and shifted to another depth, never scaled.

    Chroma is resampled where the new format has more or less of it.
    """
    # Called alike on both sides, matrix and range change nothing.
    return frame.reformat(
        format=pix_fmt,
        src_colorspace=1,
        dst_colorspace=1,
        src_color_range=_LIMITED,
        dst_color_range=_LIMITED,
        interpolation=_BICUBIC_ACCURATE,
    )
