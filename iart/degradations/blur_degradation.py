"""Blur with random kernels of seven shapes, and unsharp masking of the ground truth."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from iart.degradations.step import Drift, Image, Range, Shares, Step, check_range, check_shares, check_steps, choose
from iart.registry import DEGRADATION_REGISTRY, SUFFIX, blur_kernels, unsharp_mask

_GAUSSIAN = ('iso', 'aniso')
_GENERALIZED = ('generalized_iso', 'generalized_aniso')
_PLATEAU = ('plateau_iso', 'plateau_aniso')
KERNELS = (*_GAUSSIAN, *_GENERALIZED, *_PLATEAU, 'sinc')
_SMALL = 13
"""Sinc kernels from this size up may cut off at π/5 already, smaller ones at π/3."""


@DEGRADATION_REGISTRY.register(suffix=SUFFIX)
@dataclass(frozen=True, kw_only=True)
class RandomBlur(Step):
    """Convolve each frame with a kernel whose shape and size are drawn once per clip, while its parameters drift.

    Borders are mirrored (OpenCV's default). Kernels are BasicSR's.

    Args:
        kernels: share of each shape: ``iso``, ``aniso``, ``generalized_iso``, ``generalized_aniso``, ``plateau_iso``,
            ``plateau_aniso``, ``sinc``.
        kernel_size: smallest and largest side in pixels, odd.
        sigma_x, sigma_y: standard deviation along the kernel's axes, in pixels; isotropic kernels use ``sigma_x``.
        angle: rotation of the axes, in radians.
        beta_gaussian, beta_plateau: exponent of generalized and plateau kernels; every second time from the part of
            the range below 1, else from the part above (BasicSR's rule).
        omega: cutoff of sinc kernels, in radians per pixel; ``~``: [π/3, π] below 13 pixels, else [π/5, π].
        sigma_step, angle_step, beta_gaussian_step, beta_plateau_step, omega_step: largest change of each from one
            frame to the next.
    """

    kernels: Shares
    kernel_size: tuple[int, int] = (7, 21)
    sigma_x: Range = (0.2, 3.0)
    sigma_y: Range = (0.2, 3.0)
    angle: Range = (-math.pi, math.pi)
    beta_gaussian: Range = (0.5, 4.0)
    beta_plateau: Range = (1.0, 2.0)
    omega: Range | None = None
    sigma_step: float = 0.0
    angle_step: float = 0.0
    beta_gaussian_step: float = 0.0
    beta_plateau_step: float = 0.0
    omega_step: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares('kernels', self.kernels, KERNELS)
        low, high = self.kernel_size
        if not (3 <= low <= high and low % 2 and high % 2):
            raise ValueError(f'kernel_size: got [{low}, {high}], expected two odd numbers from 3 up, the smaller first')
        for name in ('sigma_x', 'sigma_y', 'beta_gaussian', 'beta_plateau'):
            check_range(name, getattr(self, name), 0.01)
        check_range('angle', self.angle, -2 * math.pi, 2 * math.pi)
        if self.omega is not None:
            check_range('omega', self.omega, 0.01, math.pi)
        check_steps(
            sigma_step=self.sigma_step,
            angle_step=self.angle_step,
            beta_gaussian_step=self.beta_gaussian_step,
            beta_plateau_step=self.beta_plateau_step,
            omega_step=self.omega_step,
        )

    def apply(self, frames: Iterable[Image], rng: np.random.Generator, lq_size: tuple[int, int]) -> Iterator[Image]:
        kernels = self._kernels(rng)
        for frame in frames:
            yield np.asarray(cv2.filter2D(frame, -1, next(kernels)), np.float32)

    def _kernels(self, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
        """Yield the kernel of each frame, (size, size), sum 1."""
        shape = choose(self.kernels, rng)
        low, high = self.kernel_size
        size = int(rng.integers(low // 2, high // 2 + 1)) * 2 + 1
        parameters = _sinc(self, size, rng) if shape == 'sinc' else _bell(self, shape, rng)
        while True:
            values = {name: parameter.next() for name, parameter in parameters.items()}
            yield np.asarray(_kernel(shape, size, values), np.float32)


def _sinc(blur: RandomBlur, size: int, rng: np.random.Generator) -> dict[str, Drift]:
    limits = blur.omega or (math.pi / (3 if size < _SMALL else 5), math.pi)
    return {'omega': Drift(rng.uniform(*limits), blur.omega_step, limits, rng)}


def _bell(blur: RandomBlur, shape: str, rng: np.random.Generator) -> dict[str, Drift]:
    walks = {'sigma_x': Drift(rng.uniform(*blur.sigma_x), blur.sigma_step, blur.sigma_x, rng)}
    if not shape.endswith('aniso'):
        walks['sigma_y'] = walks['angle'] = Drift(0, 0, (0, 0), rng)
    else:
        walks['sigma_y'] = Drift(rng.uniform(*blur.sigma_y), blur.sigma_step, blur.sigma_y, rng)
        walks['angle'] = Drift(rng.uniform(*blur.angle), blur.angle_step, blur.angle, rng)
    if shape in _GENERALIZED:
        walks['beta'] = Drift(_beta(blur.beta_gaussian, rng), blur.beta_gaussian_step, blur.beta_gaussian, rng)
    if shape in _PLATEAU:
        walks['beta'] = Drift(_beta(blur.beta_plateau, rng), blur.beta_plateau_step, blur.beta_plateau, rng)
    return walks


def _beta(limits: Range, rng: np.random.Generator) -> float:
    """Draw below or above 1 with equal probability; a range on one side of 1 is drawn from uniformly."""
    low, high = limits
    if not low <= 1 <= high:
        return float(rng.uniform(low, high))
    return float(rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high))


def _kernel(shape: str, size: int, values: dict[str, float]) -> Any:
    kernels = blur_kernels()
    if shape == 'sinc':
        return kernels.circular_lowpass_kernel(values['omega'], size)
    axes = values['sigma_x'], values['sigma_y'], values['angle']
    isotropic = not shape.endswith('aniso')
    if shape in _GAUSSIAN:
        return kernels.bivariate_Gaussian(size, *axes, isotropic=isotropic)
    bell = kernels.bivariate_generalized_Gaussian if shape in _GENERALIZED else kernels.bivariate_plateau
    return bell(size, *axes, values['beta'], isotropic=isotropic)


@DEGRADATION_REGISTRY.register(suffix=SUFFIX)
@dataclass(frozen=True, kw_only=True)
class UnsharpMasking(Step):
    """Sharpen the ground truth, so that networks trained on it restore crisper edges (BasicSR's unsharp masking).

    The difference to a Gaussian blur is added where it exceeds the threshold; the mask of these pixels is blurred, too.
    The low-resolution frames are made from the sharpened ones.

    Args:
        kernel_size: side of the Gaussian kernel in pixels, odd; its sigma follows from it (OpenCV's rule).
        weight: factor on the difference.
        threshold: difference in gray levels from which a pixel is sharpened.
    """

    changes_gt: ClassVar[bool] = True
    kernel_size: int = 51
    weight: float = 0.5
    threshold: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel_size < 3 or not self.kernel_size % 2:
            raise ValueError(f'kernel_size: got {self.kernel_size}, expected an odd number from 3 up')
        check_steps(weight=self.weight, threshold=self.threshold)

    def apply(self, frames: Iterable[Image], rng: np.random.Generator, lq_size: tuple[int, int]) -> Iterator[Image]:
        for frame in frames:
            sharp = unsharp_mask(frame / 255, weight=self.weight, radius=self.kernel_size, threshold=self.threshold)
            yield np.asarray(sharp * 255, np.float32)
