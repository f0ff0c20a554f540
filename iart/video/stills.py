"""Headers of image files (size, depth, transparency, pages), and reading of images at their own depth."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from iart.image import decode_pixels, image_size, read_bytes, to_rgb

_PNG_START = b'\x89PNG\r\n\x1a\n'
_BITS_PER_SAMPLE, _SAMPLE_FORMAT = 258, 339  # tags of TIFF
_FLOAT = 3  # a value of the second


@dataclass(frozen=True)
class ImageHeader:
    """The header of an image file.

    Args:
        size: (h, w).
        bits: depth of a channel.
        alpha: whether it has transparency.
        pages: number of pictures; more than 1 for an animated PNG and a TIFF of several pages.
        is_float: whether its numbers are floating point.
    """

    size: tuple[int, int]
    bits: int = 8
    alpha: bool = False
    pages: int = 1
    is_float: bool = False


def read_header(path: Path) -> ImageHeader:
    """Read the header of an image file.

    Raises:
        DataError: the file is missing, empty or not an image.
    """
    try:
        with Image.open(str(path)) as image, path.open('rb') as file:
            bits, is_float = _depth(image, file.read(25))
            alpha = image.mode in ('RGBA', 'LA', 'PA', 'La', 'RGBa') or 'transparency' in image.info
            return ImageHeader((image.height, image.width), bits, alpha, getattr(image, 'n_frames', 1), is_float)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        if path.suffix.lower() not in ('.tif', '.tiff'):
            return ImageHeader(image_size(path))  # raises with the reason
    # Pillow does not know some TIFF files that OpenCV reads, such as RGB of 16 bits
    pixels = decode_pixels(read_bytes(path), os.fspath(path))
    alpha = pixels.ndim == 3 and pixels.shape[2] in (2, 4)
    return ImageHeader(pixels.shape[:2], 8 * pixels.dtype.itemsize, alpha, 1, pixels.dtype.kind == 'f')


def _depth(image: Image.Image, start: bytes) -> tuple[int, bool]:
    """Return the bits of a channel, and whether it is floating point."""
    if start.startswith(_PNG_START):
        return max(8, start[24]), False  # of IHDR; Pillow calls PNG files of 16 bits RGB, too
    tags = getattr(image, 'tag_v2', {})
    bits = tags.get(_BITS_PER_SAMPLE, (8,))
    formats = tags.get(_SAMPLE_FORMAT, (1,))
    return max(8, *np.atleast_1d(bits).tolist()), _FLOAT in np.atleast_1d(formats) or image.mode == 'F'


def read_deep(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Read an image file as (h, w, 3) RGB at its own depth: uint8, or uint16.

    Gray becomes RGB, and alpha that is opaque everywhere is dropped.

    Raises:
        DataError: the file cannot be read, or not without loss.
    """
    name = os.fspath(path)
    return to_rgb(decode_pixels(read_bytes(path), name), name)
