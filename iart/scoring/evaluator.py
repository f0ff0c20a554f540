"""Scoring a test set: restore every clip once, somewhere, frame by frame, and measure each frame against its ground
truth.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from iart import device as devices
from iart import distributed, log
from iart.component_errors import component_errors
from iart.errors import DataError, OptionsError, UserError
from iart.image import Frame, to_uint8, write_png
from iart.inference.restorer import Restore
from iart.registry import METRIC_REGISTRY, find
from iart.scoring.restored_clip import ClipSet, RestoredClip
from iart.scoring.scores import ClipScores, SetScores
from iart.scoring.settings import Saving, Settings
from iart.signature import fit_to_signature

_MOST_TRIED = 256  # pixels

Metric = Callable[[Frame, Frame], float]
"""(restored, ground truth), both (h, w, 3) uint8 RGB -> the figure."""


def build_metrics(sections: Mapping[str, Mapping[str, Any]], *, key: str = 'val.metrics') -> dict[str, Metric]:
    """Metrics by the names the options give them; any of METRIC_REGISTRY that compares two uint8 images.

    ``better`` in a section belongs to the choice of the best checkpoint and is left out here.

    Raises:
        OptionsError: no such metric, or arguments that do not fit it.
    """
    return {name: _build_metric(section, f'{key}.{name}') for name, section in sections.items()}


def _build_metric(section: Mapping[str, Any], key: str) -> Metric:
    function = find(METRIC_REGISTRY, section['type'])
    arguments = {k: v for k, v in section.items() if k not in ('type', 'better')}
    fitted, problems = fit_to_signature(function, arguments, key=key, given=frozenset({'img', 'img2'}))
    if problems:
        raise OptionsError('\n'.join(str(p) for p in problems))

    def measure(restored: Frame, gt: Frame) -> float:
        bgr = [np.ascontiguousarray(image[..., ::-1]) for image in (restored, gt)]  # the order that BasicSR expects
        height, width = gt.shape[:2]
        try:
            with component_errors(key, f'{section["type"]} fails on frames of {width}x{height}'):
                return float(function(img=bgr[0], img2=bgr[1], **fitted))
        except UserError as error:  # a metric of ours does not know which key asked for it
            text = str(error)
            raise OptionsError(text if text.startswith(key) else f'{key}: {text}') from error

    return measure


def try_metrics(metrics: Mapping[str, Metric], datasets: Iterable[ClipSet], scale: int) -> None:
    """Measure a frame of noise with every metric before anything is restored.

    Args:
        metrics: see :func:`build_metrics`.
        datasets: the sets to score, whose smallest frames are tried, of at most 256 pixels a side.
        scale: GT size divided by LR size.

    Raises:
        OptionsError: a metric fails; names its key and repeats its own words.
    """
    sizes = {clip.size for dataset in datasets if dataset.has_gt for clip in dataset.clips}
    if not sizes:
        return
    height, width = (min(_MOST_TRIED, scale * min(size[axis] for size in sizes)) for axis in (0, 1))
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for metric in metrics.values():
        metric(frame, frame[::-1].copy())


def score_set(
    restore: Restore,
    dataset: ClipSet,
    metrics: Mapping[str, Metric],
    settings: Settings,
    *,
    device: torch.device,
    saving: Saving | None = None,
    title: str = 'score',
) -> SetScores:
    """Restore and measure every clip. To be called on every rank: each clip is done by one of them, all get the result.

    Args:
        restore: what restores; LR frames are given and restored ones taken one by one.
        dataset: clips with or without ground truth; without, frames are only restored and saved.
        metrics: see :func:`build_metrics`.
        settings: how frames are restored and which of them count.
        device: what ``restore`` computes on.
        saving: which restored frames are written; None writes nothing.
        title: name of the set, in the progress bar, in the result and as the folder of saved frames.

    Raises:
        DataError: a restored frame is not of its ground truth's size; a file cannot be read or written.
    """
    metrics = metrics if dataset.has_gt else {}
    saved = saving.chosen([clip.name for clip in dataset.clips]) if saving is not None else ()
    lengths = [len(clip.frames) for clip in dataset.clips]
    mine = share_out(lengths, distributed.world_size())[distributed.rank()]
    done: dict[int, ClipScores] = {}
    with log.Bar(f'scoring {title}', sum(lengths[i] for i in mine)) as bar:
        for i in mine:
            clip = dataset.clips[i]
            target = partial(saving.file, title, clip.name) if saving is not None and clip.name in saved else None
            done[i] = _score_clip(RestoredClip(restore, dataset, i, settings, device), metrics, target, bar)
    gathered = distributed.gather((done, devices.peak_memory_mb(device)))
    clips = {i: scores for part, _ in gathered for i, scores in part.items()}
    return SetScores(
        title, tuple(metrics), tuple(clips[i] for i in range(len(lengths))), tuple(memory for _, memory in gathered)
    )


def share_out(lengths: list[int], ranks: int) -> list[list[int]]:
    """Clips for each rank: the longest first, each to the rank with the least frames so far."""
    shares: list[list[int]] = [[] for _ in range(ranks)]
    load = [0] * ranks
    for clip in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        rank = load.index(min(load))
        shares[rank].append(clip)
        load[rank] += lengths[clip]
    return [sorted(share) for share in shares]


def _score_clip(
    clip: RestoredClip, metrics: Mapping[str, Metric], target: Callable[[str], Path] | None, bar: log.Bar
) -> ClipScores:
    """Measure the frames that count, and save them or, unless only the middle one counts, all of the clip.

    Args:
        clip: the clip, which restores itself.
        metrics: see :func:`build_metrics`.
        target: name of a frame → the file to save it in; None saves nothing.
        bar: advanced by every frame.
    """
    values: dict[int, dict[str, float]] = {}
    for index, output in clip.frames(all_of_them=target is not None):
        bar.advance(note=clip.name)
        if output is None:
            continue
        image, frame = to_uint8(output[0]), clip.frame_names[index]
        if metrics and index in clip.scored:
            values[index] = _measure(image, clip.ground_truth(index), metrics, f'clip {clip.name}, frame {frame}')
        if target is not None:
            write_png(target(frame), image)
    return ClipScores(
        clip.name,
        frames=tuple(clip.frame_names[index] for index in clip.scored),
        values={metric: tuple(values[index][metric] for index in clip.scored) for metric in metrics},
        restored=len(clip.frame_names),
        seconds=clip.seconds,
        plans=tuple(plan.how for plan in clip.plans),
        exact=all(plan.exact for plan in clip.plans),
    )


def _measure(image: Frame, gt: Frame, metrics: Mapping[str, Metric], where: str) -> dict[str, float]:
    if image.shape != gt.shape:
        restored, expected = (f'{s.shape[1]}x{s.shape[0]}' for s in (image, gt))
        raise DataError(
            f'{where}: the restored frame is {restored}, its ground truth {expected}, expected the same size (is '
            '`scale` right?)'
        )
    return {name: metric(image, gt) for name, metric in metrics.items()}
