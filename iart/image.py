"""Frames in and out: PNG and other images, video files, uint8 to tensor and back, natural order of names.

Frames are RGB, 8 bits, three channels everywhere inside; OpenCV's BGR order does not leave this file.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from iart.errors import DataError
from iart.files import write_bytes

Frame = NDArray[np.uint8]
Size = tuple[int, int]

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
_PNG_START, _JPEG_START = b'\x89PNG', b'\xff\xd8'
_WANTED = 'expected 8 bits and 3 channels (RGB)'


def natural_key(name: str | os.PathLike[str]) -> tuple[list[str | int], str]:
    """Sort key under which ``im2`` comes before ``im10``; names that differ in leading zeros only keep a fixed
    order."""
    text = os.fspath(name)
    pieces: list[str | int] = [int(p) if i % 2 else p for i, p in enumerate(re.split(r'(\d+)', text))]
    return pieces, text


def read_image(path: str | os.PathLike[str]) -> Frame:
    """Read one frame as (h, w, 3) uint8 RGB.

    Raises:
        DataError: the file is missing, empty, cut short, damaged, grey, with alpha, or not 8 bits deep.
    """
    return decode_image(read_bytes(path), os.fspath(path))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Contents of a file; DataError naming it where that fails."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f'{os.fspath(path)}: cannot be read ({error.strerror}), expected an image file') from error


def decode_image(data: bytes, name: str) -> Frame:
    """Decode an image file held in memory to (h, w, 3) uint8 RGB.

    Args:
        data: the bytes of a PNG, JPEG, BMP or TIFF file.
        name: what to call it in messages.

    Raises:
        DataError: the data are empty, cut short, damaged, grey, with alpha, or not 8 bits deep.
    """
    if not data:
        raise DataError(f'{name}: the file is empty, expected an image')
    if _cut_short(data):
        raise DataError(f'{name}: the image is cut short ({len(data)} bytes, no end mark); copy the file again')
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DataError(f'{name}: the image cannot be decoded ({error.err})') from error
    if image is None:
        raise DataError(f'{name}: the image cannot be decoded: damaged, or no image at all')
    if image.dtype != np.uint8:
        raise DataError(f'{name}: got {image.dtype.itemsize * 8} bits per channel ({image.dtype}); {_WANTED}')
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels != 3:
        kind = {1: 'grey', 2: 'grey with alpha', 4: 'RGB with alpha'}.get(channels, 'unknown')
        raise DataError(f'{name}: got {channels} channel{"s" if channels > 1 else ""} ({kind}); {_WANTED}')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _cut_short(data: bytes) -> bool:
    """Whether a PNG or JPEG lacks its end mark; some versions of the decoder fill such an image up with grey."""
    if data.startswith(_PNG_START):
        return b'IEND' not in data
    if not data.startswith(_JPEG_START):
        return False
    at = 2
    while (
        data[at : at + 1] == b'\xff' and data[at + 1 : at + 2] != b'\xda'
    ):  # segments before the pixels; one may hold a thumbnail
        at += 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
    return b'\xff\xd9' not in data[at:]


def encode_png(image: Frame, compression: int = 3) -> bytes:
    """Encode (h, w, 3) uint8 RGB as PNG; ``compression`` from 0 (fast) to 9 (small)."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'encode_png: got shape {image.shape} of {image.dtype}, expected (h, w, 3) of uint8')
    done, data = cv2.imencode(
        '.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, compression]
    )
    if not done:
        raise RuntimeError(f'OpenCV could not encode an image of shape {image.shape}')
    return data.tobytes()


def write_png(path: str | os.PathLike[str], image: Frame, compression: int = 3) -> None:
    """Write (h, w, 3) uint8 RGB under a temporary name, then rename: an interrupted run leaves no half file.

    Folders on the way are made.

    Raises:
        DataError: the file cannot be written.
    """
    write_bytes(Path(path), encode_png(image, compression))


def to_tensor(frames: Frame) -> torch.Tensor:
    """(..., h, w, 3) uint8 to (..., 3, h, w) float32 in [0, 1]; the inverse of :func:`to_uint8`."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(frames, -1, -3))).float().div_(255)


def to_uint8(frames: torch.Tensor) -> Frame:
    """(..., 3, h, w) float in [0, 1] to (..., h, w, 3) uint8: clamped, x 255, rounded half to even."""
    scaled = frames.detach().float().clamp(0, 1).mul(255).round().to('cpu', torch.uint8)
    return np.ascontiguousarray(np.moveaxis(scaled.numpy(), -3, -1))


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(h, w) of an image file, from its header alone.

    Raises:
        DataError: the file is missing, empty or no image.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except UnidentifiedImageError as error:
        found = 'an empty file' if os.path.getsize(path) == 0 else 'something else'
        raise DataError(f'{os.fspath(path)}: got {found}, expected an image') from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f'{os.fspath(path)}: the image header cannot be read ({error})') from error


def video_frames(path: str | os.PathLike[str]) -> Iterator[Frame]:
    """The frames of a video file's first video stream, one after the other, each (h, w, 3) uint8 RGB.

    Raises:
        DataError: the file is missing, holds no video stream or is damaged.
    """
    import av  # here, because only video files need it

    name = os.fspath(path)
    try:
        with av.open(name) as container:
            if not container.streams.video:
                raise DataError(f'{name}: got no video stream, expected a video file')
            container.streams.video[0].thread_type = 'AUTO'
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format='rgb24').astype(np.uint8, copy=False)
    except (av.error.FFmpegError, OSError) as error:
        raise DataError(f'{name}: cannot be read as video ({error})') from error
