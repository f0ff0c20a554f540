"""What a step of a degradation chain is, and the random walks its parameters take from frame to frame."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
"""(h, w, 3) float32, RGB, 0 to 255; a step may leave the range."""
Range = tuple[float, float]
Shares = dict[str, float]
OutputSize = Literal['kept', 'random', 'lq']


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a chain: frames in, frames out, equally many.

    Args:
        probability: chance that a clip takes this step at all, [0, 1].
    """

    changes_gt: ClassVar[bool] = False
    """The step changes the ground truth, and with it what the low-resolution frames are made from."""
    probability: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f'probability: got {self.probability}, expected 0 to 1')

    @property
    def output_size(self) -> OutputSize:
        """Size of the frames after this step: as before it, a random one, or that of the low-resolution frames."""
        return 'kept'

    def __call__(self, frames: Iterable[Image], rng: np.random.Generator, lq_size: tuple[int, int]) -> Iterator[Image]:
        """Yield the changed frames of a clip one by one.

        Args:
            frames: (h, w, 3) each, in order.
            rng: source of everything random in this step.
            lq_size: (h, w) that the low-resolution frames have in the end.
        """
        if rng.random() < self.probability:
            yield from self.apply(frames, rng, lq_size)
        else:
            yield from frames

    def apply(self, frames: Iterable[Image], rng: np.random.Generator, lq_size: tuple[int, int]) -> Iterator[Image]:
        """Yield the changed frames; arguments as for :meth:`__call__`."""
        raise NotImplementedError


class Drift:
    """A parameter that changes slowly: each frame adds a draw from U(−step, step), clipped to the range.

    Args:
        value: value of the first frame.
        step: largest change from one frame to the next; 0 keeps the value.
        limits: lowest and highest value.
        rng: where changes are drawn.
    """

    def __init__(self, value: float, step: float, limits: Range, rng: np.random.Generator) -> None:
        self.value, self.step, self.limits, self.rng = value, step, limits, rng

    def next(self) -> float:
        """Return the value for this frame, and draw the one of the next."""
        value = self.value
        if self.step:
            self.value = float(np.clip(value + self.rng.uniform(-self.step, self.step), *self.limits))
        return value


def choose(shares: Mapping[str, float], rng: np.random.Generator) -> str:
    """Draw one of the names in proportion to its share."""
    names, weights = list(shares), np.array(list(shares.values()))
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def check_range(name: str, limits: Range, least: float, most: float = np.inf) -> None:
    """Raise ValueError unless ``limits`` rises and stays within ``least`` and ``most``."""
    low, high = limits
    if not least <= low <= high <= most:
        expected = f'[low, high] with {least:g} <= low <= high' + (f' <= {most:g}' if np.isfinite(most) else '')
        raise ValueError(f'{name}: got [{low:g}, {high:g}], expected {expected}')


def check_shares(name: str, shares: Mapping[str, float], allowed: Iterable[str]) -> None:
    """Raise ValueError unless ``shares`` gives some of the ``allowed`` names a share, none below zero."""
    allowed = list(allowed)
    unknown = [key for key in shares if key not in allowed]
    if unknown:
        raise ValueError(f'{name}: got {unknown[0]!r}, expected some of {", ".join(allowed)}')
    if not shares or min(shares.values()) < 0 or sum(shares.values()) <= 0:
        raise ValueError(f'{name}: got {dict(shares)}, expected shares of 0 or more, at least one above 0')


def check_steps(**steps: float) -> None:
    """Raise ValueError for a drift below zero."""
    for name, value in steps.items():
        if value < 0:
            raise ValueError(f'{name}: got {value:g}, expected 0 or more')


def to_bytes(frame: Image) -> NDArray[np.uint8]:
    """Round to 8 bits."""
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)
