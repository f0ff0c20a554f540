"""Scoring a test set: restore every clip once, somewhere, frame by frame, and measure each frame against its ground
truth.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import torch

from iart import device as devices
from iart import distributed, log
from iart.errors import DataError
from iart.image import Frame, to_uint8, write_png
from iart.inference.restorer import Restore
from iart.overlap import overlapped
from iart.scoring.measures import Measure, Metric, usable
from iart.scoring.restored_clip import ClipSet, RestoredClip
from iart.scoring.scores import ClipScores, SetScores
from iart.scoring.settings import Saving, Settings


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
        dataset: clips with or without ground truth; without, metrics that need it are left out.
        metrics: see :func:`build_metrics`.
        settings: how frames are restored and which of them count.
        device: what ``restore`` computes on.
        saving: which restored frames are written; None writes nothing.
        title: name of the set, in the progress bar, in the result and as the folder of saved frames.

    Raises:
        DataError: a restored frame is not of its ground truth's size; a file cannot be read or written.
    """
    metrics = usable(metrics, dataset.has_gt, title)
    saved = saving.chosen([clip.name for clip in dataset.clips]) if saving is not None else ()
    lengths = [len(clip.frames) for clip in dataset.clips]
    mine = share_out(lengths, distributed.world_size())[distributed.rank()]
    done: dict[int, ClipScores] = {}
    with log.Bar(f'scoring {title}', sum(lengths[i] for i in mine)) as bar:
        for i in mine:
            clip = dataset.clips[i]
            target = partial(saving.file, title, clip.name) if saving is not None and clip.name in saved else None
            clip_at_work = RestoredClip(restore, dataset, i, settings, device)
            done[i] = _score_clip(clip_at_work, metrics, target, bar, has_gt=dataset.has_gt)
    gathered = distributed.gather((done, devices.peak_memory_mb(device)))
    clips = {i: scores for part, _ in gathered for i, scores in part.items()}
    return SetScores(
        title, tuple(metrics), tuple(clips[i] for i in range(len(lengths))), tuple(memory for _, memory in gathered)
    )


def share_out(lengths: list[int], ranks: int) -> list[list[int]]:
    """Divide clips among ranks: the longest first, each to the rank with the fewest frames so far."""
    shares: list[list[int]] = [[] for _ in range(ranks)]
    load = [0] * ranks
    for clip in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        rank = load.index(min(load))
        shares[rank].append(clip)
        load[rank] += lengths[clip]
    return [sorted(share) for share in shares]


def _score_clip(
    clip: RestoredClip,
    metrics: Mapping[str, Metric],
    target: Callable[[str], Path] | None,
    bar: log.Bar,
    *,
    has_gt: bool,
) -> ClipScores:
    """Measure the frames that count, and save them or, unless only the middle one counts, all of the clip.

    Args:
        clip: the clip, which restores itself.
        metrics: see :func:`build_metrics`.
        target: name of a frame → the file to save it in; None saves nothing.
        bar: advanced by every frame.
        has_gt: whether there is ground truth.
    """
    values: dict[int, dict[str, float | None]] = {}

    def frames() -> Iterator[tuple[int, Frame]]:
        for index, output in clip.frames(all_of_them=target is not None):
            bar.advance(note=clip.name)
            if output is not None:
                yield index, to_uint8(output[0])

    def measure(restored: Iterator[tuple[int, Frame]]) -> None:
        before: dict[int, tuple[Frame, Frame | None]] = {}
        for index, image in restored:
            frame = clip.frame_names[index]
            if metrics and index in clip.scored:
                gt = clip.ground_truth(index) if has_gt else None
                where = f'clip {clip.name}, frame {frame}'
                values[index] = _measure(image, gt, before.get(index - 1), metrics, where)
                before = {index: (image, gt)}
            if target is not None:
                write_png(target(frame), image)

    overlapped(frames(), measure)  # a frame is measured and written while the next one is restored
    return ClipScores(
        clip.name,
        frames=tuple(clip.frame_names[index] for index in clip.scored),
        values={metric: tuple(values[index][metric] for index in clip.scored) for metric in metrics},
        restored=len(clip.frame_names),
        seconds=clip.seconds,
        plans=tuple(plan.how for plan in clip.plans),
        exact=all(plan.exact for plan in clip.plans),
    )


def _measure(
    image: Frame,
    gt: Frame | None,
    previous: tuple[Frame, Frame | None] | None,
    metrics: Mapping[str, Metric],
    where: str,
) -> dict[str, float | None]:
    if gt is not None and image.shape != gt.shape:
        restored, expected = (f'{s.shape[1]}x{s.shape[0]}' for s in (image, gt))
        raise DataError(
            f'{where}: the restored frame is {restored}, its ground truth {expected}, expected the same size (is '
            '`scale` right?)'
        )
    return {
        name: metric(image, gt, previous) if isinstance(metric, Measure) else metric(image, gt)
        for name, metric in metrics.items()
    }
