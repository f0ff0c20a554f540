"""Reading and writing of frames: image files, uint8 to tensor and back, natural order of names.

Frames are 8-bit RGB everywhere in the package; OpenCV's BGR order is used in this file only.
"""

import os
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from iart import device as devices
from iart.errors import DataError
from iart.files import write_bytes

Frame = NDArray[np.uint8]
Size = tuple[int, int]

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
_PNG_START, _JPEG_START = b'\x89PNG', b'\xff\xd8'
_CONVERT = 'convert the frames first, for example  ffmpeg -i IN.png -pix_fmt rgb24 OUT.png'


def natural_key(name: str | os.PathLike[str]) -> tuple[list[str | int], str]:
    """Return a sort key that puts ``im2`` before ``im10``; names differing in leading zeros have a fixed order."""
    text = os.fspath(name)
    pieces: list[str | int] = [int(p) if i % 2 else p for i, p in enumerate(re.split(r'(\d+)', text))]
    return pieces, text


def read_image(path: str | os.PathLike[str]) -> Frame:
    """Read one frame as (h, w, 3) uint8 RGB.

    Gray becomes RGB, opaque alpha is dropped, and 16 bits become 8 where nothing is lost.

    Raises:
        DataError: the file is missing, empty, cut short or damaged, has transparent pixels, or more than
            8 bits.
    """
    return decode_image(read_bytes(path), os.fspath(path))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the contents of a file; DataError naming it if that fails."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f'{os.fspath(path)}: cannot be read ({error.strerror}), expected an image file') from error


def decode_image(data: bytes, name: str) -> Frame:
    """Decode an image file held in memory to (h, w, 3) uint8 RGB.

    Args:
        data: the bytes of a PNG, JPEG, BMP or TIFF file.
        name: the file's name for messages.

    Gray becomes RGB, opaque alpha is dropped, and 16 bits become 8 where nothing is lost.

    Raises:
        DataError: the data are empty, cut short or damaged, have transparent pixels, or more than 8 bits.
    """
    pixels = to_rgb(decode_pixels(data, name), name)
    if pixels.dtype == np.uint8:
        return pixels
    narrow, rest = np.divmod(pixels, 257)
    if rest.any():
        raise DataError(f'{name}: got 16 bits per channel, expected 8: {_CONVERT}')
    return narrow.astype(np.uint8)


def decode_pixels(data: bytes, name: str) -> Any:
    """Decode an image file in memory to OpenCV's array: (h, w) or (h, w, channels), BGR.

    Raises:
        DataError: the data are empty, cut short or damaged.
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
    return image


def to_rgb(image: Any, name: str) -> Any:
    """Convert the result of :func:`decode_pixels` to (h, w, 3) RGB of uint8 or uint16, if that is lossless.

    Gray becomes RGB; alpha that is opaque everywhere is dropped.

    Raises:
        DataError: the numbers are not integers of 8 or 16 bits, or pixels are not opaque.
    """
    if image.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f'{name}: got {image.dtype} per channel, expected integers of 8 or 16 bits: convert it first, for example  '
            f'ffmpeg -i {os.path.basename(name)} -pix_fmt rgb48 OUT.png'
        )
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels in (2, 4):
        if (image[..., -1] != np.iinfo(image.dtype).max).any():
            raise DataError(f'{name}: got transparent pixels (alpha), expected opaque ones: {_CONVERT}')
        image, channels = image[..., :-1], channels - 1
    if channels == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if channels != 3:
        raise DataError(f'{name}: got {channels} channels, expected gray, RGB or RGB with alpha')
    return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2RGB)


def _cut_short(data: bytes) -> bool:
    """Return whether a PNG or JPEG lacks its end mark; some decoders fill such an image with gray."""
    if data.startswith(_PNG_START):
        return b'IEND' not in data
    if not data.startswith(_JPEG_START):
        return False
    position = 2
    while (
        data[position : position + 1] == b'\xff' and data[position + 1 : position + 2] != b'\xda'
    ):  # segments before the pixels; one may hold a thumbnail
        position += 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
    return b'\xff\xd9' not in data[position:]


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
    """Write (h, w, 3) uint8 RGB under a temporary name, then rename, so that no incomplete file remains.

    Missing folders are created.

    Raises:
        DataError: the file cannot be written.
    """
    write_bytes(Path(path), encode_png(image, compression))


def to_tensor(frames: Frame, device: torch.device | None = None) -> torch.Tensor:
    """Convert (..., h, w, 3) uint8 to (..., 3, h, w) float32 in [0, 1]; the inverse of :func:`to_uint8`.

    Args:
        frames: uint8 RGB.
        device: where the tensor is to be; None for the CPU. Bytes are copied and converted there, which moves a
            quarter of the data; the bits are those of a conversion on the CPU.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(frames, -1, -3)))
    if device is None or devices.shares_host_memory(device):
        return pixels.float().div_(255)
    if devices.pins_memory(device):
        pixels = pixels.pin_memory()
    values = pixels.to(device, non_blocking=True).float()
    # By a tensor: torch multiplies by the reciprocal of a number on a GPU, which rounds differently.
    return values.div_(torch.full((), 255.0, device=device))


def to_uint8(frames: torch.Tensor) -> Frame:
    """Convert (..., 3, h, w) float in [0, 1] to (..., h, w, 3) uint8: clamp, multiply by 255, round half to even.

    The conversion takes place where the tensor is, so that a quarter of the data is copied from a GPU.
    """
    pixels = frames.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8).cpu()
    return np.ascontiguousarray(np.moveaxis(pixels.numpy(), -3, -1))


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the (h, w) of an image file, from its header.

    Raises:
        DataError: the file is missing, empty or not an image.
    """
    try:
        with Image.open(str(path)) as image:  # old Pillow resolves a Path: RuntimeError for a loop of links
            return image.height, image.width
    except UnidentifiedImageError as error:
        content = 'an empty file' if os.path.getsize(path) == 0 else 'a file of another format'
        raise DataError(f'{os.fspath(path)}: got {content}, expected an image') from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f'{os.fspath(path)}: the image header cannot be read ({error})') from error
