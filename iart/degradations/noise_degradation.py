"""Gaussian and Poisson noise, in color or gray."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from iart.degradations.step import (
    Drift,
    Image,
    Range,
    Shares,
    Step,
    check_range,
    check_shares,
    check_steps,
    choose,
    to_bytes,
)
from iart.registry import DEGRADATION_REGISTRY, SUFFIX

_KINDS = ('gaussian', 'poisson')


@DEGRADATION_REGISTRY.register(suffix=SUFFIX)
@dataclass(frozen=True, kw_only=True)
class RandomNoise(Step):
    """Add noise that is new in every frame and whose strength drifts.

    Poisson noise is that of photons, with as many levels as the frame has gray values (rounded up to a power of two),
    times a factor.

    Args:
        kinds: share of ``gaussian`` and ``poisson``; one is drawn per clip.
        sigma: standard deviation of Gaussian noise, in gray levels.
        sigma_step: largest change of it from one frame to the next.
        scale: factor on Poisson noise.
        scale_step: largest change of it from one frame to the next.
        gray: chance that the noise of a clip is gray: the same in all three channels.
    """

    kinds: Shares = field(default_factory=lambda: dict.fromkeys(_KINDS, 1.0))
    sigma: Range = (1.0, 30.0)
    sigma_step: float = 0.0
    scale: Range = (0.05, 3.0)
    scale_step: float = 0.0
    gray: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares('kinds', self.kinds, _KINDS)
        check_range('sigma', self.sigma, 0, 255)
        check_range('scale', self.scale, 0)
        check_steps(sigma_step=self.sigma_step, scale_step=self.scale_step)
        if not 0 <= self.gray <= 1:
            raise ValueError(f'gray: got {self.gray}, expected 0 to 1')

    def apply(self, frames: Iterable[Image], rng: np.random.Generator, lq_size: tuple[int, int]) -> Iterator[Image]:
        gaussian, gray = choose(self.kinds, rng) == 'gaussian', rng.random() < self.gray
        limits, step = (self.sigma, self.sigma_step) if gaussian else (self.scale, self.scale_step)
        strength = Drift(rng.uniform(*limits), step, limits, rng)
        for frame in frames:
            source = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None], np.float32) if gray else frame
            noise = _gaussian(source, rng) if gaussian else _poisson(source, rng)
            yield frame + noise * np.float32(strength.next())


def _gaussian(image: Image, rng: np.random.Generator) -> Image:
    return rng.standard_normal(image.shape, np.float32)


def _poisson(image: Image, rng: np.random.Generator) -> Image:
    """Return noise of the image's own brightness, in gray levels."""
    rounded = to_bytes(image)
    values = np.count_nonzero(np.bincount(rounded.ravel(), minlength=256))
    photons = 2 ** int(np.ceil(np.log2(values)))
    drawn = rng.poisson(rounded * (photons / 255.0))
    return (drawn * (255.0 / photons) - rounded).astype(np.float32)
