"""Preparation of public sets in the layout of the options files: ``iart data prepare``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from iart import log
from iart.data.meta import MetaClip, read_meta
from iart.errors import DataError, listing
from iart.preparing.arrangement import (
    PrepareOptions,
    find_folder,
    lay_out_clips,
    make_lr,
    subfolders,
    write_lmdb,
    write_meta,
)
from iart.protocols import BenchmarkClip, get

__all__ = ['PrepareOptions', 'prepare']

REDS_CLIPS, REDS_VAL_CLIPS, REDS_FRAMES = 240, 30, 100
REDS4 = ('000', '011', '015', '020')


@dataclass(frozen=True)
class _Side:
    """One side of REDS: names of the folders as downloaded and as prepared."""

    train: str
    val: str
    below: str
    test: str
    lmdb: str


_REDS_GT = _Side('train_sharp', 'val_sharp', '', 'val_REDS4_sharp', 'train_sharp_with_val')
_REDS_LQ = _Side(
    'train_sharp_bicubic', 'val_sharp_bicubic', 'X4', 'val_REDS4_sharp_bicubic', 'train_sharp_bicubic_with_val'
)


def prepare(name: str, root: Path, output: Path, wishes: PrepareOptions) -> list[Path]:
    """Prepare one of the sets, without the parts that an earlier run has finished.

    Args:
        name: ``reds``, ``vimeo90k``, ``vid4`` or ``udm10``.
        root: folder of the downloads, in any common layout.
        output: folder to create.

    Returns:
        The folders and files that options files can name.

    Raises:
        DataError: files are missing below ``root``, or cannot be written.
    """
    if not root.is_dir():
        raise DataError(f'{root}: no such folder, expected the folder of the unpacked downloads')
    if name == 'reds':
        return _reds(root, output, wishes)
    if name == 'vimeo90k':
        return _vimeo(root, output, wishes)
    return _small(name, root, output, wishes)


def _reds(root: Path, output: Path, wishes: PrepareOptions) -> list[Path]:
    """Prepare train and validation clips in one folder (validation ``000`` becomes ``240``) and REDS4 beside it."""
    made: list[Path] = []
    for side in (_REDS_GT, _REDS_LQ):
        train = _reds_clips(root, side.train, side.below, REDS_CLIPS, wishes)
        val = _reds_clips(root, side.val, side.below, REDS_VAL_CLIPS, wishes)
        merged = {name: folder for name, folder in train.items() if int(name) < REDS_CLIPS}
        merged |= {f'{REDS_CLIPS + int(name):03d}': folder for name, folder in val.items()}
        target = output / side.train / side.below
        lay_out_clips(merged, target, wishes, title=f'laying out {target}')
        test = {name: train[name] for name in REDS4 if name in train}
        lay_out_clips(test, output / side.test, wishes, title=f'laying out {output / side.test}')
        made += [target, output / side.test]
        if wishes.lmdb:
            made.append(write_lmdb(target, output / f'{side.lmdb}.lmdb', wishes))
    _same_clips(output / _REDS_GT.train, output / _REDS_LQ.train / _REDS_LQ.below)
    made.append(write_meta(output / _REDS_GT.train, output / 'meta_info_REDS_GT.txt', wishes))
    return made


def _reds_clips(root: Path, name: str, below: str, count: int, wishes: PrepareOptions) -> dict[str, Path]:
    """Return the complete clips of an official folder, by name."""
    folder = find_folder(
        root, (f'{name}/{below}', name) if below else (name,), like='000', required=not wishes.incomplete
    )
    clips = {p.name: p for p in subfolders(folder) if p.name.isdigit()} if folder else {}
    expected = {f'{n:03d}' for n in range(count)}
    missing = sorted(expected - set(clips))
    if missing and not wishes.incomplete:
        raise DataError(
            f'{folder}: clips are missing: {listing(missing)}, expected 000 to {count - 1:03d} (--incomplete takes '
            'what is there)'
        )
    short = [
        f'{p} ({n})' for p in clips.values() if (n := sum(1 for f in p.iterdir() if f.suffix == '.png')) != REDS_FRAMES
    ]
    if short and not wishes.incomplete:
        raise DataError(
            f'clips without their {REDS_FRAMES} frames: {listing(short)} (--incomplete takes what is there)'
        )
    return clips


def _same_clips(gt: Path, lq: Path) -> None:
    sides = [{p.name for p in subfolders(folder)} for folder in (gt, lq)]
    odd = sorted(sides[0] ^ sides[1])
    if odd:
        log.logger.warning(f'{gt} and {lq}: only one of them has {listing(odd)}')


def _vimeo(root: Path, output: Path, wishes: PrepareOptions) -> list[Path]:
    """Leave GT in place, and make LR frames beside it and meta files from the archive's lists."""
    gt = find_folder(root, ('sequences', 'GT'), like='00001')
    assert gt is not None
    base = gt.parent
    made = [gt]
    lists: dict[str, dict[str, MetaClip]] = {}
    for part, file in (('train', 'sep_trainlist.txt'), ('test', 'sep_testlist.txt')):
        if not (base / file).is_file():
            raise DataError(
                f'{base / file}: no such file, expected the list that comes with the archive, beside {gt.name}'
            )
        lists[part] = {
            name: clip for name, clip in read_meta(base / file).items() if not wishes.incomplete or (gt / name).is_dir()
        }
        missing = [name for name in lists[part] if not (gt / name).is_dir()]
        if missing:
            raise DataError(
                f'{gt}: clips of {file} are missing: {listing(missing, 5)} (--incomplete takes what is there)'
            )
        if lists[part]:
            meta = output / f'meta_info_Vimeo90K_{part}_GT.txt'
            made.append(write_meta(gt, meta, wishes, clips=list(lists[part])))
    if base != output:
        lay_out_clips({'sequences': gt}, output / 'vimeo_septuplet', wishes, title=f'laying out {output}')
        made[0] = gt = output / 'vimeo_septuplet' / 'sequences'
    names = {'BI': 'vimeo_septuplet_matlabLRx4', 'BD': 'vimeo_septuplet_BDLRx4'}
    lr = {kind: make_lr(gt, output / names[kind] / 'sequences', kind, wishes) for kind in wishes.kinds}
    made += lr.values()
    if wishes.lmdb and lists['train']:
        train = list(lists['train'])
        made.append(write_lmdb(gt, output / 'vimeo90k_train_GT_all.lmdb', wishes, clips=train))
        made += [
            write_lmdb(folder, output / f'vimeo90k_train_{kind}x4.lmdb', wishes, clips=train)
            for kind, folder in lr.items()
        ]
    return made


