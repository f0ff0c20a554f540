"""Clips of a still picture under a smooth random camera motion, and pictures: text, bricks, facades, gratings."""

from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from iart.image import Frame

HEIGHT, WIDTH = 272, 480  # size of the frames
_FINER = 2  # a frame is rendered so many times as large, then averaged down: no aliases
_PAGE = (900, 1500)  # height and width of a page of patterns
_PAGE_FINER = 2


def film(picture: Frame, frames: int, rng: np.random.Generator) -> Iterator[Frame]:
    """Move a camera over a picture: it pans, turns and zooms, all smoothly.

    Args:
        picture: (h, w, 3) uint8; enlarged if it is too small for the camera's path.
        frames: number of frames to yield.
        rng: random numbers of the camera's path.

    Yields:
        (272, 480, 3) uint8.
    """
    zoom = rng.uniform(1.0, 1.8)  # picture pixels per frame pixel
    need = 1.25 * max(HEIGHT * zoom / picture.shape[0], WIDTH * zoom / picture.shape[1])
    if need > 1:
        zoom /= need
    times = np.linspace(0, 1, frames)
    speed = rng.uniform(0.3, 4.0) * frames  # frame pixels over the whole clip
    heading = rng.uniform(0, 2 * np.pi)
    shake = [_wave(rng, times) * rng.uniform(0, 3.0) for _ in range(2)]
    across = (np.cos(heading) * speed * (times - 0.5) + shake[0]) * zoom
    down = (np.sin(heading) * speed * (times - 0.5) + shake[1]) * zoom
    angle = _wave(rng, times) * rng.uniform(0, np.radians(4)) + rng.uniform(-0.2, 0.2)
    scale = zoom * np.exp(_wave(rng, times) * rng.uniform(0, 0.12))
    reach = [
        min(0.5 * side, 0.6 * size * zoom + 0.5 * speed * zoom)
        for side, size in zip(picture.shape[:2], (HEIGHT, WIDTH), strict=True)
    ]
    center = [
        rng.uniform(r, side - r) if side > 2 * r else side / 2 for r, side in zip(reach, picture.shape[:2], strict=True)
    ]
    for i in range(frames):
        cos, sin = np.cos(angle[i]) * scale[i] / _FINER, np.sin(angle[i]) * scale[i] / _FINER
        middle = np.array([WIDTH * _FINER / 2 - 0.5, HEIGHT * _FINER / 2 - 0.5])
        turn = np.array([[cos, -sin], [sin, cos]])
        place = np.array([center[1] + across[i], center[0] + down[i]])
        matrix = np.column_stack((turn, place - turn @ middle))
        size = (WIDTH * _FINER, HEIGHT * _FINER)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        large = cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        yield cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def page(rng: np.random.Generator) -> Frame:
    """Draw text, bricks, a facade or gratings: straight edges and small print, (900, 1500, 3) uint8."""
    height, width = (side * _PAGE_FINER for side in _PAGE)
    dark, light = sorted(rng.integers(0, 256, (2, 3)).tolist(), key=sum)
    if sum(light) - sum(dark) < 200:
        dark, light = [c // 3 for c in dark], [255 - (255 - c) // 3 for c in light]
    if rng.random() < 0.5:
        dark, light = light, dark
    canvas = Image.new('RGB', (width, height), tuple(light))
    draw = ImageDraw.Draw(canvas)
    [_text, _bricks, _facade, _gratings][int(rng.integers(4))](draw, rng, (height, width), tuple(dark))
    picture = cv2.resize(np.asarray(canvas), (_PAGE[1], _PAGE[0]), interpolation=cv2.INTER_AREA).astype(np.float32)
    # Real surfaces are neither evenly lit nor without grain.
    light_map = cv2.resize(
        rng.uniform(0.7, 1.1, (4, 6)).astype(np.float32), (_PAGE[1], _PAGE[0]), interpolation=cv2.INTER_CUBIC
    )
    grain = cv2.resize(rng.normal(0, 6, (_PAGE[0] // 2, _PAGE[1] // 2)).astype(np.float32), (_PAGE[1], _PAGE[0]))
    return np.clip(picture * light_map[..., None] + grain[..., None], 0, 255).astype(np.uint8)


def _wave(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * (rng.uniform(0.3, 1.5) * times + rng.random()))


def _text(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: tuple[int, int], ink: tuple[int, ...]) -> None:
    height, width = size
    letters = list('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,-&')
    top = 10
    while top < height:
        points = int(rng.integers(18, 110))
        line = ' '.join(''.join(rng.choice(letters, int(rng.integers(2, 9)))) for _ in range(width // (3 * points) + 1))
        draw.text((int(rng.integers(-40, 40)), top), line, fill=ink, font=ImageFont.load_default(points))
        top += int(points * rng.uniform(1.1, 1.6))


def _bricks(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: tuple[int, int], ink: tuple[int, ...]) -> None:
    high = int(rng.integers(14, 60))
    wide, joint = int(high * rng.uniform(1.5, 3.5)), int(rng.integers(2, 8))
    for row, top in enumerate(range(0, size[0], high + joint)):
        for left in range(-(row % 2) * wide // 2, size[1], wide + joint):
            shade = rng.uniform(0.75, 1.1)
            draw.rectangle((left, top, left + wide, top + high), fill=tuple(min(255, int(c * shade)) for c in ink))


def _facade(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: tuple[int, int], ink: tuple[int, ...]) -> None:
    left = 0
    while left < size[1]:
        house = int(rng.integers(150, 700))
        high, wide = int(rng.integers(16, 60)), int(rng.integers(8, 50))
        gap_down, gap_across = int(rng.integers(6, 40)), int(rng.integers(4, 40))
        for top in range(int(rng.integers(0, 60)), size[0], high + gap_down):
            for x in range(left + 5, min(left + house, size[1]) - wide, wide + gap_across):
                shade = rng.uniform(0.6, 1.2)
                draw.rectangle((x, top, x + wide, top + high), fill=tuple(min(255, int(c * shade)) for c in ink))
                if rng.random() < 0.5:
                    draw.line((x + wide // 2, top, x + wide // 2, top + high), fill=(200, 200, 200), width=2)
        left += house + int(rng.integers(4, 40))


def _gratings(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: tuple[int, int], ink: tuple[int, ...]) -> None:
    for _ in range(60):
        x, y = int(rng.integers(-100, size[1])), int(rng.integers(-100, size[0]))
        side, period, thick = int(rng.integers(100, 500)), int(rng.integers(8, 40)), int(rng.integers(2, 12))
        across, along = rng.uniform(-1, 1), rng.uniform(-1, 1)
        shade = tuple(min(255, int(c * rng.uniform(0.3, 1.3))) for c in ink)
        for offset in range(0, side, period):
            start = (x + offset * across - side * along, y + offset * along + side * across)
            stop = (x + offset * across + side * along, y + offset * along - side * across)
            draw.line((*start, *stop), fill=shade, width=thick)
