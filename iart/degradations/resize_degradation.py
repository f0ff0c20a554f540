"""Resizing up and down, and to the low-resolution size."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np

from iart.degradations.step import (
    Drift,
    Image,
    OutputSize,
    Range,
    Shares,
    Step,
    check_range,
    check_shares,
    check_steps,
    choose,
)
from iart.registry import DEGRADATION_REGISTRY, SUFFIX

_MODES = {'bilinear': cv2.INTER_LINEAR, 'area': cv2.INTER_AREA, 'bicubic': cv2.INTER_CUBIC}
_DIRECTIONS = ('up', 'down', 'keep')


def _each_mode() -> Shares:
    return dict.fromkeys(_MODES, 1.0)


@DEGRADATION_REGISTRY.register(suffix=SUFFIX)
@dataclass(frozen=True, kw_only=True)
class RandomResize(Step):
    """Resize each frame, by a drifting random factor or to the low-resolution size.

    Args:
        to: ``lq`` resizes to the size that the low-resolution frames have in the end; ``random`` by a factor.
        directions: share of ``up`` (a factor between 1 and the highest), ``down`` (between the lowest and 1) and
            ``keep`` (1).
        factor: lowest and highest factor.
        factor_step: largest change of the factor from one frame to the next.
        modes: share of ``bilinear``, ``area`` and ``bicubic`` interpolation; one is drawn per clip.
        even: make height and width even, as video compression needs it.
    """

    to: Literal['random', 'lq'] = 'random'
    directions: Shares = field(default_factory=lambda: dict.fromkeys(_DIRECTIONS, 1.0))
    factor: Range = (0.5, 1.5)
    factor_step: float = 0.0
    modes: Shares = field(default_factory=_each_mode)
    even: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares('directions', self.directions, _DIRECTIONS)
        check_shares('modes', self.modes, _MODES)
        check_range('factor', self.factor, 0.01, 16)
        if not self.factor[0] <= 1 <= self.factor[1]:
            raise ValueError(f'factor: got [{self.factor[0]:g}, {self.factor[1]:g}], expected a range that contains 1')
        check_steps(factor_step=self.factor_step)
        if self.to == 'lq' and self.probability < 1:
            raise ValueError('probability: got less than 1, expected nothing here: every clip needs the size of to: lq')

    @property
    def output_size(self) -> OutputSize:
        return self.to

    def apply(self, frames: Iterable[Image], rng: np.random.Generator, lq_size: tuple[int, int]) -> Iterator[Image]:
        mode = _MODES[choose(self.modes, rng)]
        factor = self._factor(rng)
        for frame in frames:
            size = lq_size if self.to == 'lq' else self._size(frame, factor.next())
            yield np.asarray(cv2.resize(frame, size[::-1], interpolation=mode), np.float32)

    def _factor(self, rng: np.random.Generator) -> Drift:
        direction = choose(self.directions, rng)
        low, high = self.factor
        start = {'up': rng.uniform(1, high), 'down': rng.uniform(low, 1), 'keep': 1.0}[direction]
        return Drift(start, self.factor_step, self.factor, rng)

    def _size(self, frame: Image, factor: float) -> tuple[int, int]:
        unit = 2 if self.even else 1
        h, w = (max(int(side * factor) // unit * unit, unit) for side in frame.shape[:2])
        return h, w
