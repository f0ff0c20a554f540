"""Measure the clips per second of REDSRecurrentDataset, relative to BasicSR's class of that name, with one worker.

    python scripts/benchmark_loader.py [--frames FOLDER] [--num-frame 15 --gt-size 256 --clips 6 --repeats 3]
    python scripts/benchmark_loader.py --chain options/RealBasicVSR_stage1_300K.yml [--clips 3]

Windows of 1280x720 frames with flips and rotation, from an LMDB and from folders, written to a temporary folder first
(about 800 MB). Both classes get the same random numbers, and their pixels are compared first; then both are timed in
turn, and the medians and their ratio are printed.

With --chain, windows with LR frames made as BI, by RealBasicVSR's degradation chain, and read from files are timed in
turn with a training step of the given options on one clip. A step is timed on three frames and scaled by FLOPs.
"""

import argparse
import random
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
import torch
from basicsr.data import reds_dataset
from basicsr.data import transforms as basicsr_transforms
from torch.utils.data import DataLoader

from iart import log
from iart.data import png, transforms
from iart.data.recurrent_dataset import REDSRecurrentDataset, VideoClipDataset
from iart.image import IMAGE_SUFFIXES, encode_png, read_image
from iart.ops.degradation import degrade_uint8
from iart.options import load
from iart.stopwatch import timed
from iart.training.dry_run import DryRun, Load

FRAMES = 100  # BasicSR's class requires it
SCALE = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--frames', type=Path, help='folder of real frames, instead of synthetic ones')
    parser.add_argument('--num-frame', type=int, default=15)
    parser.add_argument('--gt-size', type=int, default=256)
    parser.add_argument('--clips', type=int, default=6, help='clips per timing')
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument(
        '--chain', type=Path, metavar='YML', help='time the degradation chain against a step of this run'
    )
    parser.add_argument('--compression', type=int, default=1, help='level of the PNG files; 0 stores them uncompressed')
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if arguments.chain:
        time_chain(arguments)
        return
    print(f'inflating with {png._zlib.__name__}')
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_data(root, arguments.frames, arguments.compression)
        for kind in ('lmdb', 'disk'):
            mine, theirs = datasets(root, kind, arguments.num_frame, arguments.gt_size)
            same = equal(mine, theirs)
            speeds = compare(mine, theirs, arguments.clips, arguments.repeats)
            rows.append([kind, *(f'{s:.2f}' for s in speeds), f'{speeds[1] / speeds[0]:.2f}', 'yes' if same else 'NO'])
    title = f'{arguments.num_frame} frames, {arguments.gt_size} pixels, PNG level {arguments.compression}, one worker'
    log.table(title, ['source', 'BasicSR clips/s', 'iart clips/s', 'ratio', 'same pixels'], rows)


def write_data(root: Path, source: Path | None, compression: int, count: int = FRAMES) -> None:
    """Write one clip, as folders and as LMDBs, and the meta file."""
    real = sorted(p for p in source.rglob('*') if p.suffix.lower() in IMAGE_SUFFIXES) if source else []
    maps = {side: lmdb.open(str(root / f'{side}.lmdb'), map_size=2**32) for side in ('gt', 'lq')}
    lines: dict[str, list[str]] = {'gt': [], 'lq': []}
    for number in log.track(range(count), 'writing frames', count):
        gt = read_image(real[number % len(real)]) if real else synthetic(number)
        for side, image in (('gt', gt), ('lq', degrade_uint8(gt, 'BI', SCALE))):
            data = encode_png(image, compression)
            file = root / side / '001' / f'{number:08d}.png'
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            with maps[side].begin(write=True) as transaction:
                transaction.put(f'001/{number:08d}'.encode(), data)
            lines[side].append(f'001/{number:08d}.png ({image.shape[0]},{image.shape[1]},3) {compression}')
    for side, environment in maps.items():
        environment.close()
        (root / f'{side}.lmdb' / 'meta_info.txt').write_text('\n'.join(lines[side]) + '\n')
    (root / 'meta.txt').write_text(f'001 {count} ({gt.shape[0]},{gt.shape[1]},3)\n')


def synthetic(number: int) -> Any:
    """Return a moving texture with grain; its PNG file is about as large as that of a photograph (1.3 MB)."""
    grain = np.random.default_rng(number).normal(0, 2.2, (720, 1280, 3))
    texture = cv2.resize(
        np.random.default_rng(0).uniform(0, 255, (90, 170, 3)), (1360, 720), interpolation=cv2.INTER_CUBIC
    )
    return np.clip(texture[:, number % 80 :][:, :1280] + grain, 0, 255).astype(np.uint8)


def datasets(root: Path, kind: str, num_frame: int, gt_size: int) -> tuple[REDSRecurrentDataset, Any]:
    ending = '.lmdb' if kind == 'lmdb' else ''
    options: dict[str, Any] = {
        'dataroot_gt': str(root / f'gt{ending}'),
        'dataroot_lq': str(root / f'lq{ending}'),
        'meta_info_file': str(root / 'meta.txt'),
        'val_partition': 'REDS4',
        'test_mode': False,
        'num_frame': num_frame,
        'gt_size': gt_size,
        'use_hflip': True,
        'use_rot': True,
    }
    backend: Any = {'type': kind}
    mine = REDSRecurrentDataset(**options, io_backend=backend, scale=SCALE)
    return mine, reds_dataset.REDSRecurrentDataset({**options, 'io_backend': {'type': kind}, 'scale': SCALE})


