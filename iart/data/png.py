"""Decoding of parts of PNG files.

A PNG is one compressed stream of rows, each row stored as differences to its left and upper neighbors. So everything
above and to the left of a crop is needed and everything below and to the right of it is not. The stream is inflated up
to the crop's last row; of the rows the part up to the crop's last column is wrapped, uncompressed, into a small PNG,
for which the decoder only has to undo the differences. Unusual files are left to the ordinary decoder and its messages.
"""

import contextlib
import importlib
import os
import struct
import threading
import zlib
from typing import Any

import numpy as np

from iart.data.store import Box, Size, check_size
from iart.image import Frame, decode_image

_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_PLAIN_RGB = bytes((8, 2, 0, 0, 0))  # 8 bits, RGB, deflate, the five filters, not interlaced
_END = len(b'\0\0\0\0IEND') + 4
_local = threading.local()


def _inflater() -> Any:
    """Return the module for inflating: ISA-L's if installed (two to three times as fast), else Python's."""
    with contextlib.suppress(ImportError):
        return importlib.import_module('isal.isal_zlib')
    return zlib


_zlib = _inflater()


def decode_crop(data: bytes, name: str, box: Box, size: Size) -> Frame:
    """Decode the part ``box`` of an image file in memory to (height, width, 3) uint8 RGB.

    Args:
        data: the bytes of a PNG, JPEG, BMP or TIFF file.
        name: the file's name for messages.
        size: (h, w) that the whole image must have.

    Raises:
        DataError: the data cannot be decoded, or the image has another size. Damage below the crop is not noticed.
    """
    part = _png_part(data, box.bottom, box.right, size)
    if part is None:
        part = check_size(decode_image(data, name), size, name)
    return box.cut(part)


def _png_part(data: bytes, rows: int, columns: int, size: Size) -> Frame | None:
    """Return the first rows and columns of a plain 8-bit RGB PNG of this size; None for other files, which are left to
    the ordinary decoder.
    """
    header = data[8:29]
    usual = data.startswith(_SIGNATURE) and header[:8] == b'\0\0\0\rIHDR' and header[16:21] == _PLAIN_RGB
    if not usual or struct.unpack('>II', header[8:16]) != (size[1], size[0]) or data[-8:-4] != b'IEND':
        return None
    stream = _stream(data)
    stride = 1 + 3 * size[1]
    if stream is None:
        return None
    try:
        inflated = _zlib.decompressobj().decompress(stream, rows * stride)
    except (zlib.error, _zlib.error):
        return None
    if len(inflated) != rows * stride:
        return None
    needed = np.frombuffer(inflated, np.uint8).reshape(rows, stride)[:, : 1 + 3 * columns]
    return _unfilter(zlib.compress(needed.tobytes(), 0), rows, columns)


def _stream(data: bytes) -> bytes | None:
    """Return the compressed stream; None if the chunks do not fit the file or declare transparency."""
    view, parts, position = memoryview(data), [], 8
    while position + _END <= len(data):
        length, kind = struct.unpack_from('>I4s', data, position)
        if kind == b'IDAT':
            parts.append(view[position + 8 : position + 8 + length])
        elif kind == b'tRNS':
            return None
        position += length + 12
    return b''.join(parts) if position == len(data) else None


def _unfilter(stream: bytes, rows: int, columns: int) -> Frame | None:
    """Decode a decompressed stream of rows with FFmpeg's decoder, the fastest at undoing differences."""
    small = b''.join(
        (
            _SIGNATURE,
            _chunk(b'IHDR', struct.pack('>II', columns, rows) + _PLAIN_RGB),
            _chunk(b'IDAT', stream),
            _chunk(b'IEND', b''),
        )
    )
    import av

    packet = av.Packet(small)
    packet.is_keyframe = True  # else FFmpeg would add the previous frame: it supports PNG files of temporal differences
    try:
        frames = _decoder().decode(packet)
    except (av.error.FFmpegError, ValueError):
        _local.decoder = None
        return None
    if len(frames) != 1 or frames[0].format.name != 'rgb24' or (frames[0].height, frames[0].width) != (rows, columns):
        return None
    return frames[0].to_ndarray()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b''.join((struct.pack('>I', len(data)), kind, data, struct.pack('>I', _zlib.crc32(data, _zlib.crc32(kind)))))


def _decoder() -> Any:
    """Return the decoder of this thread, a new one after a fork."""
    import av

    if getattr(_local, 'decoder', None) is None or _local.owner != os.getpid():
        decoder: Any = av.CodecContext.create('png', 'r')
        decoder.thread_count = 1
        _local.decoder, _local.owner = decoder, os.getpid()
    return _local.decoder
