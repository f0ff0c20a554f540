"""Convert the material of the shipped model's training to clips of frames.

python scripts/prepare_training_frames.py --data FOLDER [--out datasets/shipped_model]

FOLDER contains GT/<clip>/ and GT_original/<clip>/ (frames of DAVIS and of sample videos), videos/ and stills/.
scripts/training_frames.json lists its files with sources, licenses and hashes,
which are checked. The script writes OUT/train/GT/<clip>/%08d.png and OUT/val/{GT,BIx4}/<clip>/%08d.png; LR frames for
training are made during training (``degradation: BI``). The clips are

- frames of DAVIS at half size, which removes most JPEG artifacts, and at full size if the original quality exists;
- videos at half size, every frame;
- photographs under a smooth random camera;
- pages of text, brick walls, facades and gratings under the same camera, which are rare in the other material.

With --parts, it then cuts parts of 10 frames out of these clips, as OUT/parts/{train,val}/GT/<clip>_<number>: each is
degraded in its own way when the small network is trained for real footage (options/small/IART_small_real.yml).
"""

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from moving_camera import film, page

from iart import image, log
from iart.data.videos import VideoStore
from iart.errors import EXIT_USER_ERROR, DataError, UserError
from iart.ops.degradation import degrade_uint8

ROOT = Path(__file__).resolve().parents[1]
LISTING = ROOT / 'scripts' / 'training_frames.json'
OUT = ROOT / 'datasets' / 'shipped_model'

HELD_OUT = ('goat', 'scooter-black', 'dance-twirl')  # DAVIS clips for validation
VALIDATION_FRAMES = 12
CAMERA_FRAMES, CAMERA_CLIPS, PAGES = 20, 2, 16  # frames of a clip, clips of each photograph, pages of patterns
SEED = 20
PART_FRAMES = 10


def halve(frame: image.Frame) -> image.Frame:
    """Return the frame at half size, by MATLAB's antialiased bicubic, trimmed to a multiple of 4."""
    half = degrade_uint8(frame, 'BI', 2)
    return trim(half)


def trim(frame: image.Frame) -> image.Frame:
    """Return the frame without rows and columns beyond a multiple of 4."""
    height, width = (side - side % 4 for side in frame.shape[:2])
    return np.ascontiguousarray(frame[:height, :width])


