"""Groups of steps in random order."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from iart.degradations.chain import build_step
from iart.degradations.step import Image, OutputSize, Step
from iart.registry import DEGRADATION_REGISTRY, SUFFIX


@DEGRADATION_REGISTRY.register(suffix=SUFFIX)
@dataclass(frozen=True, kw_only=True)
class ShuffledSteps(Step):
    """Run groups of steps in an order that is drawn per clip; within a group the order stays.

    Args:
        groups: lists of steps, each a section with ``type`` and its arguments.
    """

    groups: list[list[dict[str, Any]]]

    def __post_init__(self) -> None:
        super().__post_init__()
        steps = tuple(
            tuple(build_step(section, f'groups.{i}.{k}') for k, section in enumerate(group))
            for i, group in enumerate(self.groups)
        )
        if len(steps) < 2 or not all(steps):
            raise ValueError('groups: expected two or more lists of steps, none of them empty')
        if any(step.changes_gt for group in steps for step in group):
            raise ValueError('groups: got a step that changes the ground truth, expected it at the start of the chain')
        object.__setattr__(self, '_steps', steps)

    @property
    def output_size(self) -> OutputSize:
        sizes = {step.output_size for group in self._steps for step in group}  # type: ignore[attr-defined]
        return 'random' if 'random' in sizes else 'lq' if 'lq' in sizes else 'kept'

    def apply(self, frames: Iterable[Image], rng: np.random.Generator, lq_size: tuple[int, int]) -> Iterator[Image]:
        groups = self._steps  # type: ignore[attr-defined]
        for index in rng.permutation(len(groups)):
            for step in groups[index]:
                # Frames are drawn through all steps in turn: one generator for all would depend on who asks first.
                frames = step(frames, np.random.default_rng(rng.integers(2**63)), lq_size)
        yield from frames
