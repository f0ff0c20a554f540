"""Progress of a run, with counters of skipped steps and replaced windows: part of every training state."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

Best = dict[str, Any]
"""``{'metric': 'REDS4/psnr', 'value': 32.1, 'step': 5000}``"""


@dataclass
class Progress:
    """Counters that grow with the run; the same on every rank.

    Args:
        step: iterations done, skipped ones among them.
        clips: clips that all ranks together have taken from the sampler, which is the position in the epoch.
        validated: whether the weights of this step were scored.
        best: what chose the best weights so far.
        skipped: iterations without an optimizer step, because their loss or gradients were not finite.
        unreadable: number of windows that were replaced, because a file could not be read.
    """

    step: int = 0
    clips: int = 0
    validated: bool = False
    best: Best | None = None
    skipped: int = 0
    unreadable: int = 0

    def advance(self, clips: int) -> None:
        """Count one iteration of this many clips."""
        self.step, self.clips, self.validated = self.step + 1, self.clips + clips, False

    def state(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> 'Progress':
        """Restore the progress from a training state with the values of :meth:`state`."""
        return cls(**{field.name: state[field.name] for field in fields(cls) if field.name in state})