def _small(name: str, root: Path, output: Path, wishes: PrepareOptions) -> list[Path]:
    """Prepare Vid4 or UDM10: GT cropped to a multiple of 4 under the protocol's clip names, and LR made from it."""
    title, protocol = {'vid4': ('Vid4', get('Vid4-BI')), 'udm10': ('UDM10', get('UDM10-BD'))}[name]
    assert isinstance(protocol.clips, tuple)
    sources = _gt_clips(root, protocol.clips, wishes)
    gt = output / 'GT'
    lay_out_clips(sources, gt, wishes, title=f'laying out {gt}', trim=protocol.scale)
    made = [gt, *(make_lr(gt, output / f'{kind}x4', kind, wishes) for kind in wishes.kinds)]
    made.append(write_meta(gt, output / f'meta_info_{title}_GT.txt', wishes))
    if wishes.lmdb:
        made += [write_lmdb(folder, folder.with_suffix('.lmdb'), wishes) for folder in made[:-1]]
    return made


def _gt_clips(root: Path, clips: Sequence[BenchmarkClip], wishes: PrepareOptions) -> Mapping[str, Path]:
    """Return the folder of GT frames of each clip: ``GT/<clip>``, ``<clip>/truth`` or ``<clip>``."""
    folders: dict[str, Path] = {}
    for clip in clips:
        names = [n for n in (clip.name, clip.also) if n]
        places = [pattern.format(n) for n in names for pattern in _GT_PLACES]
        folder = next((root / p for p in places if (root / p).is_dir() and not subfolders(root / p)), None)
        if folder is not None:
            folders[clip.name] = folder
        elif not wishes.incomplete:
            raise DataError(
                f'{root}: got no folder of frames for clip {clip.name}, expected one of {listing(places)} (or '
                '--incomplete)'
            )
    if not folders:
        raise DataError(f'{root}: got none of the clips {listing(c.name for c in clips)}')
    return folders


_GT_PLACES = ('GT/{}', 'HR/{}', 'original/{}', 'GT/{}/truth', '{}/truth', '{}/original', '{}/GT', '{}')
