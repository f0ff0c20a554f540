"""Pictures for rendered clips: photographs from a folder, and randomly drawn textures."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from iart.errors import DataError
from iart.image import IMAGE_SUFFIXES, Frame, natural_key, read_image

SIDE = 640  # of a drawn texture, in pixels
_LEAST = 160  # of a photograph's shorter side

Picture = NDArray[np.float32]


def stills_in(folder: str | Path) -> list[Path]:
    """Return the images in a folder and its subfolders, in natural order.

    Raises:
        DataError: there is no such folder, or it contains no image.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f'{root}: no such folder, expected one with photographs')
    images = [path for path in root.rglob('*') if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise DataError(f'{root}: got no images, expected photographs ({", ".join(sorted(IMAGE_SUFFIXES))})')
    return sorted(images, key=lambda path: natural_key(path.relative_to(root).as_posix()))


def photograph(rng: np.random.Generator, path: Path, largest: int = 1600) -> Picture:
    """Return a photograph as (h, w, 3) in [0, 1], reduced to at most ``largest`` pixels a side, randomly mirrored.

    Raises:
        DataError: it cannot be read, or is too small.
    """
    image = read_image(path)
    h, w = image.shape[:2]
    if min(h, w) < _LEAST:
        raise DataError(f'{path}: got {w}x{h} pixels, expected at least {_LEAST} a side')
    factor = largest / max(h, w)
    if factor < 1:
        image = np.asarray(cv2.resize(image, (round(w * factor), round(h * factor)), interpolation=cv2.INTER_AREA))
    return _unit(image[:, ::-1] if rng.random() < 0.5 else image)


def texture(rng: np.random.Generator) -> Picture:
    """Draw one of four kinds of texture, (640, 640, 3) in [0, 1]: leaves, noise, gratings or bricks."""
    kinds = (_leaves, _noise, _gratings, _bricks)
    return kinds[int(rng.integers(len(kinds)))](rng)


def _leaves(rng: np.random.Generator) -> Picture:
    """Draw overlapping discs with a power law of radii: edges and areas at every scale, as in photographs."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    radii = np.concatenate([rng.uniform(60, 120, 80), np.sort(_power_law(rng, 1400, 5.0, 90.0))[::-1]])
    for radius in radii:
        center = rng.integers(-20, SIDE + 20, 2).tolist()
        axes = (max(1, round(radius)), max(1, round(radius * rng.uniform(0.4, 1.0))))
        cv2.ellipse(image, center, axes, float(rng.uniform(0, 180)), 0, 360, _color(rng), -1, cv2.LINE_AA)
    return np.clip(_unit(image) + 0.06 * (_noise(rng) - 0.5), 0, 1)


def _noise(rng: np.random.Generator) -> Picture:
    """Draw noise whose amplitude falls with frequency, with correlated channels."""
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE), indexing='ij'))
    f[0, 0] = 1
    falling = f ** -rng.uniform(1.1, 1.6)
    falling[0, 0] = 0
    planes = [np.fft.irfft2(np.fft.rfft2(rng.standard_normal((SIDE, SIDE))) * falling, (SIDE, SIDE)) for _ in range(4)]
    shared = planes[3] / planes[3].std()
    mixed = np.stack([0.8 * shared + 0.6 * plane / plane.std() for plane in planes[:3]], axis=-1)
    return np.clip(rng.uniform(0.35, 0.65, 3) + 0.17 * mixed, 0, 1).astype(np.float32)


def _gratings(rng: np.random.Generator) -> Picture:
    """Draw stripes of slowly changing direction and width, some too fine for an LR frame."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    image = np.zeros((SIDE, SIDE, 3), np.float32) + rng.uniform(0.3, 0.7, 3).astype(np.float32)
    for _ in range(3):
        angle, period = rng.uniform(0, np.pi), _power_law(rng, 1, 5.0, 24.0)[0]
        bend = rng.uniform(0, 12) * np.sin(2 * np.pi * (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)) / SIDE)
        wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle) + bend) / period)
        image += 0.16 * wave[..., None] * rng.uniform(0.4, 1, 3).astype(np.float32)
    return np.clip(image, 0, 1).astype(np.float32)


def _bricks(rng: np.random.Generator) -> Picture:
    """Draw a wall of rough bricks of different colors with thin joints."""
    image = np.full((SIDE, SIDE, 3), _color(rng), np.uint8)
    height, width, joint = int(rng.integers(12, 40)), int(rng.integers(24, 90)), int(rng.integers(1, 4))
    base = np.array(_color(rng))
    for row in range(SIDE // height + 1):
        for column in range(-1, SIDE // width + 2):
            x = column * width + (row % 2) * width // 2
            color = np.clip(base + rng.normal(0, 18, 3), 0, 255).tolist()
            corner = (x + width - 1 - joint, (row + 1) * height - 1 - joint)
            cv2.rectangle(image, (x, row * height), corner, color, -1)
    return np.clip(_unit(image) + 0.15 * (_noise(rng) - 0.5), 0, 1)


def _power_law(rng: np.random.Generator, count: int, least: float, most: float) -> NDArray[np.float64]:
    """Draw radii r in [least, most] with a density of r^-3, by inverting its distribution."""
    share = rng.random(count)
    return (least**-2 - share * (least**-2 - most**-2)) ** -0.5


def _color(rng: np.random.Generator) -> list[int]:
    return rng.integers(0, 256, 3).tolist()


def _unit(image: Frame) -> Picture:
    return (image / 255).astype(np.float32)
