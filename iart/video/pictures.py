"""Decoded frames, converted to tensors on demand, and tensors converted to frames for encoding.

:func:`rgb_planes` and :func:`rgb_pixels` are the one way from a decoded frame to RGB; training data, the commands for
data, upscaling and the demo all go through them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iart import image
from iart.video import pyav
from iart.video.chroma import enlarge_part, reduce
from iart.video.color import KR_KB, Coding, rgb_to_ycbcr
from iart.video.orientation import UPRIGHT, Orientation
from iart.video.pixel_formats import depth, is_gray, is_rgb, subsampling

_PLANAR = re.compile(r'yuv[aj]?(420|422|444)p(\d\d?)?(le)?')
_PLANAR_GRAY = re.compile(r'gray(\d\d?)?(le)?')
_PLANAR_RGB = re.compile(r'gbra?p\d\d?le')
_STRIP = 64  # rows converted at a time: intermediate results stay in the processor's cache


class Picture(Protocol):
    """One frame."""

    def rgb(self) -> Tensor:
        """Return (3, h, w) float32 in [0, 1]."""
        ...


@dataclass(frozen=True)
class Shown:
    """A frame and when it is shown.

    Args:
        picture: the frame.
        pts: when, in units of its stream.
        duration: duration in the same units; 0 if unknown.
    """

    picture: Picture
    pts: int
    duration: int


@dataclass(frozen=True)
class Still:
    """A frame that was read from an image file.

    Args:
        pixels: (h, w, 3) uint8 or uint16 RGB.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]

    def rgb(self) -> Tensor:
        planes = np.ascontiguousarray(np.moveaxis(self.pixels, -1, 0), np.float32)
        return torch.from_numpy(planes).div_(float(np.iinfo(self.pixels.dtype).max))


@dataclass(frozen=True)
class Decoded:
    """A frame of a video, in the video's own format: an eighth of the memory of its tensor.

    Args:
        frame: PyAV's.
        coding: color coding of its numbers; for RGB formats only the depth matters.
        orientation: rotation for display.
    """

    frame: Any
    coding: Coding
    orientation: Orientation = UPRIGHT

    def rgb(self) -> Tensor:
        planes = rgb_planes(self.frame, self.coding)
        if self.orientation != UPRIGHT:
            planes = np.stack([self.orientation.apply(plane) for plane in planes])
        return torch.from_numpy(planes)


class Part(NamedTuple):
    """Rows and columns of a frame, each from and to before."""

    rows: tuple[int, int]
    columns: tuple[int, int]


def rgb_planes(frame: Any, coding: Coding, part: Part | None = None) -> NDArray[np.float32]:
    """Convert a decoded frame to (3, h, w) float32 R'G'B' in [0, 1].

    Args:
        frame: PyAV's frame, in any pixel format of integers.
        coding: how its numbers mean colors.
        part: convert this part only; its bits are those of the whole frame.
    """
    (top, bottom), (left, right) = part = part or _whole(frame)
    out = np.empty((3, bottom - top, right - left), np.float32)
    for first, strip in _strips(frame, coding, part):
        out[:, first : first + strip.shape[1]] = strip
    return out


def rgb_pixels(frame: Any, coding: Coding, part: Part | None = None) -> image.Frame:
    """Convert a decoded frame to (h, w, 3) uint8 R'G'B': what :func:`rgb_planes` gives, rounded half to even."""
    (top, bottom), (left, right) = part = part or _whole(frame)
    if is_rgb(frame.format.name) and coding.bits == 8:
        return np.ascontiguousarray(frame.to_ndarray(format='rgb24')[top:bottom, left:right])
    out = np.empty((bottom - top, right - left, 3), np.uint8)
    for first, strip in _strips(frame, coding, part):
        strip *= np.float32(255)
        levels = np.rint(strip, out=strip).astype(np.uint8)
        out[first : first + strip.shape[1]] = cv2.merge(list(levels))
    return out


def _whole(frame: Any) -> Part:
    return Part((0, frame.height), (0, frame.width))


def _strips(frame: Any, coding: Coding, part: Part) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the part's rows a few at a time: the first one's number within the part, and (3, rows, w) in [0, 1]."""
    name = frame.format.name
    planes = _rgb_of(frame, coding.bits) if is_rgb(name) else _ycbcr_of(frame, coding.bits)
    size = (frame.height, frame.width)
    for first in range(part.rows[0], part.rows[1], _STRIP):
        rows = first, min(first + _STRIP, part.rows[1])
        y = planes[0][slice(*rows), slice(*part.columns)].astype(np.float32)
        if is_rgb(name):
            rest = [plane[slice(*rows), slice(*part.columns)].astype(np.float32) for plane in planes[1:]]
            strip = np.stack([y, *rest])
            strip /= np.float32((1 << coding.bits) - 1)
        else:
            chroma = [enlarge_part(plane, size, coding.siting, rows, part.columns) for plane in planes[1:]]
            strip = _to_rgb(y, chroma, coding)
        yield first - part.rows[0], np.clip(strip, 0, 1, out=strip)


def _to_rgb(y: NDArray[np.float32], chroma: list[NDArray[Any]], coding: Coding) -> NDArray[np.float32]:
    """Return (3, h, w) R'G'B' of luma (changed in place) and of no or both chroma planes, all in levels."""
    kr, kb = KR_KB[coding.matrix]
    zero, luma, middle, extent = (np.float32(n) for n in coding.scales)
    y -= zero
    y /= luma
    if not chroma:
        return np.stack([y, y, y])
    blue, red = (plane.astype(np.float32) - middle for plane in chroma)
    kg = 1 - kr - kb
    to_red, to_blue = (2 - 2 * kr) / float(extent), (2 - 2 * kb) / float(extent)
    rgb = np.empty((3, *y.shape), np.float32)
    np.multiply(red, np.float32(to_red), out=rgb[0])
    np.multiply(blue, np.float32(to_blue), out=rgb[2])
    # green = (y − kr·(y + r) − kb·(y + b)) / kg = y − (kr·r + kb·b) / kg
    np.multiply(rgb[0], np.float32(-kr / kg), out=rgb[1])
    np.multiply(rgb[2], np.float32(kb / kg), out=blue)
    rgb[1] -= blue
    rgb += y
    return rgb


