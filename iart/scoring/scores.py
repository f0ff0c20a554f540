"""What was measured on a clip and on a test set, and its averages."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ClipScores:
    """What was measured on one clip.

    Args:
        frames: names of the frames that count.
        values: per metric the figures of these frames, in order; None for a frame without one, such as a clip's first
            frame with a metric of two neighbors.
        restored: number of frames that the network gave.
        seconds: time spent restoring, without reading, measuring and writing.
        plans: memory plans by which it was restored, in words and in order: more than one where memory ran out.
        exact: whether each of them gives the same bits as the whole clip in one pass.
    """

    name: str
    frames: tuple[str, ...]
    values: dict[str, tuple[float | None, ...]]
    restored: int
    seconds: float
    plans: tuple[str, ...] = ()
    exact: bool = True

    def mean(self, metric: str) -> float:
        """Mean over the clip's frames; infinite if one frame is identical to its ground truth."""
        return _mean(self.values[metric])

    @property
    def fps(self) -> float:
        """Frames restored per second; 0 where nothing was timed."""
        return self.restored / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class SetScores:
    """What was measured on a test set; the same on every rank.

    Args:
        metrics: names, in the order of the options; empty without ground truth.
        clips: one entry per clip, in the order of the data set.
        rank_memory_mb: peak memory of each rank in MB since its start: of its device where that counts it, else of the
            process.
    """

    title: str
    metrics: tuple[str, ...]
    clips: tuple[ClipScores, ...]
    rank_memory_mb: tuple[float, ...]

    def total(self, metric: str) -> float:
        """The protocols' average: over the frames of a clip, then over clips."""
        return _mean([clip.mean(metric) for clip in self.clips])

    @property
    def memory_mb(self) -> float:
        """Largest peak memory of all ranks."""
        return max(self.rank_memory_mb, default=0.0)

    @property
    def approximations(self) -> tuple[str, ...]:
        """The plans, in words, that do not give what the whole clip in one pass gives; empty when all scores
        are exact."""
        return tuple(dict.fromkeys(clip.plans[-1] for clip in self.clips if not clip.exact))

    def totals(self) -> dict[str, float]:
        """Return the averages by metric."""
        return {metric: self.total(metric) for metric in self.metrics}

    @property
    def seconds(self) -> float:
        """Time spent restoring, summed over clips (and so over ranks)."""
        return sum(clip.seconds for clip in self.clips)

    @property
    def restored(self) -> int:
        """Number of frames that the network gave."""
        return sum(clip.restored for clip in self.clips)


def _mean(values: Sequence[float | None]) -> float:
    numbers = [value for value in values if value is not None]
    return statistics.fmean(numbers) if numbers else float('nan')
