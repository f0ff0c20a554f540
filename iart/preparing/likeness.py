"""Likeness of an LR frame to its ground truth: one of the two degradations, a known look-alike, a shift, or something
else.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from iart.image import Frame
from iart.ops.degradation import BD_SCALE, BD_SIGMA, degrade_uint8, difference, kinds_of, recognize, taps

_LIKE = 1.5  # the same for look-alikes, whose exact rounding is unknown
_BORDER = 4  # LR pixels omitted at each side when a shift is estimated
_ALIGNED_DB = 28.0  # agreement after shifting from which on the shift explains the difference
_NOTICEABLE = 0.25  # GT pixels

Plane = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Likeness:
    """The likeness of an LR frame.

    Args:
        label: ``BI``, ``BD``, or a description of what it is instead.
        how: ``known`` (BI or BD as the protocols mean it), ``impostor`` (a known look-alike), ``shifted`` or
            ``unknown``.
        rms: root mean square difference to the labeled degradation, in gray levels.
        shift: (down, right) error of its sampling points in GT pixels.
    """

    label: str
    how: Literal['known', 'impostor', 'shifted', 'unknown']
    rms: float
    shift: tuple[float, float] = (0.0, 0.0)


def psnr(rms: float) -> float:
    """Return the PSNR in dB for a peak of 255."""
    return float(20 * np.log10(255 / rms)) if rms > 0 else float('inf')


def known_likeness(gt: Frame, lq: Frame, scale: int, expected: str | None = None) -> Likeness | None:
    """Return whether a frame is BI or BD, trying the ``expected`` one first; None if it is neither.

    Args:
        gt: (s*h, s*w, 3) uint8.
        lq: (h, w, 3) uint8.
        scale: s.
        expected: ``BI``, ``BD`` or None.
    """
    recognized = recognize(gt, lq, scale, expected)
    return Likeness(recognized[0], 'known', recognized[1]) if recognized else None


def likeness(gt: Frame, lq: Frame, scale: int, expected: str | None = None, hint: str = '') -> Likeness:
    """Return the likeness of a frame; arguments as for :func:`known_likeness`.

    Args:
        hint: label of a look-alike to try first.
    """
    exact = known_likeness(gt, lq, scale, expected)
    if exact is not None:
        return exact
    candidates: list[Likeness] = []
    for label, shift, make in sorted(_impostors(scale), key=lambda impostor: impostor[0] != hint):
        candidates.append(Likeness(label, 'impostor', difference(make(gt), lq), shift))
        if label == hint and candidates[-1].rms <= _LIKE:
            break
    best = min(candidates, key=lambda like: like.rms)
    return best if best.rms <= _LIKE else _shifted(gt, lq, scale)


def _shifted(gt: Frame, lq: Frame, scale: int) -> Likeness:
    """Return the degradation that agrees best after shifting."""
    best = None
    for kind in kinds_of(scale):
        made = degrade_uint8(gt, kind, scale)
        (down, right), rms = estimate_shift(_luma(made), _luma(lq))
        shift = down * scale, right * scale
        moved = max(map(abs, shift)) > _NOTICEABLE
        explained = moved and psnr(rms) >= _ALIGNED_DB
        label = f'{kind} shifted by ({shift[0]:+.2f}, {shift[1]:+.2f})' if explained else 'something else'
        plain = (
            Likeness(label, 'shifted', rms, shift) if explained else Likeness(label, 'unknown', difference(made, lq))
        )
        if best is None or plain.rms < best.rms:
            best = plain
    assert best is not None
    return best


def _impostors(scale: int) -> Iterator[tuple[str, tuple[float, float], Callable[[Frame], Frame]]]:
    """Yield known look-alikes: description, shift in GT pixels (down and right are equal), and their function."""
    center = (scale - 1) / 2
    if scale == BD_SCALE:
        for start in range(scale):
            off = start - center
            yield f'BD with a 13x13 kernel, sampled from {start}', (off, off), lambda gt, s=start: _blurred(gt, s, 13)  # type: ignore[misc]
            if start != 1:
                shift = float(start - 1)
                yield f'BD sampled from {start}', (shift, shift), lambda gt, s=start: _blurred(gt, s, 12)  # type: ignore[misc]
    yield 'bicubic without antialiasing', (0.0, 0.0), lambda gt: _resized(gt, scale, cv2.INTER_CUBIC)
    yield 'bilinear without antialiasing', (0.0, 0.0), lambda gt: _resized(gt, scale, cv2.INTER_LINEAR)
    yield 'the mean of each block (area)', (0.0, 0.0), lambda gt: _resized(gt, scale, cv2.INTER_AREA)
    for start in range(scale):
        off = start - center
        yield f'every {scale}th pixel from {start}, unfiltered', (off, off), lambda gt, s=start: gt[s::scale, s::scale]  # type: ignore[misc]


def _blurred(gt: Frame, start: int, size: int) -> Frame:
    """Apply a Gaussian of BD's width; its even form covers offsets -5..+6, its odd form is centered."""
    if size == 12:
        kernel = np.array(taps('BD', BD_SCALE).weights)
        blurred = cv2.sepFilter2D(gt, -1, kernel, kernel, anchor=(5, 5), borderType=cv2.BORDER_REPLICATE)
    else:
        kernel = cv2.getGaussianKernel(size, BD_SIGMA)
        blurred = cv2.sepFilter2D(gt, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    h, w = (n // BD_SCALE * BD_SCALE for n in gt.shape[:2])
    return np.ascontiguousarray(blurred[start:h:BD_SCALE, start:w:BD_SCALE]).astype(np.uint8, copy=False)


def _resized(gt: Frame, scale: int, interpolation: int) -> Frame:
    h, w = (n // scale * scale for n in gt.shape[:2])
    return cv2.resize(gt[:h, :w], (w // scale, h // scale), interpolation=interpolation).astype(np.uint8, copy=False)


def _luma(image: Frame) -> Plane:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)


def estimate_shift(reference: Plane, moved: Plane, *, rounds: int = 12) -> tuple[tuple[float, float], float]:
    """Estimate the shift d with ``moved(p) = reference(p + d)`` by phase correlation, refined by least squares.

    Args:
        reference: (h, w).
        moved: (h, w).

    Returns:
        (down, right) in pixels, and the remaining root mean square difference.
    """
    border = min(_BORDER, (min(reference.shape) - 1) // 4)
    inside = np.s_[border : reference.shape[0] - border, border : reference.shape[1] - border]
    window = cv2.createHanningWindow(reference.shape[::-1], cv2.CV_32F) if min(reference.shape) > 1 else None
    (x, y), _ = cv2.phaseCorrelate(moved, reference, window)
    starts = [(0.0, 0.0)] + ([(y, x)] if max(abs(x), abs(y)) < min(reference.shape) / 4 else [])
    results = [_refine(reference, moved, start, inside, rounds) for start in starts]
    return min(results, key=lambda result: result[1])


def _refine(
    reference: Plane, moved: Plane, shift: tuple[float, float], inside: tuple[slice, slice], rounds: int
) -> tuple[tuple[float, float], float]:
    """Run Gauss-Newton steps on the sum of squares."""
    y, x = shift
    best = ((y, x), float('inf'))
    for _ in range(rounds):
        matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(reference, matrix, reference.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
        error = (moved - warped)[inside]
        rms = float(np.sqrt(np.mean(error**2)))
        if rms < best[1]:
            best = (y, x), rms
        gy, gx = np.gradient(warped)
        slopes = np.stack([gy[inside].ravel(), gx[inside].ravel()], axis=1).astype(np.float64)
        step, *_ = np.linalg.lstsq(slopes.T @ slopes, slopes.T @ error.ravel().astype(np.float64), rcond=None)
        y, x = y + float(step[0]), x + float(step[1])
        if max(abs(step)) < 1e-3 or max(abs(y), abs(x)) > max(reference.shape):
            break
    return best
