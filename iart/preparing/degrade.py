"""LR frames from ground truth: any tree of images, or video files."""

from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import numpy as np

from iart import log
from iart.data.frames import file_bytes, find_store
from iart.data.videos import VideoStore
from iart.degradations import Chain, build_chain
from iart.degradations.step import to_bytes
from iart.errors import DataError, UserError
from iart.image import Frame, decode_image, write_png
from iart.ops.degradation import KINDS, degrade_uint8, taps
from iart.partial import PartialFolder
from iart.preparing.jobs import run_all
from iart.preparing.listings import check_tree, find_frames
from iart.video.container import is_video


def degrade_data(
    source: Path,
    target: Path,
    *,
    kind: str,
    scale: int = 4,
    jobs: int = 1,
    compression: int = 3,
    holes: bool = False,
    seed: int = 0,
) -> int:
    """Write the LR frame of every frame in ``source`` to the same relative path in ``target``, as PNG.

    A video file becomes a folder of frames with its name. Rows and columns beyond a multiple of ``scale`` are not used.
    An interrupted run leaves ``<target>.partial`` only, which the next run continues.

    Args:
        source: folder with images at any depth, folder of video files, or a video file.
        target: folder to create.
        kind: ``BI`` or ``BD``, or a degradation chain: its name or YAML file. A chain runs once over each clip (the
            images of one folder, or a video) from its first frame to its last.
        scale: source size divided by LR size; 1 with a chain only.
        jobs: number of threads for frames, or for clips with a chain.
        compression: PNG level, 0 to 9.
        holes: whether gaps in the numbering of frames are accepted.
        seed: seed of a chain's random numbers, together with the number of the clip.

    Returns:
        Number of frames written, without those of an earlier run.

    Raises:
        UserError: there is no such degradation; frames cannot be read or do not fit together; the target exists or
            cannot be written.
    """
    if seed < 0:
        raise UserError(f'--seed: got {seed}, expected 0 or more')
    chain = None if kind in KINDS else build_chain(kind, key='--kind')
    if chain is None:
        taps(kind, scale)  # raises when there is no such degradation
        if scale == 1:
            raise UserError(f'--scale: got 1 with {kind}, which changes nothing there, expected 2 to 4, or a chain')
    elif not chain.lq_steps:
        raise UserError(f'--kind: got {kind}, which changes the ground truth only, expected steps that degrade it')
    work = _from_videos(source) if _is_video_source(source) else _from_tree(source, holes, jobs)
    _log_cropping(work, scale)
    settings = {'made': f'{kind} 1/{scale}', 'from': str(source.resolve())}
    if chain is not None:
        settings |= {'steps': repr((chain.gt_steps, chain.lq_steps)), 'seed': str(seed)}
    with PartialFolder(target, becomes_output=True) as unfinished:
        unfinished.begin(settings)
        if chain is not None:
            written = _run_chain(
                chain, work, unfinished.folder, scale=scale, seed=seed, jobs=jobs, compression=compression
            )
            unfinished.finish()
            return written
        missing = [(read, place) for read, _, place in work if not (unfinished.folder / place).is_file()]

        def make(item: tuple[Callable[[], Frame], Path]) -> None:
            write_png(unfinished.folder / item[1], degrade_uint8(item[0](), kind, scale), compression)

        run_all(make, missing, jobs=jobs, title=f'{kind} 1/{scale} to {target}', start=len(work) - len(missing))
        unfinished.finish()
    return len(missing)


def _run_chain(chain: Chain, work: 'Work', folder: Path, *, scale: int, seed: int, jobs: int, compression: int) -> int:
    """Run the chain over each clip that is not complete in ``folder``; return the number of frames written."""
    clips = [list(group) for _, group in groupby(work, key=lambda item: item[2].parent)]
    missing = [
        (number, clip)
        for number, clip in enumerate(clips)
        if not all((folder / place).is_file() for _, _, place in clip)
    ]

    def make(item: 'tuple[int, Work]') -> None:
        number, clip = item
        h, w = (side // scale for side in clip[0][1][1])
        gt = (np.asarray(read()[: h * scale, : w * scale], np.float32) for read, _, _ in clip)
        frames = chain.degrade(chain.sharpen(gt, (seed, number)), (seed, number), (h, w))
        for (_, _, place), frame in zip(clip, frames, strict=True):
            write_png(folder / place, to_bytes(frame), compression)

    title = f'{chain.name} 1/{scale} to {folder}'
    run_all(make, missing, jobs=jobs, title=title, unit='clip', start=len(clips) - len(missing))
    return sum(len(clip) for _, clip in missing)


Work = list[tuple[Callable[[], Frame], tuple[str, tuple[int, int]], Path]]
"""For each frame: a function that reads it, its name and size, and the path of its LR frame."""


def _is_video_source(source: Path) -> bool:
    if source.is_file():
        if not is_video(source):
            raise DataError(f'{source}: got a file, expected a folder of frames, or a video file')
        return True
    return source.is_dir() and isinstance(_store_or_none(source), VideoStore)


def _store_or_none(source: Path) -> object:
    try:
        return find_store(source)
    except DataError:
        return None  # the error is raised where it is read


def _from_tree(source: Path, holes: bool, jobs: int) -> Work:
    files = find_frames(source)
    sizes = check_tree(source, files, holes=holes, jobs=jobs)
    places: dict[Path, Path] = {}
    work: Work = []
    for file, size in zip(files, sizes, strict=True):
        place = file.with_suffix('.png')
        if place in places:
            raise DataError(
                f'{source / file} and {source / places[place]}: would both become {place}, expected one file per frame'
            )
        places[place] = file
        path = source / file
        work.append((lambda path=path: decode_image(file_bytes(path), str(path)), (str(path), size), place))  # type: ignore[misc]
    return work


def _from_videos(source: Path) -> Work:
    store = VideoStore(source)
    work: Work = []
    for clip in store.clips():
        for frame in store.frames(clip):
            named = store.where(clip, frame), store.size(clip, frame)
            work.append((lambda clip=clip, frame=frame: store.read(clip, frame), named, Path(clip) / f'{frame}.png'))  # type: ignore[misc]
    return work


def _log_cropping(work: Work, scale: int) -> None:
    for _, (name, (h, w)), _ in work:
        if h < scale or w < scale:
            raise DataError(f'{name}: got {w}x{h}, expected {scale}x{scale} pixels or more')
        if h % scale or w % scale:
            fits = f'{w - w % scale}x{h - h % scale}'
            log.once(
                f'{name}: {w}x{h} is no multiple of {scale}; LR is made from its upper left {fits}: crop GT likewise '
                'before pairing them'
            )
            return
