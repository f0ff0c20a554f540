"""Tiny clips for the tests of the data layer: LR is GT without three of four pixels, so the two can be compared."""

from pathlib import Path

import numpy as np

from iart.image import encode_png, write_png

SCALE = 4


def gt_frame(clip: int, frame: int, size=(32, 48)):
    """(h, w, 3) of 4x4 blocks; no two blocks of a frame and no two frames are equal."""
    rng = np.random.default_rng([clip, frame])
    blocks = rng.integers(0, 256, (size[0] // SCALE, size[1] // SCALE, 3), dtype=np.uint8)
    return blocks.repeat(SCALE, 0).repeat(SCALE, 1)


def lr_frame(clip: int, frame: int, size=(32, 48)):
    return gt_frame(clip, frame, size)[::SCALE, ::SCALE]


def write_clips(root: Path, clips: dict, names='{:08d}', first=0, size=(32, 48), scale_folder='') -> dict:
    """Write ``root/gt`` and ``root/lq`` with ``clips`` (name to number of frames); returns the two dataroot options."""
    for index, (clip, count) in enumerate(clips.items()):
        for frame in range(count):
            name = names.format(frame + first) + '.png'
            write_png(root / 'gt' / clip / name, gt_frame(index, frame, size), 0)
            write_png(root / 'lq' / clip / scale_folder / name, lr_frame(index, frame, size), 0)
    return roots(root)


def write_lmdbs(root: Path, clips: dict, names='{:08d}', first=0) -> dict:
    """The same as LMDBs, written by BasicSR's own writer."""
    from basicsr.utils.lmdb_util import LmdbMaker

    root.mkdir(parents=True, exist_ok=True)
    for side, make in (('gt', gt_frame), ('lq', lr_frame)):
        maker = LmdbMaker(str(root / f'{side}.lmdb'), map_size=2**22)
        for index, (clip, count) in enumerate(clips.items()):
            for frame in range(count):
                image = make(index, frame)
                maker.put(encode_png(image), f'{clip}/{names.format(frame + first)}', image.shape)
        maker.close()
    return roots(root, '.lmdb')


def roots(root: Path, ending='') -> dict:
    return {'dataroot_gt': str(root / f'gt{ending}'), 'dataroot_lq': str(root / f'lq{ending}')}
