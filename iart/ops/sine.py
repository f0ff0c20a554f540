"""Sine codes of positions inside the resampling window (paper, section 3.2)."""

import math

import torch
from torch import Tensor

TEMPERATURE = 0.01
_EPS = 1e-6  # the released weights were trained with it in both denominators


def sine_code(points: Tensor, channels: int, temperature: float = TEMPERATURE) -> Tensor:
    """Encode (row, column) vectors with sines and cosines.

    The first half of the code belongs to the row, the second to the column; number k of a half is the sine
    (k even) or cosine (k odd) of ``u / T^(2·floor(k/2)/(channels/2))``. With T < 1 the frequencies grow with k.

    Args:
        points: (..., 2) angles in radians, float32.
        channels: length of the code, a multiple of 4.
        temperature: T; 0.01 in the released weights.

    Returns:
        (..., channels), float32.
    """
    half = channels // 2
    k = torch.arange(half, device=points.device, dtype=torch.float32)
    period = temperature ** (2 * torch.div(k, 2, rounding_mode='floor') / half)
    angle = points.float().unsqueeze(-1) / period
    code = torch.stack((angle[..., 0::2].sin(), angle[..., 1::2].cos()), dim=-1)
    return code.flatten(-3)


def tap_code(window: int, channels: int, device: torch.device, temperature: float = TEMPERATURE) -> Tensor:
    """Return the codes of the taps of a ``window × window`` neighborhood, row by row, (window², channels).

    Rows and columns count from the window's first tap, wherever that lies.
    """
    index = torch.arange(window, device=device, dtype=torch.float32)
    taps = torch.cartesian_prod(index, index)
    return sine_code(taps / (window - 1 + _EPS) * (2 * math.pi), channels, temperature)


def offset_code(offset: Tensor, window: int, channels: int, temperature: float = TEMPERATURE) -> Tensor:
    """Return the codes of sub-pixel offsets, (..., channels).

    Offsets are divided by the window, where :func:`tap_code` divides by window − 1: the released weights expect it.

    Args:
        offset: (..., 2) fractional row and column of the sampling point, in [0, 1).
    """
    return sine_code(offset.float() / (window + _EPS) * (2 * math.pi), channels, temperature)