def _rgb_of(frame: Any, bits: int) -> list[NDArray[Any]]:
    """Return the planes red, green and blue of a frame, in levels of ``bits``."""
    name = frame.format.name
    if bits == 8:
        pixels = frame.to_ndarray(format='rgb24')
        return [pixels[..., channel] for channel in range(3)]
    if not _PLANAR_RGB.fullmatch(name):
        frame = frame.reformat(format=f'gbrp{bits}le')
    green, blue, red = (plane_array(frame, number) for number in range(3))
    return [red, green, blue]


def _ycbcr_of(frame: Any, bits: int) -> list[NDArray[Any]]:
    """Return the planes of a frame, luma first (one plane: gray), in levels of ``bits``."""
    name = frame.format.name
    if is_gray(name):
        if not _PLANAR_GRAY.fullmatch(name):
            # swscale takes all gray to be full range: black and white of one bit become 0 and 255
            frame = frame.reformat(format='gray' if bits == 8 else 'gray16le')
        return [_in_levels(plane_array(frame, 0), frame, bits)]
    if not _PLANAR.fullmatch(name):
        frame = pyav.repack(frame, f'yuv{subsampling(name)}p' + ('' if bits == 8 else '16le'))
    return [_in_levels(plane_array(frame, number), frame, bits) for number in range(3)]


def _in_levels(plane: NDArray[Any], frame: Any, bits: int) -> NDArray[Any]:
    """Return a plane in levels of ``bits`` where its format has been deepened to hold them."""
    unit = 1 << (depth(frame.format.name) - bits)
    return plane if unit == 1 else plane.astype(np.float32) / np.float32(unit)


def plane_array(frame: Any, number: int) -> NDArray[Any]:
    """Return one plane of a planar frame as (h, w) uint8 or uint16, without the padding of its lines."""
    plane = frame.planes[number]
    wide = frame.format.components[0].bits > 8
    values = np.frombuffer(plane, np.uint16 if wide else np.uint8)
    return values.reshape(plane.height, plane.line_size // (2 if wide else 1))[:, : plane.width]


def to_frame(rgb: Tensor, pix_fmt: str, coding: Coding, pts: int, duration: int, time_base: Fraction) -> Any:
    """Return a frame to encode.

    Args:
        rgb: (3, h, w) in [0, 1], on the CPU.
        pix_fmt: ``yuv4__p``, ``gbrp`` and their deeper kinds, or anything that FFmpeg makes of them.
        coding: its ``bits`` are those of ``pix_fmt``.
        pts: when it is shown, in units of ``time_base``.
        duration: for how long.
        time_base: in seconds.
    """
    import av

    if is_rgb(pix_fmt):
        base, planes = _rgb_planes(rgb, coding.bits)
    else:
        kind = subsampling(pix_fmt)
        y, *chroma = rgb_to_ycbcr(rgb, coding)
        planes = [y, *(reduce(plane, across=kind != '444', down=kind == '420') for plane in chroma)]
        base = f'yuv{kind}p' + _ending(coding.bits)
    frame = av.VideoFrame(rgb.shape[2], rgb.shape[1], base)
    for plane, values in zip(frame.planes, planes, strict=True):
        _fill(plane, values, coding.bits)
    if base != pix_fmt:
        frame = pyav.repack(frame, pix_fmt)
    frame.pts, frame.duration, frame.time_base = pts, duration, time_base
    return frame


def _rgb_planes(rgb: Tensor, bits: int) -> tuple[str, list[Tensor]]:
    red, green, blue = rgb * ((1 << bits) - 1)
    return 'gbrp' + _ending(bits), [green, blue, red]


def _ending(bits: int) -> str:
    return f'{bits}le' if bits > 8 else ''


def _fill(plane: Any, values: Tensor, bits: int) -> None:
    dtype: type[np.generic] = np.uint16 if bits > 8 else np.uint8
    lines = np.zeros((plane.height, plane.line_size // np.dtype(dtype).itemsize), dtype)
    lines[:, : plane.width] = values.round().clamp(0, (1 << bits) - 1).numpy().astype(dtype)
    plane.update(lines)
