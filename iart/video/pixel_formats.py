"""Facts about FFmpeg's pixel formats, asked of the formats themselves and not guessed from their names."""

from functools import lru_cache
from typing import Any

FLOAT_OR_32 = 'floating-point or 32-bit samples'


@lru_cache
def _format(pix_fmt: str) -> Any:
    import av

    return av.VideoFormat(pix_fmt, 16, 16)


def is_rgb(pix_fmt: str) -> bool:
    """Return whether a pixel format holds RGB, or a palette of it, instead of luma and chroma.

    XYZ counts as RGB: FFmpeg converts it to RGB, with the transfer function that belongs to it.
    """
    description = _format(pix_fmt)
    return bool(description.is_rgb or description.has_palette or pix_fmt.startswith('xyz'))


def is_gray(pix_fmt: str) -> bool:
    """Return whether a pixel format holds luma alone (perhaps with alpha)."""
    colors = [c for c in _format(pix_fmt).components if not c.is_alpha]
    return len(colors) == 1 and not is_rgb(pix_fmt)


def has_alpha(pix_fmt: str) -> bool:
    """Return whether a pixel format holds transparency beside the picture."""
    return any(c.is_alpha for c in _format(pix_fmt).components)


def depth(pix_fmt: str) -> int:
    """Return the number of bits of a pixel format's first component."""
    return int(_format(pix_fmt).components[0].bits)


def unsupported(pix_fmt: str) -> str:
    """Return why the numbers of a pixel format cannot be read as RGB in [0, 1]; '' where they can."""
    if not _format(pix_fmt).components:
        return 'frames in the memory of a decoding device'
    # FFmpeg's names of floating point end in f16le, f32be, ...; only this distinguishes it from integers
    is_float = pix_fmt.rstrip('lbe').endswith(('f16', 'f32'))
    return FLOAT_OR_32 if is_float or depth(pix_fmt) > 16 else ''


def subsampling(pix_fmt: str) -> str:
    """Return the one of ``420``, ``422`` and ``444`` that loses no chroma of a pixel format.

    Gray formats give ``420``, RGB formats ``444``.
    """
    if is_gray(pix_fmt):
        return '420'
    if is_rgb(pix_fmt):
        return '444'
    description = _format(pix_fmt)
    # chroma_width() of the packed 4:4:4 and two-plane 4:4:4 formats is right, although PyAV calls none of their
    # components chroma
    size = description.chroma_width(16), description.chroma_height(16)
    return {(8, 8): '420', (8, 16): '422'}.get(size, '444')
