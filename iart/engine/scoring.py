"""The job behind ``iart test``: score every test set of the options, say which benchmark the figures belong to, write the reports.

::

    <out>/report.json                                    everything, for machines
    <out>/frames.csv                                     one line per frame
    <out>/visualization/<set>/<clip>/<frame>.png         when frames are saved: of all clips, or of some for a report
"""

import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from iart import __version__, distributed, log
from iart import device as devices
from iart.data.building import build_dataset
from iart.engine.evaluator import ClipSet, Restore, SetScores, build_metrics, score_set
from iart.engine.tables import Comparison, frames_csv, print_comparisons, print_scores, to_json, write_text
from iart.ops.degradation import recognise
from iart.protocols import Match, candidates, get, match, metric_differences


class SetOptions(Protocol):
    """The keys of a test set's section."""

    @property
    def name(self) -> str | None: ...
    @property
    def protocol(self) -> str | None: ...
    @property
    def section(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class NetworkFacts:
    """What the report says about what restored the frames.

    Args:
        type: the network's ``type`` in the options; published results are looked up under it. ``Bicubic`` for the baseline.
        method: name of one published result, e.g. ``IART N16``, where the type alone means several.
    """

    type: str
    parameters: int | None = None
    weights: Path | None = None
    method: str | None = None


@dataclass(frozen=True)
class Settings:
    """How frames are scored; the same for all test sets."""

    metrics: Mapping[str, Mapping[str, Any]]
    scale: int = 4
    flip_seq: bool = False
    center_frame_only: bool = False
    precision: str = 'fp32'


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
        return self.agreement.label if self.agreement else 'no published benchmark'


def score(
    restore: Restore,
    *,
    name: str,
    datasets: Mapping[str, SetOptions],
    settings: Settings,
    network: NetworkFacts,
    device: torch.device,
    out: Path,
    save_frames: bool = False,
    report_clips: int = 0,
    suffix: str | None = None,
    command: Sequence[str] = (),
) -> list[SetReport]:
    """Score every test set and write the reports. To be called on every rank; rank 0 prints and writes the reports.

    Args:
        restore: see :data:`iart.engine.evaluator.Restore`.
        name: of the run, for the report.
        datasets: the test sets' sections by their keys (``test``, ``test_1``, ...).
        network: what ``restore`` is.
        device: where LR clips are put.
        out: folder of the reports and frames.
        save_frames: write the restored frames as PNG.
        report_clips: without ``save_frames``, write those of this many clips, spread over each set.
        suffix: appended to their names.
        command: the command line, for the report.

    Raises:
        UserError: options or data that do not fit; everything is built before the first frame is restored.
    """
    metrics = build_metrics(settings.metrics)
    protocols = {key: section.protocol and get(section.protocol).id for key, section in datasets.items()}
    sets = {key: build_dataset(section.section, key=f'datasets.{key}', scale=settings.scale) for key, section in datasets.items()}
    agreements = {key: agree(dataset, protocols[key], settings) for key, dataset in sets.items()}
    titles = _titles(datasets)
    reports: list[SetReport] = []
    for key, dataset in sets.items():
        title = titles[key]
        saved = spread([clip.name for clip in dataset.clips], len(dataset.clips) if save_frames else report_clips)
        scores = score_set(
            restore,
            dataset,
            metrics,
            device=device,
            flip_seq=settings.flip_seq,
            center_frame_only=settings.center_frame_only,
            save_to=out / 'visualization' / title if saved else None,
            save_clips=saved,
            suffix=suffix,
            title=title,
        )
        material = Material(datasets[key].section, {clip.name: clip.size for clip in dataset.clips}, saved)
        report = SetReport(key, scores, agreements[key], compare(scores, agreements[key], settings, network), material)
        reports.append(report)
        _say(report)
        if distributed.is_main():  # after every set, so that an interrupted run leaves those that are finished
            write_text(out / 'frames.csv', frames_csv(r.scores for r in reports))
            write_text(out / 'report.json', to_json(as_dict(name, reports, settings, network, device, command, suffix)))
    return reports


def spread(names: Sequence[str], count: int) -> tuple[str, ...]:
    """At most ``count`` of the names, evenly spread, the first one among them."""
    count = min(count, len(names))
    return tuple(names[i * len(names) // count] for i in range(count))


def _titles(datasets: Mapping[str, SetOptions]) -> dict[str, str]:
    """A set's ``name``, or its key where there is none or two have the same: it names a folder."""
    names = [section.name for section in datasets.values()]
    return {key: section.name if section.name and names.count(section.name) == 1 else key for key, section in datasets.items()}


def agree(dataset: ClipSet, protocol: str | None, settings: Settings) -> Match | None:
    """How far a test set and the way it is scored agree with a protocol: the one named, else the one recognised.

    One frame is degraded anew to see whether the LR frames are what the protocol wants.
    """
    if not dataset.has_gt:
        return None
    frames = {clip.name: len(clip.frames) for clip in dataset.clips}
    scale = settings.scale
    sizes = {clip.name: (clip.size[0] * scale, clip.size[1] * scale) for clip in dataset.clips}
    fitting = [match(get(protocol), frames, sizes)] if protocol else candidates(frames, sizes)
    if not fitting or fitting[0].kind == 'mismatch':
        return fitting[0] if fitting else None
    frame = dataset.scored(0)[0]
    degradation = recognise(dataset.read_gt(0, frame), dataset.read_lq(0)[frame])
    found = next((m for m in fitting if m.protocol.degradation == degradation), fitting[0])
    wrong = metric_differences(found.protocol, settings.metrics)
    if found.protocol.degradation != degradation:
        wrong.append(f'the LR frames are {degradation or "neither BI nor BD"}, wanted {found.protocol.degradation}')
    if found.protocol.scale != scale:
        wrong.append(f'scale {scale}, wanted {found.protocol.scale}')
    length = len(dataset.clips[0].frames)
    counting = [length // 2] if settings.center_frame_only else dataset.scored(0)
    if counting != (list(range(length)) if found.protocol.scored == 'all' else [length // 2]):
        wrong.append(f'{len(counting)} of {length} frames count, wanted: {found.protocol.scored}')
    return found.spoiled('; '.join(wrong)) if wrong else found


def compare(scores: SetScores, agreement: Match | None, settings: Settings, network: NetworkFacts) -> tuple[Comparison, ...]:
    """Published results beside the totals; none unless data and settings are exactly the protocol's."""
    if agreement is None or agreement.kind != 'exact':
        return ()
    rows = []
    for result in agreement.protocol.results_of(network.method or network.type):
        note = '' if result.mirrored == settings.flip_seq else f'published {"with" if result.mirrored else "without"} flip_seq'
        for metric in scores.metrics:
            figure = {'calculate_psnr': 'psnr', 'calculate_ssim': 'ssim'}.get(settings.metrics[metric]['type'])
            if figure is None:
                continue
            for method, source, figures in ((result.method, result.source, result), (result.method, 'released weights', result.released)):
                published = getattr(figures, figure, None)
                if published is not None:
                    rows.append(Comparison(method, source, figure, published, scores.total(metric), note))
    return tuple(rows)


def _say(report: SetReport) -> None:
    print_scores(report.scores, report.label)
    if report.comparisons and report.agreement:
        print_comparisons(report.agreement.label, report.comparisons)
    elif report.agreement and report.agreement.explanation:
        log.logger.warning(f'{report.scores.title}: {report.agreement.explanation}')


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
        'versions': {'iart': __version__, 'python': platform.python_version(), 'torch': torch.__version__, 'numpy': np.__version__},
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
            }
            for clip in scores.clips
        ],
        'seconds': round(scores.seconds, 3),
        'fps': round(scores.restored / scores.seconds, 3) if scores.seconds else None,
        'memory_mb': round(scores.memory_mb, 1),
    }


def sha256(path: Path) -> str:
    """Hash of a file's contents."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        for part in iter(lambda: file.read(2**20), b''):
            digest.update(part)
    return digest.hexdigest()