def time_chain(arguments: argparse.Namespace) -> None:
    """Print the speed of the kinds of LR frames, and that of a training step on clips of their size."""
    settings = {'num_frame': arguments.num_frame, 'gt_size': arguments.gt_size, 'flip_sequence': True}
    settings |= {'use_hflip': True, 'use_rot': True}
    options = load(arguments.chain)
    run = DryRun(options, torch.device('cpu'))
    step = Load(1, 2 * arguments.num_frame, arguments.gt_size // SCALE)
    small = Load(1, 3, step.side)  # a whole step would take a CPU minutes
    work = run.on_paper()[1]
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_data(root, arguments.frames, arguments.compression, 2 * arguments.num_frame)
        gt, lq = str(root / 'gt'), str(root / 'lq')
        sources: dict[str, dict[str, Any]] = {
            'BI from GT': {'degradation': 'BI'},
            'RealBasicVSR chain': {'degradation': 'RealBasicVSR'},
            'its frames from files, GT sharpened': {'dataroot_lq': lq, 'degradation': [{'type': 'UnsharpMasking'}]},
        }
        sets = {
            name: VideoClipDataset(dataroot_gt=gt, scale=SCALE, **settings, **kind) for name, kind in sources.items()
        }
        positions = [
            int(p) for p in np.random.default_rng(1).permutation(len(sets['BI from GT']))[: arguments.clips + 1]
        ]
        speeds: dict[str, list[float]] = {name: [] for name in sets}
        steps = []
        run.seconds(small)  # warms up
        for _ in range(arguments.repeats):
            for name, dataset in sets.items():
                speeds[name].append(clips_per_second(dataset, positions))
            steps.append(run.seconds(small) * work.at(step) / work.at(small))
    seconds = statistics.median(steps)
    rows = []
    for name, measured in speeds.items():
        clip = 1 / statistics.median(measured)
        rows.append([name, f'{clip:.2f}', f'{clip / seconds:.3f}'])
    title = f'clips of {step.frames} frames, {arguments.gt_size} pixels, a step on one clip: {seconds:.1f} s'
    log.table(title, ['LR frames', 's per clip', 'share of a step'], rows)


class Replayed:
    """Replaces the module ``random`` and returns to BasicSR's class the random numbers of our item."""

    def __init__(self, dataset: REDSRecurrentDataset, position: int) -> None:
        rng = np.random.default_rng([dataset.seed, 0, position])
        chosen = transforms.pick_frames(rng, FRAMES, position, dataset.num_frame, dataset.interval_list)
        side = dataset.gt_size // SCALE
        corner = transforms.pick_corner(rng, *dataset.clips[0].size, side)
        started = position > FRAMES - dataset.num_frame
        self.integers: Iterator[int] = iter([*([chosen[0]] if started else []), *corner])
        self.numbers = iter(rng.random(3))

    def choice(self, values: list[int]) -> int:
        return values[0]

    def randint(self, low: int, high: int) -> int:
        return next(self.integers)

    def random(self) -> float:
        return float(next(self.numbers))


def equal(mine: REDSRecurrentDataset, theirs: Any, positions: tuple[int, ...] = (0, 50, 99)) -> bool:
    """Return whether both give the same tensors. Ours are read in a worker: one process cannot open an LMDB twice."""
    backend = dict(theirs.io_backend_opt)
    others = []
    try:
        for position in positions:
            reds_dataset.random = basicsr_transforms.random = Replayed(mine, position)
            others.append(theirs[position])
    finally:
        reds_dataset.random = basicsr_transforms.random = random
    for environment in getattr(theirs.file_client.client, '_client', {}).values():
        environment.close()
    theirs.file_client, theirs.io_backend_opt = None, backend
    items: DataLoader[Any] = DataLoader(mine, batch_size=None, sampler=positions, num_workers=1)
    pairs = zip(items, others, strict=True)
    return all(torch.equal(item[side], other[side]) for item, other in pairs for side in ('lq', 'gt'))


def compare(mine: Any, theirs: Any, clips: int, repeats: int) -> tuple[float, float]:
    """Return the median clips per second of BasicSR's class and of ours, timed in turn."""
    speeds: tuple[list[float], list[float]] = ([], [])
    positions = [int(p) for p in np.random.default_rng(1).permutation(FRAMES)[: clips + 1]]
    for _ in range(repeats):
        for dataset, measured in zip((theirs, mine), speeds, strict=True):
            measured.append(clips_per_second(dataset, positions))
    return statistics.median(speeds[0]), statistics.median(speeds[1])


def clips_per_second(dataset: Any, positions: list[int]) -> float:
    """Return the speed of one worker after its first clip."""
    loader: DataLoader[Any] = DataLoader(
        dataset, batch_size=1, sampler=positions, num_workers=1, worker_init_fn=one_thread, prefetch_factor=1
    )
    batches = iter(loader)
    next(batches)
    count, seconds = timed(lambda: sum(1 for _ in batches))
    return count / seconds


def one_thread(worker: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


if __name__ == '__main__':
    main()