def check(data: Path, listed: Sequence[Mapping[str, Any]]) -> None:
    """Compare all files with the listing.

    Args:
        data: the folder of the material.
        listed: ``path``, number of ``files`` and ``sha256`` of each clip, video and photograph.

    Raises:
        DataError: a file is missing or differs from the listing; the message names it.
    """
    wrong = []
    for entry in log.track(listed, 'checking the material', len(listed), 'clip'):
        path = data / entry['path']
        files = sorted(path.iterdir(), key=image.natural_key) if path.is_dir() else [path] if path.is_file() else []
        digest = hashlib.sha256(b''.join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()
        if len(files) != entry['files'] or digest != entry['sha256']:
            both = (len(files), digest), (entry['files'], entry['sha256'])
            got, expected = (f'{count} files, SHA-256 {text[:16]}' for count, text in both)
            wrong.append(f'{path}: got {got}, expected {expected}')
    if wrong:
        shown = '\n  '.join(wrong[:10])
        raise DataError(
            f'{len(wrong)} of {len(listed)} are not as {LISTING.name} lists them, with their sources:\n  {shown}'
        )


def film_frames(path: Path) -> Iterator[image.Frame]:
    """Yield the frames of a video file."""
    store = VideoStore(path)
    return (store.read(path.stem, name) for name in store.frames(path.stem))


def material(data: Path) -> Iterator[tuple[str, str, Iterator[image.Frame]]]:
    """Yield (train or val, clip name, frames) for everything, in a fixed order."""
    for folder in sorted((data / 'GT').iterdir()):
        frames = [image.read_image(path) for path in sorted(folder.iterdir(), key=image.natural_key)]
        if folder.name in HELD_OUT:
            yield 'val', folder.name, (halve(frame) for frame in frames[:VALIDATION_FRAMES])
        elif frames[0].shape[1] > 700:  # DAVIS; the sample videos were halved before
            if not (data / 'GT_original' / folder.name).is_dir():
                yield 'train', folder.name, (halve(frame) for frame in frames)
        elif not list((data / 'videos').glob(f'*_{folder.name}.mp4')):
            yield 'train', folder.name, (trim(frame) for frame in frames)
    for folder in sorted((data / 'GT_original').iterdir()):
        frames = [image.read_image(path) for path in sorted(folder.iterdir(), key=image.natural_key)]
        yield 'train', f'{folder.name}_half', (halve(frame) for frame in frames)
        yield 'train', f'{folder.name}_full', (trim(frame) for frame in frames)
    for number, path in enumerate(sorted((data / 'stills').iterdir())):
        photograph = image.read_image(path)
        for take in range(CAMERA_CLIPS):
            yield (
                'train',
                f'still_{number:02d}_{take}',
                film(photograph, CAMERA_FRAMES, np.random.default_rng([SEED, number, take])),
            )
    for number in range(PAGES):
        rng = np.random.default_rng([SEED, 1000, number])
        yield 'train', f'page_{number:02d}', film(page(rng), CAMERA_FRAMES, rng)
    for path in sorted((data / 'videos').iterdir()):
        yield 'train', path.stem, (halve(frame) for frame in film_frames(path))


def prepare(data: Path, out: Path, *, checked: bool = True) -> None:
    """Write all clips, except those that exist with all their frames.

    Raises:
        DataError: the material is not as listed, or cannot be read or written.
    """
    if not (data / 'GT').is_dir():
        raise DataError(f'--data {data}: got no folder GT in it; scripts/{LISTING.name} lists what it must contain')
    if checked:
        check(data, json.loads(LISTING.read_text(encoding='utf-8'))['material'])
    for phase, name, frames in material(data):
        folder = out / phase / 'GT' / name
        if (folder / 'complete').is_file():
            continue
        count = 0
        for count, frame in enumerate(frames, 1):
            image.write_png(folder / f'{count - 1:08d}.png', frame, compression=1)
            if phase == 'val':
                image.write_png(out / phase / 'BIx4' / name / f'{count - 1:08d}.png', degrade_uint8(frame, 'BI', 4))
        (folder / 'complete').write_text(f'{count}\n', encoding='utf-8')
        print(f'{phase} {name}: {count} frames', flush=True)


def part_starts(name: str, count: int) -> range:
    """Return the first frames of the parts of a training clip: three, five of a long one, one or none of films of
    stills.

    Args:
        name: the clip's name.
        count: number of its frames.
    """
    kind, _, number = name.partition('_')
    if name.endswith('_full') or (kind == 'still' and not name.endswith('_0')) or (kind == 'page' and int(number) >= 8):
        return range(0)
    if kind in ('still', 'page'):
        return range(1)
    last = count - PART_FRAMES
    return range(0, min(last, 240) + 1, 60) if count > 100 else range(0, min(last, 22) + 1, 11)


def cut_parts(out: Path) -> None:
    """Copy parts of the clips that :func:`prepare` wrote; of a validation clip twice the first frames."""
    for phase in ('train', 'val'):
        for folder in sorted((out / phase / 'GT').iterdir()):
            files = sorted(folder.glob('*.png'))
            starts = part_starts(folder.name, len(files)) if phase == 'train' else (0, 0)
            for number, start in enumerate(starts):
                part = out / 'parts' / phase / 'GT' / f'{folder.name}_{number}'
                part.mkdir(parents=True, exist_ok=True)
                for index, file in enumerate(files[start : start + PART_FRAMES]):
                    shutil.copyfile(file, part / f'{index:08d}.png')


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; return its exit code: 0, or 2 for a user's mistake."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='folder with GT/, GT_original/, videos/ and stills/')
    parser.add_argument('--out', type=Path, default=OUT, help='folder to write; default datasets/shipped_model')
    parser.add_argument('--parts', action='store_true', help='cut parts for the training on real footage as well')
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        prepare(given.data, given.out)
        if given.parts:
            cut_parts(given.out)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return EXIT_USER_ERROR
    return 0


if __name__ == '__main__':
    sys.exit(main())
