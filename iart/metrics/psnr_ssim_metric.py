"""PSNR and SSIM with BasicSR's arguments and BasicSR's results, several times faster.

Images are arrays in [0, 255] as BasicSR takes them: (h, w, 3) in BGR order, (3, h, w) with ``input_order='CHW'``, or
(h, w). uint8 is the fast case. Everything that counts is computed in float64.
"""

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from iart.errors import DataError, UserError
from iart.registry import METRIC_REGISTRY, SUFFIX

Image = npt.NDArray[Any]

_Y_FROM_BGR = np.array([[24.966, 128.553, 65.481, 16.0]])  # BT.601 studio range, for channels in [0, 1]
_LEVELS = (np.arange(256, dtype=np.float32) / np.float32(255)).astype(np.float64)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_WINDOW, _HALO, _SIGMA = 11, 5, 1.5
_STRIP = 64  # rows of the SSIM map made at once: the intermediate images then stay in the cache


@METRIC_REGISTRY.register(suffix=SUFFIX)
def calculate_psnr(
    img: Image, img2: Image, crop_border: int = 0, input_order: str = 'HWC', test_y_channel: bool = False
) -> float:
    """Compute the peak signal-to-noise ratio in dB, peak 255, error averaged over all pixels and channels.

    Args:
        img: image in [0, 255], BGR.
        img2: the image to compare with, of the same shape.
        crop_border: pixels cut off on every side first.
        input_order: ``HWC`` or ``CHW``.
        test_y_channel: compare only luma (BT.601 studio range, not rounded).

    Returns:
        dB; infinity for identical images.

    Raises:
        UserError: shapes that differ, an unknown ``input_order``, a border that leaves nothing.
    """
    a, b = _prepare(img, img2, crop_border, input_order)
    if test_y_channel:
        a, b = _luma(a), _luma(b)
    if a.dtype == np.uint8 and b.dtype == np.uint8:
        squares = cv2.norm(a, b, cv2.NORM_L2SQR)  # a sum of integers: exact
    else:
        difference = a.astype(np.float64) - b.astype(np.float64)
        squares = float(
            np.square(difference, out=difference).sum()
        )  # not a BLAS product: its last digits depend on the threads
    return 10 * math.log10(255.0 * 255.0 * a.size / squares) if squares else math.inf


@METRIC_REGISTRY.register(suffix=SUFFIX)
def calculate_ssim(
    img: Image, img2: Image, crop_border: int = 0, input_order: str = 'HWC', test_y_channel: bool = False
) -> float:
    """Structural similarity: 11x11 Gaussian of sigma 1.5, only where it lies inside the image, per channel, then the
    mean of channels.

    Args:
        img: image in [0, 255], BGR.
        img2: the image to compare with, of the same shape.
        crop_border: pixels cut off on every side first.
        input_order: ``HWC`` or ``CHW``.
        test_y_channel: compare only luma (BT.601 studio range, not rounded).

    Returns:
        1 for identical images, less otherwise.

    Raises:
        UserError: shapes that differ, an unknown ``input_order``, an image smaller than the window.
    """
    a, b = _prepare(img, img2, crop_border, input_order)
    if min(a.shape[:2]) < _WINDOW:
        raise DataError(
            f'SSIM: got an image of {a.shape[1]}x{a.shape[0]} pixels after cropping, expected {_WINDOW}x{_WINDOW} '
            'or more'
        )
    if test_y_channel:
        a, b = _luma(a), _luma(b)
    planes = [_ssim_sum(np.ascontiguousarray(a[..., c]), np.ascontiguousarray(b[..., c])) for c in range(a.shape[2])]
    return sum(planes) / ((a.shape[0] - 2 * _HALO) * (a.shape[1] - 2 * _HALO) * a.shape[2])


def _ssim_sum(a: Image, b: Image) -> float:
    """Sum the SSIM map of one channel (h, w), in strips of rows whose buffers are reused.

    The two variances are only needed as their sum, so four blurred images do instead of five.
    """
    height, width = a.shape
    buffers = np.empty((8, min(_STRIP + 2 * _HALO, height), width))
    total = 0.0
    for top in range(0, height - 2 * _HALO, _STRIP):
        bottom = min(top + _STRIP + 2 * _HALO, height)
        total += _strip_sum(a[top:bottom], b[top:bottom], buffers[:, : bottom - top])
    return total


def _strip_sum(a: Image, b: Image, buffers: npt.NDArray[np.float64]) -> float:
    """Sum the SSIM map of a strip (h, w); ``buffers`` (8, h, w) is overwritten."""
    sources, blurred = buffers[:4], buffers[4:]
    sources[0], sources[1] = a, b
    np.multiply(sources[0], sources[1], out=sources[2])
    np.multiply(sources[0], sources[0], out=sources[3])
    sources[3] += np.multiply(sources[1], sources[1], out=blurred[0])
    kernel = cv2.getGaussianKernel(_WINDOW, _SIGMA)
    for source, result in zip(sources, blurred, strict=True):
        cv2.sepFilter2D(source, -1, kernel, kernel, dst=result)
    mean_a, mean_b, mean_ab, mean_squares = blurred[:, _HALO:-_HALO, _HALO:-_HALO]
    product, squares, numerator = sources[:3, _HALO:-_HALO, _HALO:-_HALO]
    np.multiply(mean_a, mean_b, out=product)
    np.multiply(mean_a, mean_a, out=squares)
    squares += np.multiply(mean_b, mean_b, out=numerator)
    mean_ab -= product  # now the covariance
    mean_squares -= squares  # now the sum of the variances
    np.multiply(_twice_plus(product, _C1), _twice_plus(mean_ab, _C2), out=numerator)
    squares += _C1
    mean_squares += _C2
    squares *= mean_squares
    numerator /= squares
    return float(numerator.sum())


def _twice_plus(image: npt.NDArray[np.float64], constant: float) -> npt.NDArray[np.float64]:
    """Compute 2x + constant in place."""
    image *= 2
    image += constant
    return image


def _prepare(img: Image, img2: Image, crop_border: int, input_order: str) -> tuple[Image, Image]:
    """Return both images as (h, w, c) without the border."""
    if img.shape != img2.shape:
        raise DataError(f'images to compare: got shapes {img.shape} and {img2.shape}, expected the same')
    if input_order not in ('HWC', 'CHW'):
        raise UserError(f"input_order: got {input_order!r}, expected 'HWC' or 'CHW'")
    pair = []
    for image in (img, img2):
        ordered = image[..., None] if image.ndim == 2 else image.transpose(1, 2, 0) if input_order == 'CHW' else image
        if crop_border:
            ordered = ordered[crop_border:-crop_border, crop_border:-crop_border]
        if not ordered.size:
            raise DataError(
                f'crop_border: got {crop_border} for an image of shape {img.shape}, expected less than half its size'
            )
        pair.append(np.ascontiguousarray(ordered))
    return pair[0], pair[1]


def _luma(image: Image) -> npt.NDArray[np.float32]:
    """Y in [16, 235] as (h, w, 1), rounded to float32 at the places where BasicSR rounds: so the results agree to the
    last digits.
    """
    if image.shape[2] != 3:
        return image.astype(np.float32) / np.float32(255) * np.float32(255)
    levels = (
        (image.astype(np.float32) / np.float32(255)).astype(np.float64)
        if image.dtype != np.uint8
        else cv2.LUT(image, _LEVELS)
    )
    luma = cv2.transform(levels, _Y_FROM_BGR).reshape(image.shape[:2]) / 255.0
    return (luma.astype(np.float32) * np.float32(255))[..., None]
