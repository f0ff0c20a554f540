"""The bundled clip as frames: GT and LR (BI, ×4), training clips and one held-out clip.

A folder of them holds {train,val}/{GT,BIx4}/<clip>/%08d.png and prepared.json, which records what they were made from:
a second call with the same clip has nothing to do. All is written to a temporary folder first and then renamed.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from iart import image, log
from iart.data.videos import VideoStore
from iart.errors import DataError
from iart.files import folder_written_atomically
from iart.ops import degradation
from iart.shipped import ROOT

CLIP = ROOT / 'datasets' / 'demo' / 'bigbuckbunny.mp4'

# (height, width) of the GT: the film's 720×1280 shrunk to 272×484, then cut at the sides to a multiple of 4 × 8.
GT_SIZE = (272, 480)
SCALE = 4
_TO_RGB = 2  # which conversion to RGB the frames were decoded with; frames of another one are made again
# Film frames of each clip, first and last. Held out is the strongest motion; four frames on either side of it are
# left out, so that no training frame is the neighbor of a held-out one.
PARTS = {
    'train': ((0, 17), (18, 35), (60, 77), (78, 95), (96, 113), (114, 131)),
    'val': ((40, 55),),
}


def shrink(frame: np.ndarray) -> np.ndarray:
    """A film frame as a GT frame.

    Args:
        frame: (h, w, 3) uint8, at least as large as ``GT_SIZE`` and at least as wide for its height.

    Returns:
        (*GT_SIZE, 3) uint8: the mean of the pixels that each new pixel covers, and the middle of that.

    Raises:
        DataError: the frame is too small or too narrow.
    """
    height, width = GT_SIZE
    wide = round(frame.shape[1] * height / frame.shape[0])
    if frame.shape[0] < height or wide < width:
        raise DataError(
            f'clip: got frames of {frame.shape[1]}×{frame.shape[0]}, expected at least {width}×{height} and 16:9 '
            'or wider'
        )
    smaller = cv2.resize(frame, (wide, height), interpolation=cv2.INTER_AREA)
    left = (wide - width) // 2
    return np.ascontiguousarray(smaller[:, left : left + width])


def clip_of(index: int) -> tuple[str, str] | None:
    """Return (train or val, clip name) of a film frame; None between clips. Clips are named by their first frame."""
    for phase, clips in PARTS.items():
        for first, last in clips:
            if first <= index <= last:
                return phase, f'{first:03d}'
    return None


def recipe(clip: Path) -> dict[str, object]:
    """Return a description of how the frames are made; equal descriptions give equal frames."""
    return {
        'clip': hashlib.sha256(clip.read_bytes()).hexdigest(),
        'to_rgb': _TO_RGB,
        'gt_size': list(GT_SIZE),
        'scale': SCALE,
        'degradation': 'BI',
        'parts': {phase: [list(part) for part in parts] for phase, parts in PARTS.items()},
    }


def film_frames(clip: Path, most: int) -> Iterator[image.Frame]:
    """Yield at most so many frames of a film, each (h, w, 3) uint8 RGB.

    Raises:
        DataError: the clip cannot be decoded.
    """
    store = VideoStore(clip)
    return (store.read(clip.stem, name) for name in store.frames(clip.stem)[:most])


def write_frames(clip: Path, folder: Path) -> None:
    """Decode, shrink, degrade and write all frames below ``folder``.

    Raises:
        DataError: the clip cannot be decoded, is too small, or has fewer frames than the parts name.
    """
    total = 1 + max(last for parts in PARTS.values() for _, last in parts)
    decoded = 0
    with log.Bar('prepare the demo clip', total) as bar:
        for index, frame in enumerate(film_frames(clip, total)):
            if (place := clip_of(index)) is not None:
                phase, part = place
                gt = shrink(frame)
                image.write_png(folder / phase / 'GT' / part / f'{index:08d}.png', gt)
                lq = degradation.degrade_uint8(gt, 'BI', SCALE)
                image.write_png(folder / phase / f'BIx{SCALE}' / part / f'{index:08d}.png', lq)
            decoded += 1
            bar.advance()
    if decoded < total:
        raise DataError(f'{clip}: got {decoded} frames, expected {total}')


def prepare(out: Path, clip: Path = CLIP) -> Path:
    """Make the demo's frames in ``out``, unless they are there and made from the same clip in the same way.

    Returns:
        ``out``.

    Raises:
        DataError: the clip is not there or does not fit; or ``out`` holds something that this script did not write.
    """
    if not clip.is_file():
        raise DataError(f'{clip}: no such file; it is part of the repository:  git checkout -- datasets/demo')
    expected, note = recipe(clip), out / 'prepared.json'
    if note.is_file() and json.loads(note.read_text(encoding='utf-8')) == expected:
        return out
    if out.exists() and not note.is_file() and any(out.iterdir()):
        raise DataError(f'{out}: got a folder that this script did not write, expected a new folder, or remove it')
    with folder_written_atomically(out, replace=True) as folder:
        write_frames(clip, folder)
        (folder / 'prepared.json').write_text(json.dumps(expected, indent=1), encoding='utf-8')
    return out
