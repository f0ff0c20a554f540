"""Clips with enough texture and motion that degradations, shifts and places can be distinguished; small."""

from pathlib import Path

import cv2
import numpy as np

from iart.image import write_png
from iart.ops.degradation import degrade_uint8

SIZE = (96, 128)


def texture(clip: int, frame: int, size=SIZE):
    """(h, w, 3) uint8: colored blobs that move by 3 pixels a frame, with some grain."""
    h, w = size
    blobs = np.random.default_rng(clip).uniform(0, 255, (h // 8 + 20, w // 8 + 20, 3)).astype(np.float32)
    large = cv2.resize(blobs, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng([clip, frame]).normal(0, 3, (h, w, 3))
    position = 3 * frame
    return np.clip(large[position : position + h, 2 * position : 2 * position + w] + grain, 0, 255).astype(np.uint8)


def write_gt(root: Path, clips: dict, size=SIZE, names='{:08d}', first=0) -> Path:
    """``root/<clip>/<frame>.png`` for clips given as name to number of frames."""
    for number, (clip, count) in enumerate(clips.items()):
        for frame in range(count):
            write_png(root / clip / f'{names.format(frame + first)}.png', texture(number, frame, size), 1)
    return root


def write_lr(gt: Path, root: Path, make=degrade_uint8) -> Path:
    """An LR folder beside a GT folder, by any function of a GT frame."""
    from iart.image import read_image

    for path in sorted(gt.rglob('*.png')):
        write_png(root / path.relative_to(gt), make(read_image(path)), 1)
    return root


def write_benchmark(root: Path, clips: dict, make=degrade_uint8, **names) -> Path:
    """``root/GT`` and ``root/BIx4``."""
    write_lr(write_gt(root / 'GT', clips, **names), root / 'BIx4', make)
    return root


def snapshot(folder: Path) -> dict:
    """Bytes of every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file()}
