"""Checks before any frame is decoded: whether LR and GT have the same clips, counts and sizes."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from iart import log
from iart.data.absence import explain_absence
from iart.data.frames import FrameStore
from iart.data.meta import MetaClip
from iart.data.store import FrameNumbers
from iart.errors import DataError, listing, nearest
from iart.image import natural_key

_MANY_CLIPS = 2000
_MOST_PROBLEMS = 20


@dataclass(frozen=True)
class ClipInfo:
    """A clip that passed the checks.

    Args:
        name: such as ``000`` or ``00001/0001``.
        frames: names of the LR frames without extension, in natural order.
        gt_frames: name of the GT frame of each LR frame, '' if there is none; empty without ground truth.
        size: (h, w) of the first LR frame.
    """

    name: str
    frames: Sequence[str]
    gt_frames: Sequence[str] = ()
    size: tuple[int, int] = (0, 0)


def choose_clips(
    lq: FrameStore,
    gt: FrameStore | None = None,
    meta: Mapping[str, MetaClip] | None = None,
    names: Sequence[str] | None = None,
) -> dict[str, MetaClip]:
    """Return the clips to use: those of the meta file, else all of LR or GT; of these ``names``, if given.

    Raises:
        DataError: a named clip is not among them, or no clip remains.
    """
    if meta is None:
        present = {*lq.clips(), *(gt.clips() if gt is not None else ())}
        meta = {name: MetaClip() for name in sorted(present, key=natural_key)}
    clips = dict(meta)
    if names is not None:
        unknown = [c for c in names if c not in clips]
        if unknown:
            hint = nearest(unknown[0], clips) or f'there are {listing(clips)}'
            raise DataError(f'{lq.root}: no clip named {listing(unknown)}; {hint}')
        clips = {c: clips[c] for c in names}
    if not clips:
        raise DataError(f'{lq.root}: got no clips')
    return clips


def pair_clips(
    lq: FrameStore,
    gt: FrameStore | None,
    clips: Mapping[str, MetaClip],
    *,
    scale: int,
    every_size: bool = False,
    center_only: bool = False,
) -> list[ClipInfo]:
    """Compare LR and GT frames with each other and with the meta file.

    Frames are paired by name, or by position if all names differ.

    Args:
        lq: the LR frames.
        gt: the ground truth, ``scale`` times as large; None if there is none.
        clips: the clips to check, in the order of the result.
        scale: GT size divided by LR size.
        every_size: whether to read the header of every frame instead of the first one's.
        center_only: whether only the middle frame of a clip needs ground truth.

    Raises:
        DataError: frames are missing or do not fit; the message lists the first twenty problems.
    """
    problems: list[str] = []
    pairs = []
    names: Iterable[str] = clips
    if len(clips) > _MANY_CLIPS:
        names = log.track(clips, f'checking the clips of {lq.root}', len(clips), 'clip')
    for name in names:
        try:
            pair, wrong = _pair(lq, gt, name, clips[name], center_only)
            wrong = wrong or _wrong_sizes(lq, gt, pair, clips[name], scale, every_size)
            if pair.frames and not wrong:
                size = lq.size(name, pair.frames[0])
                pairs.append(ClipInfo(name, pair.frames, pair.gt_frames, size))
        except DataError as error:
            wrong = [str(error)]
        problems += wrong
    if problems:
        more = f'\n... and {len(problems) - _MOST_PROBLEMS} more' if len(problems) > _MOST_PROBLEMS else ''
        roots = f'{lq.root} and {gt.root} do not fit together' if gt is not None else f'{lq.root} cannot be used'
        raise DataError(f'{roots}:\n' + '\n'.join(problems[:_MOST_PROBLEMS]) + more)
    return pairs


def check_teacher(teacher: FrameStore, clips: Sequence[ClipInfo], scale: int) -> None:
    """Check that a teacher's output exists for every frame and has the size of the ground truth.

    Raises:
        DataError: clips or frames are missing, or a clip's first frame has another size.
    """
    problems = []
    for clip in clips:
        frames = set(teacher.frames(clip.name))
        if missing := [frame for frame in clip.gt_frames if frame not in frames]:
            problems.append(f'clip {clip.name}: missing: {listing([teacher.where(clip.name, f) for f in missing], 5)}')
            continue
        size, expected = teacher.size(clip.name, clip.gt_frames[0]), (clip.size[0] * scale, clip.size[1] * scale)
        if size != expected:
            where = teacher.where(clip.name, clip.gt_frames[0])
            problems.append(f'{where}: got {_text(size)}, expected {_text(expected)}')
    if problems:
        raise DataError(
            f'dataroot_teacher {teacher.root} does not fit the clips:\n' + '\n'.join(problems[:_MOST_PROBLEMS])
        )


def _pair(
    lq: FrameStore, gt: FrameStore | None, name: str, meta: MetaClip, center_only: bool
) -> tuple[ClipInfo, list[str]]:
    """Return a clip with its frames paired, and the problems."""
    low = lq.frames(name)
    sides = [(lq, low)] if gt is None else [(lq, low), (gt, gt.frames(name))]
    for store, frames in sides:
        if not frames:
            reason = explain_absence(store, name)
            text = f'clip {name}: no frames in {store.root}, expected {meta.frames or "some"}'
            return ClipInfo(name, ()), [f'{text}; {reason}' if reason else text]
    if gt is not None and center_only and low[len(low) // 2] in gt.frames(name):
        present = set(gt.frames(name))
        return ClipInfo(name, low, tuple(f if f in present else '' for f in low)), _wrong_count(lq, name, low, meta)
    high = sides[-1][1]
    if gt is not None and low != high and set(low) & set(high) and set(low) != set(high):
        missing = [lq.where(name, f) for f in high if f not in set(low)] + [
            gt.where(name, f) for f in low if f not in set(high)
        ]
        return ClipInfo(name, low), [
            f'clip {name}: {len(low)} LR and {len(high)} GT frames; missing: {listing(missing, 5)}'
        ]
    if len(low) != len(high):
        return ClipInfo(name, low), [f'clip {name}: {len(low)} frames in {lq.root}, {len(high)} in {sides[-1][0].root}']
    problems = [p for store, frames in sides for p in _wrong_count(store, name, frames, meta)]
    return ClipInfo(name, low, high if gt is not None else ()), problems


def _wrong_count(store: FrameStore, name: str, frames: Sequence[str], meta: MetaClip) -> list[str]:
    """Compare the count with the meta file's; without one, the numbering must have no gaps."""
    if meta.frames is not None:
        if len(frames) == meta.frames:
            return []
        holes = [store.where(name, f) for f in missing_numbers(frames)]
        hint = f'; missing: {listing(holes, 5)}' if holes else ''
        return [f'clip {name}: got {len(frames)} frames in {store.root}, expected {meta.frames} (meta_info_file){hint}']
    holes = [store.where(name, f) for f in missing_numbers(frames)]
    remedy = 'if this is intended, give a meta_info_file with the number of frames'
    return [f'clip {name}: the numbering has gaps; missing: {listing(holes, 5)} ({remedy})'] if holes else []


