"""How test sets are scored, and which of the restored frames are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iart.options import Options


@dataclass(frozen=True)
class Settings:
    """How frames are restored and scored; the same for all test sets.

    Args:
        metrics: sections of ``val.metrics``: name → ``type`` and arguments.
        scale: GT size divided by LR size.
        flip_seq: take the mean of what is restored for a frame and for its mirror image in the clip followed by
            itself reversed (2t frames), before rounding.
        center_frame_only: only frame t // 2 counts and is saved.
        precision: ``fp32``, ``fp16`` or ``bf16``: what the network computes in.
        spill_to: folder for what waits on disk; None: the system's temporary folder.
        tf32: what of fp32 the GPU computes in TensorFloat-32: ``off``, ``conv`` or ``all``; None where it has none.
    """

    metrics: Mapping[str, Mapping[str, Any]]
    scale: int = 4
    flip_seq: bool = False
    center_frame_only: bool = False
    precision: str = 'fp32'
    spill_to: Path | None = None
    tf32: str | None = None

    @classmethod
    def of(
        cls, options: Options, precision: str = 'fp32', *, spill_to: Path | None = None, tf32: str | None = None
    ) -> 'Settings':
        """Return the settings of ``scale`` and ``val``; the other arguments are the attributes of the same names."""
        val = options.val
        return cls(val.metrics, options.scale, val.flip_seq, val.center_frame_only, precision, spill_to, tf32)


@dataclass(frozen=True)
class Saving:
    """Which restored frames are written: ``<folder>/<set>/<clip>/<frame>[_<suffix>].png``.

    Args:
        folder: the folder with a folder for each set.
        clips: the number of clips of each set whose frames are written, evenly spread; None: all of them.
        suffix: appended to the names of frames, after an underscore.
    """

    folder: Path
    clips: int | None = None
    suffix: str | None = None

    def chosen(self, clips: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the clips that are written, the first one among them."""
        count = len(clips) if self.clips is None else min(self.clips, len(clips))
        return tuple(clips[i * len(clips) // count] for i in range(count))

    def file(self, title: str, clip: str, frame: str) -> Path:
        """Return where a frame is written."""
        return self.folder / title / clip / (f'{frame}_{self.suffix}.png' if self.suffix else f'{frame}.png')
