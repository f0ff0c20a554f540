"""Uncompressed video through pipes: YUV4MPEG2 (y4m), and raw rgb24 frames, read and written one frame at a time.

Nothing is read ahead, so that a frame can leave before the next one comes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from iart.errors import DataError, listing
from iart.image import to_tensor, to_uint8
from iart.video.color import HD_LINES, Coding
from iart.video.pictures import plane_array, rgb_planes, to_frame

_MAGIC, _FRAME = b'YUV4MPEG2', b'FRAME'
_LONGEST_LINE = 4096
_SECOND = Fraction(1)  # frames here have no times
# Color space of the header → pixel format of FFmpeg, and where chroma lies.
_FORMATS = {
    '420jpeg': ('yuv420p', 'center'),
    '420mpeg2': ('yuv420p', 'left'),
    '420paldv': ('yuv420p', 'top left'),
    '420': ('yuv420p', 'left'),
    '422': ('yuv422p', 'left'),
    '444': ('yuv444p', 'left'),
    'mono': ('gray', 'left'),
    **{f'{kind}p{bits}': (f'yuv{kind}p{bits}le', 'left') for kind in ('420', '422', '444') for bits in (10, 12, 16)},
    **{f'mono{bits}': (f'gray{bits}le', 'left') for bits in (10, 12, 16)},
}


@dataclass(frozen=True)
class RawRGB:
    """Frames of rgb24 without any header: h·w·3 bytes each.

    Args:
        height, width: size of a frame, in pixels.
    """

    height: int
    width: int

    def __str__(self) -> str:
        return f'rawvideo rgb24 {self.width}×{self.height}'

    def frames(self, stream: BinaryIO) -> Iterator[Tensor]:
        """Yield (3, h, w) float32 in [0, 1] until the stream ends.

        Raises:
            DataError: it ends within a frame.
        """
        size, number = self.height * self.width * 3, 0
        while content := _read(stream, size, number):
            pixels = np.frombuffer(content, np.uint8).reshape(self.height, self.width, 3)
            yield to_tensor(pixels.copy())
            number += 1

    def enlarged(self, scale: int) -> 'RawRGB':
        """Return the same format for frames ``scale`` times as large."""
        return RawRGB(self.height * scale, self.width * scale)

    def header(self) -> bytes:
        """Return what is written before the first frame."""
        return b''

    def encode(self, rgb: Tensor) -> bytes:
        """Return the bytes of a (3, h, w) frame in [0, 1]."""
        return to_uint8(rgb).tobytes()


@dataclass(frozen=True)
class Y4M:
    """What the header of a y4m stream states.

    The format does not state the matrix: it is BT.709 from 720 lines up and BT.601 below, of input and output each, as
    readers assume.

    Args:
        height, width: size of a frame, in pixels.
        space: color space, a name of the format's ``C`` parameter.
        full: full range (``XCOLORRANGE=FULL``).
        rest: frame rate, interlacing and pixel aspect as they are written, which the output keeps.
    """

    height: int
    width: int
    space: str
    full: bool
    rest: tuple[str, ...]

    def __str__(self) -> str:
        return f'y4m {self.width}×{self.height} {self.space}'

    @property
    def coding(self) -> Coding:
        """How the numbers mean colors."""
        name, siting = _FORMATS[self.space]
        bits = 8 if name in ('yuv420p', 'yuv422p', 'yuv444p', 'gray') else int(name.removesuffix('le')[-2:])
        return Coding('BT.709' if self.height >= HD_LINES else 'BT.601', self.full, bits, siting)

    def frames(self, stream: BinaryIO) -> Iterator[Tensor]:
        """Yield (3, h, w) float32 in [0, 1] until the stream ends.

        Raises:
            DataError: it ends within a frame, or something else than a frame comes.
        """
        import av

        frame, coding = av.VideoFrame(self.width, self.height, _FORMATS[self.space][0]), self.coding
        sizes = [plane_array(frame, number).shape for number in range(len(frame.planes))]
        dtype, number = np.dtype('<u2' if coding.bits > 8 else 'u1'), 0
        while line := _line(stream):
            if not line.startswith(_FRAME):
                raise DataError(f'standard input, frame {number}: got {line[:20]!r}, expected FRAME of a y4m stream')
            for plane, (height, width) in zip(frame.planes, sizes, strict=True):
                content = _read(stream, height * width * dtype.itemsize, number, inside=True)
                rows = np.zeros((height, plane.line_size // dtype.itemsize), dtype)
                rows[:, :width] = np.frombuffer(content, dtype).reshape(height, width)
                plane.update(rows.tobytes())
            yield torch.from_numpy(rgb_planes(frame, coding))
            number += 1

    def enlarged(self, scale: int) -> 'Y4M':
        """Return the same format for frames ``scale`` times as large; their chroma lies to the left."""
        space = '420mpeg2' if self.space in ('420', '420jpeg', '420paldv') else self.space
        return replace(self, height=self.height * scale, width=self.width * scale, space=space)

    def header(self) -> bytes:
        """Return what is written before the first frame."""
        extent = 'XCOLORRANGE=FULL' if self.full else 'XCOLORRANGE=LIMITED'
        words = [_MAGIC.decode(), f'W{self.width}', f'H{self.height}', *self.rest, f'C{self.space}', extent]
        return ' '.join(words).encode() + b'\n'

    def encode(self, rgb: Tensor) -> bytes:
        """Return the bytes of a (3, h, w) frame in [0, 1]."""
        name, _ = _FORMATS[self.space]
        gray = name.startswith('gray')
        bits = '' if self.coding.bits == 8 else f'{self.coding.bits}le'
        frame = to_frame(rgb, f'yuv420p{bits}' if gray else name, self.coding, 0, 1, _SECOND)
        planes = [np.ascontiguousarray(plane_array(frame, number)) for number in range(1 if gray else 3)]
        return _FRAME + b'\n' + b''.join(plane.tobytes() for plane in planes)


def y4m_header(stream: BinaryIO) -> Y4M:
    """Read the header of a y4m stream.

    Raises:
        DataError: it is none, or of a kind that is not read.
    """
    line = _line(stream)
    if not line.startswith(_MAGIC + b' '):
        raise DataError(
            f'standard input: got {line[:20]!r}, expected a y4m stream, for example of  ffmpeg -i INPUT -f '
            'yuv4mpegpipe -  , or raw rgb24 frames with  --raw WIDTHxHEIGHT'
        )
    words = line.decode('ascii', 'replace').split()[1:]
    parameters = {word[0]: word[1:] for word in words if word[0] in 'WHCI'}
    space = parameters.get('C', '420jpeg')
    if space not in _FORMATS:
        raise DataError(f'standard input: got color space C{space}, expected one of {listing(_FORMATS, 30)}')
    if parameters.get('I', 'p') not in ('p', '?'):
        raise DataError(
            f'standard input: is interlaced (I{parameters["I"]}), expected whole frames: deinterlace first, for '
            "example with FFmpeg's  -vf bwdif"
        )
    sides = [parameters.get(side, '') for side in 'HW']
    if not all(side.isdigit() and 0 < int(side) < 1 << 16 for side in sides):
        raise DataError(f'standard input: got a y4m header without a size ({line[:60]!r}), expected W and H')
    rest = tuple(word for word in words if word[0] in 'FIA')
    return Y4M(int(sides[0]), int(sides[1]), space, 'XCOLORRANGE=FULL' in words, rest)


def _line(stream: BinaryIO) -> bytes:
    return stream.readline(_LONGEST_LINE).rstrip(b'\n')


def _read(stream: BinaryIO, size: int, number: int, *, inside: bool = False) -> bytes:
    """Return ``size`` bytes; none where the stream ends before them and not ``inside`` of a frame."""
    parts, missing = list[bytes](), size
    while missing and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    if missing and (inside or parts):
        raise DataError(
            f'standard input ends {missing} bytes before frame {number} does: the program that writes it stopped, or '
            'its frames have another size'
        )
    return b''.join(parts)