def missing_numbers(frames: Sequence[str]) -> list[str]:
    """Return the names missing in an otherwise regular numbering, such as ``im3`` in im1, im2, im4.

    A numbering is regular if names differ in their last number only and all steps are multiples of the most common one
    (time stamps are not regular and have no gaps).
    """
    if isinstance(frames, FrameNumbers):
        return []
    matches = [re.match(r'^(.*?)(\d+)(\D*)$', f) for f in frames]
    if len(frames) < 3 or any(m is None for m in matches) or len({(m[1], m[3]) for m in matches if m}) > 1:
        return []
    parts = [m for m in matches if m]
    numbers = [int(m[2]) for m in parts]
    steps = Counter(b - a for a, b in pairwise(numbers))
    step = min(steps)
    if step < 1 or any(s % step for s in steps) or steps[step] < max(steps.values()):
        return []
    present = set(numbers)
    holes = [n for n in range(numbers[0], numbers[-1], step) if n not in present]
    return [f'{parts[0][1]}{n:0{len(parts[0][2])}d}{parts[0][3]}' for n in holes] if len(holes) < len(frames) else []


def _wrong_sizes(
    lq: FrameStore, gt: FrameStore | None, clip: ClipInfo, meta: MetaClip, scale: int, every: bool
) -> list[str]:
    """Compare sizes in headers: GT is exactly ``scale`` times LR, and all frames of a clip are equal."""
    problems = []
    indexes = range(len(clip.frames)) if every else [next((i for i, f in enumerate(clip.gt_frames) if f), 0)]
    first = lq.size(clip.name, clip.frames[0])
    for index in indexes:
        frame = clip.frames[index]
        low = lq.size(clip.name, frame)
        if low != first:
            problems.append(
                f'{lq.where(clip.name, frame)}: got {_text(low)}, expected {_text(first)} as in its first frame'
            )
        if gt is None or not clip.gt_frames or not clip.gt_frames[index]:
            continue
        high, expected = gt.size(clip.name, clip.gt_frames[index]), (low[0] * scale, low[1] * scale)
        where = gt.where(clip.name, clip.gt_frames[index])
        if high != expected:
            problems.append(
                f'{where}: got {_text(high)}, expected {_text(expected)}, {scale} times {lq.where(clip.name, frame)}'
            )
        elif meta.size is not None and high != meta.size:
            problems.append(f'{where}: got {_text(high)}, expected {_text(meta.size)} (meta_info_file)')
    return problems[:_MOST_PROBLEMS]


def _text(size: tuple[int, int]) -> str:
    return f'{size[1]}x{size[0]}'
