"""What can be checked before any frame is decoded: do LR and GT hold the same clips, counts and sizes?"""

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
        gt_frames: name of the GT frame to each LR frame, '' where there is none; empty without ground truth.
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
    wanted: Sequence[str] | None = None,
) -> dict[str, MetaClip]:
    """The clips to use: those of the meta file, else all that LR or GT has; of these ``wanted``, if given.

    Raises:
        DataError: a wanted clip is not among them, or nothing is left.
    """
    if meta is None:
        found = {*lq.clips(), *(gt.clips() if gt is not None else ())}
        meta = {name: MetaClip() for name in sorted(found, key=natural_key)}
    clips = dict(meta)
    if wanted is not None:
        unknown = [c for c in wanted if c not in clips]
        if unknown:
            hint = nearest(unknown[0], clips) or f'there are {listing(clips)}'
            raise DataError(f'{lq.root}: no clip named {listing(unknown)}; {hint}')
        clips = {c: clips[c] for c in wanted}
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
    """Hold LR and GT frames against each other and against the meta file.

    Frames belong together by name, or by their place where the two sides use different names altogether.

    Args:
        lq: the low-resolution frames.
        gt: the ground truth, ``scale`` times as large; None without.
        clips: the clips to check, in the order of the result.
        scale: GT size divided by LR size.
        every_size: read the header of every frame instead of every clip's first.
        center_only: only the middle frame of a clip needs ground truth.

    Raises:
        DataError: something is missing or does not fit; all problems (the first twenty) in one message.
    """
    problems: list[str] = []
    pairs = []
    names: Iterable[str] = clips
    if len(clips) > _MANY_CLIPS:
        names = log.track(clips, f'checking the clips of {lq.root}', len(clips), 'clip')
    for name in names:
        try:
            pair, found = _pair(lq, gt, name, clips[name], center_only)
            found = found or _wrong_sizes(lq, gt, pair, clips[name], scale, every_size)
            if pair.frames and not found:
                size = lq.size(name, pair.frames[0])
                pairs.append(ClipInfo(name, pair.frames, pair.gt_frames, size))
        except DataError as error:
            found = [str(error)]
        problems += found
    if problems:
        more = f'\n... and {len(problems) - _MOST_PROBLEMS} more' if len(problems) > _MOST_PROBLEMS else ''
        roots = f'{lq.root} and {gt.root} do not fit together' if gt is not None else f'{lq.root} cannot be used'
        raise DataError(f'{roots}:\n' + '\n'.join(problems[:_MOST_PROBLEMS]) + more)
    return pairs


def check_teacher(teacher: FrameStore, clips: Sequence[ClipInfo], scale: int) -> None:
    """Check that a teacher's outputs are there for every frame, and of the size of the ground truth.

    Raises:
        DataError: clips or frames are missing, or a clip's first frame is of another size.
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
    """Names that belong together, and the problems found in them."""
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
    """The meta file's count is the truth where there is one; else the numbering must have no holes."""
    if meta.frames is not None:
        if len(frames) == meta.frames:
            return []
        holes = [store.where(name, f) for f in missing_numbers(frames)]
        hint = f'; missing: {listing(holes, 5)}' if holes else ''
        return [f'clip {name}: got {len(frames)} frames in {store.root}, expected {meta.frames} (meta_info_file){hint}']
    holes = [store.where(name, f) for f in missing_numbers(frames)]
    remedy = 'if that is meant, give a meta_info_file with the number of frames'
    return [f'clip {name}: the numbering has holes; missing: {listing(holes, 5)} ({remedy})'] if holes else []


def missing_numbers(frames: Sequence[str]) -> list[str]:
    """Names left out of an otherwise regular numbering, such as ``im3`` in im1, im2, im4.

    Regular means: names equal but for their last number, and steps that are all multiples of the most common one
    (time stamps are not regular and have no holes).
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
    """Sizes from headers: GT is exactly ``scale`` times LR, and all frames of a clip are equal."""
    problems = []
    indexes = range(len(clip.frames)) if every else [next((i for i, f in enumerate(clip.gt_frames) if f), 0)]
    first = lq.size(clip.name, clip.frames[0])
    for index in indexes:
        frame = clip.frames[index]
        low = lq.size(clip.name, frame)
        if low != first:
            problems.append(
                f'{lq.where(clip.name, frame)}: got {_text(low)}, expected {_text(first)}, as the clip begins'
            )
        if gt is None or not clip.gt_frames or not clip.gt_frames[index]:
            continue
        high, wanted = gt.size(clip.name, clip.gt_frames[index]), (low[0] * scale, low[1] * scale)
        where = gt.where(clip.name, clip.gt_frames[index])
        if high != wanted:
            problems.append(
                f'{where}: got {_text(high)}, expected {_text(wanted)}, {scale} times {lq.where(clip.name, frame)}'
            )
        elif meta.size is not None and high != meta.size:
            problems.append(f'{where}: got {_text(high)}, expected {_text(meta.size)} (meta_info_file)')
    return problems[:_MOST_PROBLEMS]


def _text(size: tuple[int, int]) -> str:
    return f'{size[1]}x{size[0]}'
