"""What is known about a scored test set, and ``report.json``, which holds all of it."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from iart import device as devices
from iart import distributed
from iart.files import sha256
from iart.protocols import Match
from iart.scoring.score_tables import Comparison
from iart.scoring.scores import SetScores
from iart.scoring.settings import Settings
from iart.version import __version__


@dataclass(frozen=True)
class NetworkFacts:
    """Facts about what restored the frames.

    Args:
        type: the network's ``type`` in the options; published results are looked up under it. ``Bicubic`` for the
            baseline.
        method: name of one published result, e.g. ``IART N16``, where the type alone means several.
    """

    type: str
    parameters: int | None = None
    weights: Path | None = None
    method: str | None = None


@dataclass(frozen=True)
class Material:
    """What a test set was made of and what was kept of it, so that a report finds the frames again.

    Args:
        section: ``type`` of the data set and its arguments.
        sizes: per clip (h, w) of the LR frames.
        saved: clips whose restored frames were saved.
    """

    section: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    saved: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetReport:
    """One test set: its scores, and the benchmark they belong to (None: no known one)."""

    key: str
    scores: SetScores
    agreement: Match | None
    comparisons: tuple[Comparison, ...]
    material: Material = field(default_factory=Material)

    @property
    def label(self) -> str:
        label = self.agreement.label if self.agreement else 'no published benchmark'
        return f'{label}, approximated' if self.scores.approximations else label


def as_dict(
    name: str,
    reports: Sequence[SetReport],
    settings: Settings,
    network: NetworkFacts,
    device: torch.device,
    command: Sequence[str],
    suffix: str | None = None,
) -> dict[str, Any]:
    """The report, made of what JSON knows."""
    weights = network.weights
    return {
        'name': name,
        'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'command': list(command),
        'folder': os.getcwd(),  # relative folders of the sets start here
        'versions': {
            'iart': __version__,
            'python': platform.python_version(),
            'torch': torch.__version__,
            'numpy': np.__version__,
        },
        'machine': devices.describe(device),
        'network': {
            **asdict(network),
            'weights': weights and weights.name,
            'weights_sha256': weights and sha256(weights),
        },
        'settings': {**vars(settings), 'suffix': suffix, 'device': str(device), 'ranks': distributed.world_size()},
        'sets': [_set_as_dict(report) for report in reports],
    }


def _set_as_dict(report: SetReport) -> dict[str, Any]:
    scores, agreement, material = report.scores, report.agreement, report.material
    return {
        'key': report.key,
        'name': scores.title,
        'label': report.label,
        'protocol': agreement and agreement.protocol.id,
        'agreement': agreement and agreement.kind,
        'explanation': agreement and agreement.explanation,
        'approximated': list(scores.approximations),
        'data': dict(material.section),
        'total': scores.totals(),
        'published': [{**asdict(c), 'difference': c.difference} for c in report.comparisons],
        'clips': [
            {
                'name': clip.name,
                'frames': len(clip.frames),
                'size': material.sizes.get(clip.name),
                'saved': clip.name in material.saved,
                **{metric: clip.mean(metric) for metric in scores.metrics},
                'restored': clip.restored,
                'seconds': round(clip.seconds, 3),
                'fps': round(clip.fps, 3),
                'plans': list(clip.plans),
                'exact': clip.exact,
            }
            for clip in scores.clips
        ],
        'seconds': round(scores.seconds, 3),
        'fps': round(scores.restored / scores.seconds, 3) if scores.seconds else None,
        'memory_mb': round(scores.memory_mb, 1),
        'rank_memory_mb': [round(memory, 1) for memory in scores.rank_memory_mb],
    }
