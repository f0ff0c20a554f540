"""Frequency response of resampling (paper, section 3.3): exact for fixed kernels, measured for other alignments.

``f`` is in cycles per pixel, ``d`` the sub-pixel part of a shift. An ideal resampler multiplies by e^{2πifd}.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]
KERNELS = ('nearest', 'bilinear', 'bicubic')
_A = -0.75  # of torch's bicubic kernel


class Curves(NamedTuple):
    """Response of a resampler, averaged over shifts; each attribute is an array over frequencies."""

    gain: Array
    """Mean of the response relative to the ideal one: the Fourier transform of the kernel (the paper's F)."""
    energy: Array
    """Mean squared magnitude of the response."""
    error: Array
    """Mean squared error relative to the ideal shift: energy + 1 − 2·gain."""


def response(resampling: str, f: Array, d: float) -> NDArray[np.complex128]:
    """Return the exact response H(f; d) = Σ_k w_k(d)·e^{2πifk} of a fixed kernel to a shift by ``d`` in [0, 1).

    Args:
        resampling: ``nearest``, ``bilinear`` or ``bicubic``.
        f: frequencies, any shape.
        d: shift in pixels.
    """
    if resampling == 'nearest':
        taps = {round(d): 1.0}
    elif resampling == 'bilinear':
        taps = {0: 1 - d, 1: d}
    else:
        taps = {
            -1: _A * (d - 2 * d**2 + d**3),
            0: 1 - (_A + 3) * d**2 + (_A + 2) * d**3,
            1: -_A * d + (2 * _A + 3) * d**2 - (_A + 2) * d**3,
            2: _A * (d**2 - d**3),
        }
    return sum((weight * np.exp(2j * np.pi * f * k) for k, weight in taps.items()), np.zeros_like(f, np.complex128))


def exact(resampling: str, f: Array) -> Curves:
    """Return the curves of a fixed kernel in closed form, averaged over d in [0, 1)."""
    f = np.asarray(f, np.float64)
    if resampling == 'nearest':
        gain, energy = np.sinc(f), np.ones_like(f)
    elif resampling == 'bilinear':
        gain, energy = np.sinc(f) ** 2, 1 - 2 / 3 * np.sin(np.pi * f) ** 2
    else:
        safe = np.where(np.abs(f) < 1e-3, 1e-3, f)  # the closed form is 0/0 at 0, where the gain is 1
        first = 3 / (np.pi * safe) ** 2 * (np.sinc(safe) ** 2 - np.sinc(2 * safe))
        second = 2 * _A / (np.pi * safe) ** 2 * (3 * np.sinc(2 * safe) ** 2 - 2 * np.sinc(2 * safe) - np.sinc(4 * safe))
        gain = first + second
        waves = [c * np.cos(2 * np.pi * k * f) for k, c in ((1, 279 / 2240), (2, -2 / 35), (3, 9 / 2240))]
        energy = 6 / 7 + 2 * sum(waves, np.zeros_like(f))
    return Curves(gain, energy, energy + 1 - 2 * gain)


def ideal_shift(feature: Tensor, d: float) -> Tensor:
    """Return (..., w) with out(x) = feature(x + d) along the last axis, by the phase of its Fourier transform."""
    width = feature.shape[-1]
    angle = 2 * torch.pi * d * torch.fft.rfftfreq(width, dtype=torch.float64)
    phase = torch.polar(torch.ones_like(angle), angle)
    if width % 2 == 0:
        phase[-1] = angle[-1].cos()  # the highest frequency of a real signal has no phase
    return torch.fft.irfft(torch.fft.rfft(feature.double(), dim=-1) * phase, n=width, dim=-1)


def shifted(feature: Tensor, x: float, y: float) -> Tensor:
    """Return (..., h, w) float32 with out(column, row) = feature(column + x, row + y), ideally interpolated."""
    along_x = ideal_shift(feature, x) if x else feature
    return (ideal_shift(along_x.transpose(-1, -2), y).transpose(-1, -2) if y else along_x).float()


def constant_flow(feature: Tensor, x: float, y: float) -> Tensor:
    """Return the (n, 2, h, w) flow of (x, y) pixels everywhere, for a (n, c, h, w) feature."""
    flow = torch.empty(feature.shape[0], 2, *feature.shape[-2:])
    flow[:, 0], flow[:, 1] = x, y
    return flow


class Measured(NamedTuple):
    """Curves measured on features."""

    f: Array
    """Frequencies."""
    energy: Array
    """Mean over shifts of P(f; d) / P(f; 0), where P is the power spectrum of the result: value projections cancel."""
    error: Array
    """Mean squared error against the result without shift, shifted ideally, relative to its power."""


@torch.no_grad()
def measure(
    align: nn.Module | Callable[[Tensor, Tensor, Tensor], Tensor],
    source: Tensor,
    current: Tensor | None = None,
    *,
    axis: Literal['x', 'y'] = 'x',
    shifts: int = 16,
    bins: int = 24,
) -> Measured:
    """Measure the response of an alignment along the width or the height, by shifting a feature map ideally.

    The current feature is shifted ideally, the flow is the shift, and the source stays. The curves of an untrained
    alignment with weights are meaningless.

    Args:
        align: an alignment, called with (source, current, flow).
        source: (n, c, h, w) feature such as the alignment gets in the network; more pixels along the axis give a finer
            spectrum.
        current: (n, c, h, w) current feature without motion; default: the source.
        axis: axis of the shift and of the spectrum.
        shifts: number of shifts in [0, 1), in the middles of equal steps.
        bins: number of frequencies up to 0.5; not more than pixels along the axis / 2.

    Returns:
        Curves averaged over shifts, the other axis and channels.
    """
    current = source if current is None else current
    pixels = source.shape[3 if axis == 'x' else 2]
    bins = min(bins, pixels // 2)

    def result(d: float) -> Tensor:
        x, y = (d, 0.0) if axis == 'x' else (0.0, d)
        out: Tensor = align(source, shifted(current, x, y), constant_flow(source, x, y)).double()
        return out if axis == 'x' else out.transpose(2, 3)  # along the last axis

    still = result(0.0)
    window = torch.hann_window(pixels, dtype=torch.float64)
    frequencies = torch.fft.rfftfreq(pixels).numpy()
    edges = np.linspace(0, 0.5, bins + 1)
    place = np.clip(np.digitize(frequencies, edges) - 1, 0, bins - 1)

    def power(x: Tensor) -> Array:
        spectrum = (torch.fft.rfft((x - x.mean(-1, keepdim=True)) * window, dim=-1).abs() ** 2).mean((0, 1, 2)).numpy()
        return np.bincount(place, spectrum, bins) / np.maximum(np.bincount(place, minlength=bins), 1)

    base = power(still)
    energies, errors = [], []
    for step in range(shifts):
        d = (step + 0.5) / shifts
        out = result(d)
        energies.append(power(out) / base)
        errors.append(power(out - ideal_shift(still, d)) / base)
    return Measured((edges[:-1] + edges[1:]) / 2, np.mean(energies, 0), np.mean(errors, 0))
