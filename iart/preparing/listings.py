"""Listings of folders, with all problems that names and file headers show."""

import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from iart.data.pairs import missing_numbers
from iart.data.store import FrameStore, Size
from iart.errors import DataError, listing
from iart.image import IMAGE_SUFFIXES, image_size, natural_key
from iart.preparing.jobs import parallel

Frame = tuple[str, str]
"""Clip and frame."""


def find_frames(root: Path) -> list[Path]:
    """Return all images below a folder, relative to it, by folder in natural order, without hidden ones.

    Raises:
        DataError: there is no such folder or no image, a folder cannot be read, or a symbolic link leads back to a
            parent.
    """
    if not os.path.isdir(root):
        raise DataError(f'{root}: no such folder, expected a folder of frames')
    files: list[Path] = []
    _collect(root, root, (os.path.realpath(root),), files)
    if not files:
        raise DataError(f'{root}: got no images in it or below, expected frames ({listing(IMAGE_SUFFIXES)})')
    return files


def _collect(root: Path, folder: Path, above: tuple[str, ...], files: list[Path]) -> None:
    try:
        with os.scandir(folder) as entries:
            names = sorted((e.name for e in entries if not e.name.startswith(('.', '__'))), key=natural_key)
        for name in names:
            path = folder / name
            if name.lower().endswith(IMAGE_SUFFIXES):
                files.append(path.relative_to(root))
            elif path.is_symlink() and not path.exists():
                path.stat()  # raises if the link leads nowhere, or to itself
            elif path.is_dir():
                real = os.path.realpath(path)
                if real in above:
                    raise DataError(f'{path}: a symbolic link that leads back to {real}, expected a folder of frames')
                _collect(root, path, (*above, real), files)
    except OSError as error:
        raise DataError(f'{error.filename or folder}: cannot be read ({error.strerror})') from error


def check_tree(root: Path, files: Sequence[Path], *, holes: bool, jobs: int) -> list[Size]:
    """Check that the images of every folder have one format and size and are numbered without gaps.

    Args:
        files: the files of :func:`find_frames`.
        holes: whether gaps in the numbering are accepted.

    Returns:
        (h, w) of each file.

    Raises:
        DataError: a check fails; the message lists all problems, at most one per folder.
    """
    sizes = list(parallel(lambda file: image_size(root / file), files, jobs=jobs, title=f'looking at {root}'))
    problems = []
    for folder, group in groupby(zip(files, sizes, strict=True), key=lambda pair: pair[0].parent):
        members = list(group)
        problem = _odd_kind(root, [f for f, _ in members]) or _odd_size([(str(root / f), s) for f, s in members])
        if not problem and not holes:
            problem = _hole(root / folder, [f.stem for f, _ in members], members[0][0].suffix)
        problems += [problem] if problem else []
    _refuse(problems)
    return sizes


def check_clips(store: FrameStore, clips: Sequence[str], *, holes: bool, jobs: int) -> list[tuple[Frame, Size]]:
    """Return clip, frame and (h, w) of all frames of a store, after the checks of :func:`check_tree`.

    Raises:
        DataError: a check fails; the message lists all problems, at most one per clip.
    """
    frames = [(clip, frame) for clip in clips for frame in store.frames(clip)]
    if not frames:
        raise DataError(f'{store.root}: got no frames')
    sizes = list(parallel(lambda f: store.size(*f), frames, jobs=jobs, title=f'looking at {store.root}'))
    listed = list(zip(frames, sizes, strict=True))
    problems = []
    for clip, group in groupby(listed, key=lambda pair: pair[0][0]):
        members = list(group)
        problem = _odd_size([(store.where(*f), s) for f, s in members])
        if not problem and not holes:
            missing = missing_numbers([frame for (_, frame), _ in members])
            problem = f'{store.where(clip, missing[0])}: missing in the numbering of its clip' if missing else ''
        problems += [problem] if problem else []
    _refuse(problems)
    return listed


def _odd_kind(root: Path, files: list[Path]) -> str:
    """Return a problem with a file of another format, or with the name of another file except for the extension."""
    kinds = [f.suffix.lower() for f in files]
    usual = max(set(kinds), key=lambda k: (kinds.count(k), k))
    for file, kind in zip(files, kinds, strict=True):
        if kind != usual:
            return f'{root / file}: got {kind} among {usual} files, expected one kind of file per clip'
    return ''


def _odd_size(members: list[tuple[str, Size]]) -> str:
    first = members[0][1]
    for name, size in members:
        if size != first:
            return f'{name}: got {size[1]}x{size[0]}, expected {first[1]}x{first[0]}, as the clip begins'
    return ''


def _hole(folder: Path, stems: list[str], suffix: str) -> str:
    missing = missing_numbers(stems)
    return (
        f'{folder / (missing[0] + suffix)}: missing in the numbering of its folder (--holes accepts that)'
        if missing
        else ''
    )


def _refuse(problems: list[str]) -> None:
    if problems:
        more = f'\n... and {len(problems) - 20} more' if len(problems) > 20 else ''
        raise DataError('\n'.join(problems[:20]) + more)
