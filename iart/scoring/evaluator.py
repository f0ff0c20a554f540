"""Scoring a test set: restore every clip once, somewhere, frame by frame, and measure each frame against its ground
truth.
"""

import statistics
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from iart import device as devices
from iart import distributed, log
from iart.component_errors import component_errors
from iart.errors import DataError, OptionsError, UserError
from iart.image import Frame, to_uint8, write_png
from iart.inference.plan import Plan
from iart.inference.restorer import Restore
from iart.registry import METRIC_REGISTRY, find
from iart.scoring.restored_clip import RestoredClip
from iart.signature import fit_to_signature

_MOST_TRIED = 256  # pixels

Metric = Callable[[Frame, Frame], float]
"""(restored, ground truth), both (h, w, 3) uint8 RGB -> the figure."""


class ClipLike(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def frames(self) -> tuple[str, ...]: ...


class ClipSet(Protocol):
    """What the test sets of ``iart.data`` offer; frames are uint8 RGB."""

    @property
    def clips(self) -> Any: ...
    @property
    def has_gt(self) -> bool: ...
    def scored(self, clip: int) -> list[int]: ...
    def read_lq_frame(self, clip: int, frame: int) -> Frame: ...
    def read_gt(self, clip: int, frame: int) -> Frame: ...


@dataclass(frozen=True)
class ClipScores:
    """What was measured on one clip.

    Args:
        frames: names of the frames that count.
        values: per metric the figures of these frames, in order; none without ground truth.
        restored: number of frames that the network gave.
        seconds: time spent restoring, without reading, measuring and writing.
        plans: memory plans by which it was restored, in words and in order: more than one where memory ran out.
        exact: whether each of them gives the same bits as the whole clip in one pass.
    """

    name: str
    frames: tuple[str, ...]
    values: dict[str, tuple[float, ...]]
    restored: int
    seconds: float
    plans: tuple[str, ...] = ()
    exact: bool = True

    def mean(self, metric: str) -> float:
        """Mean over the clip's frames; infinite as soon as one frame is identical to its ground truth."""
        return _mean(self.values[metric])

    @property
    def fps(self) -> float:
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

    def clip_mean(self, clip: int, metric: str) -> float:
        return self.clips[clip].mean(metric)

    def total(self, metric: str) -> float:
        """The protocols' average: over the frames of a clip, then over clips."""
        return _mean([clip.mean(metric) for clip in self.clips])

    @property
    def memory_mb(self) -> float:
        """Peak memory of the rank that took most."""
        return max(self.rank_memory_mb, default=0.0)

    @property
    def approximations(self) -> tuple[str, ...]:
        """The plans, in words, that do not give what the whole clip in one pass gives; empty when all scores
        are exact."""
        return tuple(dict.fromkeys(clip.plans[-1] for clip in self.clips if not clip.exact))

    def totals(self) -> dict[str, float]:
        return {metric: self.total(metric) for metric in self.metrics}

    @property
    def seconds(self) -> float:
        """Time spent restoring, summed over clips (and so over ranks)."""
        return sum(clip.seconds for clip in self.clips)

    @property
    def restored(self) -> int:
        return sum(clip.restored for clip in self.clips)


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
        bgr = [
            np.ascontiguousarray(image[..., ::-1]) for image in (restored, gt)
        ]  # the border to BasicSR, which thinks in BGR
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
    *,
    device: torch.device,
    flip_seq: bool = False,
    center_frame_only: bool = False,
    save_to: Path | None = None,
    save_clips: Collection[str] | None = None,
    suffix: str | None = None,
    title: str = 'score',
    spill_to: Path | None = None,
) -> SetScores:
    """Restore and measure every clip. To be called on every rank: each clip is done by one of them, all get the result.

    Args:
        restore: see :data:`iart.inference.restorer.Restore`; LR frames are given and restored ones taken one by one.
        dataset: clips with or without ground truth; without, frames are only restored and saved.
        metrics: see :func:`build_metrics`.
        device: what ``restore`` computes on.
        flip_seq: take the mean of what ``restore`` gives for a frame and for its mirror image in the clip
            followed by itself reversed (2t frames), before rounding.
        center_frame_only: only frame t // 2 counts and is saved.
        save_to: folder for the restored frames, ``<clip>/<frame>.png``; None saves nothing.
        save_clips: names of the clips that are saved; None: every clip.
        suffix: appended to the names of saved frames, after an underscore.
        title: of the progress bar and of the result.
        spill_to: folder for what waits on disk; None: the system's temporary folder.

    Raises:
        DataError: a restored frame is not of its ground truth's size; a file cannot be read or written.
    """
    metrics = metrics if dataset.has_gt else {}
    lengths = [len(clip.frames) for clip in dataset.clips]
    mine = share_out(lengths, distributed.world_size())[distributed.rank()]
    done: dict[int, ClipScores] = {}
    with log.Bar(title, sum(lengths[i] for i in mine)) as bar:
        for i in mine:
            frames = RestoredClip(
                restore,
                partial(dataset.read_lq_frame, i),
                lengths[i],
                device,
                mirrored=flip_seq,
                spill_to=spill_to,
                read_flows=partial(dataset.read_flows, i) if hasattr(dataset, 'read_flows') else None,
            )
            wanted = [lengths[i] // 2] if center_frame_only else None
            kept = save_to if save_clips is None or dataset.clips[i].name in save_clips else None
            done[i] = _score_clip(frames, dataset, i, metrics, wanted=wanted, save_to=kept, suffix=suffix, bar=bar)
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
    frames: RestoredClip,
    dataset: ClipSet,
    index: int,
    metrics: Mapping[str, Metric],
    *,
    wanted: list[int] | None,
    save_to: Path | None,
    suffix: str | None,
    bar: log.Bar,
) -> ClipScores:
    """Measure the frames that count and save all of them, or only ``wanted`` where given."""
    clip = dataset.clips[index]
    counting = dataset.scored(index) if wanted is None else wanted
    values: dict[int, dict[str, float]] = {}
    for j, output in frames.in_any_order(wanted if wanted is not None or save_to else counting):
        bar.advance(note=clip.name)
        if output is None:
            continue
        image = to_uint8(output[0])
        if metrics and j in counting:
            values[j] = _measure(image, dataset.read_gt(index, j), metrics, f'clip {clip.name}, frame {clip.frames[j]}')
        if save_to is not None:
            name = f'{clip.frames[j]}_{suffix}.png' if suffix else f'{clip.frames[j]}.png'
            write_png(save_to / clip.name / name, image)
    named = {metric: tuple(values[j][metric] for j in counting) for metric in metrics}
    plans: list[Plan] = getattr(frames.restore, 'used', [])  # only what plans says how
    how, exact = tuple(plan.how for plan in plans), all(plan.exact for plan in plans)
    return ClipScores(
        clip.name, tuple(clip.frames[j] for j in counting), named, len(clip.frames), frames.seconds, how, exact
    )


def _measure(image: Frame, gt: Frame, metrics: Mapping[str, Metric], where: str) -> dict[str, float]:
    if image.shape != gt.shape:
        found, wanted = (f'{s.shape[1]}x{s.shape[0]}' for s in (image, gt))
        raise DataError(
            f'{where}: the restored frame is {found}, its ground truth {wanted}, expected the same size (is '
            '`scale` right?)'
        )
    return {name: metric(image, gt) for name, metric in metrics.items()}


def _mean(values: list[float] | tuple[float, ...]) -> float:
    return statistics.fmean(values) if values else float('nan')
