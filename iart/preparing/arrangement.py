"""Steps of the preparation of a data set; each can be repeated and resumes where it was interrupted."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from iart import log
from iart.data.frames import FolderStore
from iart.data.store import Box
from iart.errors import DataError, listing
from iart.files import place_file, write_text
from iart.image import image_size, natural_key, read_image, write_png
from iart.partial import PartialFolder
from iart.preparing.degrade import degrade_data
from iart.preparing.jobs import run_all
from iart.preparing.listings import check_clips, check_tree, find_frames
from iart.preparing.lmdbs import make_lmdb

_DEEPEST = 6


@dataclass(frozen=True)
class PrepareOptions:
    """Settings of the preparation of a data set.

    Args:
        kinds: LR frames to make.
        link: whether to create symbolic links instead of copies.
        lmdb: whether to write LMDBs as well.
        incomplete: whether to use the available clips if some are missing.
        jobs: number of threads.
    """

    kinds: tuple[str, ...] = ()
    link: bool = False
    lmdb: bool = False
    incomplete: bool = False
    jobs: int = 1


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder in natural order, without hidden and unfinished ones.

    Raises:
        DataError: the folder, or a link in it, cannot be read.
    """
    try:
        inside = [p for p in folder.iterdir() if not p.name.startswith('.') and p.suffix not in ('.partial', '.lmdb')]
        return sorted((p for p in inside if p.is_dir()), key=lambda p: natural_key(p.name))
    except OSError as error:
        raise DataError(f'{error.filename or folder}: cannot be read ({error.strerror})') from error


def find_folder(root: Path, names: Sequence[str], *, like: str, required: bool = True) -> Path | None:
    """Return the shallowest folder in ``root``, or ``root`` itself, that ends in one of ``names`` and contains clips.

    Archives unpack to ``train_sharp``, ``train/train_sharp`` or ``train_sharp/train/train_sharp``; all are recognized.

    Args:
        names: accepted ends of the path, the preferred first.
        like: name of one of the clips, for the message.
        required: whether to raise if there is none.

    Raises:
        DataError: there is none.
    """
    level = [root]
    for _ in range(_DEEPEST):
        for name in names:
            for folder in level:
                inside = [child.name for child in subfolders(folder)]
                if str(folder.absolute()).endswith(os.sep + name.replace('/', os.sep)) and any(
                    child[:1].isdigit() for child in inside
                ):
                    return folder
        level = [child for folder in level for child in subfolders(folder) if not child.name[:1].isdigit()]
    if required:
        raise DataError(f'{root}: got no folder {listing(names)} with clips such as {like} in it or below')
    return None


def lay_out_clips(
    clips: Mapping[str, Path], target: Path, wishes: PrepareOptions, *, title: str, trim: int = 1
) -> None:
    """Copy or link each clip's folder to ``target/<name>``, except those that exist already.

    Args:
        clips: source folder of each clip, by name.
        trim: number of which the size of frames must be a multiple; others are cropped (and copied).
    """
    missing = {n: folder for n, folder in clips.items() if not _is_there(target / n, folder)}
    with log.Bar(title, len(clips), unit='clip', start=len(clips) - len(missing)) as bar:
        for name, folder in missing.items():
            files = find_frames(folder)
            check_tree(folder, files, holes=True, jobs=wishes.jobs)
            odd = any(n % trim for n in image_size(folder / files[0]))
            if wishes.link and not odd:
                place_file(folder, target / name, link=True)
            else:
                _copy_clip(folder, files, target / name, wishes.jobs, trim if odd else 1)
            bar.advance(note=name)


def _is_there(target: Path, source: Path) -> bool:
    return target.exists() and (
        target.resolve() == source.resolve() or not target.with_name(f'{target.name}.partial').exists()
    )


def _copy_clip(source: Path, files: Sequence[Path], target: Path, jobs: int, trim: int) -> None:
    with PartialFolder(target, becomes_output=True) as unfinished:
        unfinished.begin({'from': str(source.resolve()), 'trim': trim})

        def copy(file: Path) -> None:
            if trim == 1:
                place_file(source / file, unfinished.folder / file, link=False)
                return
            image = read_image(source / file)
            h, w = (n - n % trim for n in image.shape[:2])
            write_png((unfinished.folder / file).with_suffix('.png'), Box(0, 0, h, w).cut(image))

        run_all(copy, files, jobs=jobs, title=str(target))
        unfinished.finish()


def make_lr(gt: Path, target: Path, kind: str, wishes: PrepareOptions) -> Path:
    """Create the LR frames of a folder of clips, unless they exist already."""
    if target.is_dir():
        log.logger.info(f'{target}: exists already')
    else:
        degrade_data(gt, target, kind=kind, jobs=wishes.jobs, holes=True)
    return target


def write_lmdb(folder: Path, target: Path, wishes: PrepareOptions, clips: Sequence[str] | None = None) -> Path:
    """Create an LMDB of a folder of clips, unless it exists already."""
    if target.is_dir():
        log.logger.info(f'{target}: exists already')
    else:
        make_lmdb(folder, target, jobs=wishes.jobs, clips=clips, holes=wishes.incomplete)
    return target


def write_meta(gt: Path, target: Path, wishes: PrepareOptions, clips: Sequence[str] | None = None) -> Path:
    """Write BasicSR's meta file of a folder of clips: ``000 100 (720,1280,3)``."""
    store = FolderStore(gt)
    listed = check_clips(store, clips or store.clips(), holes=True, jobs=wishes.jobs)
    lines = []
    for clip, group in groupby(listed, key=lambda pair: pair[0][0]):
        members = list(group)
        lines.append(f'{clip} {len(members)} ({members[0][1][0]},{members[0][1][1]},3)\n')
    write_text(target, ''.join(lines))
    return target
