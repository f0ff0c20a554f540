"""Random damage to users' files: whatever a file holds, reading it works or ends as one message, soon.

    python tests/faults/fuzz.py                          # 500 mutations of each kind of file
    python tests/faults/fuzz.py --count 50 --seed 7 png  # fewer, of PNG frames only

A failure prints the kind and the seed of its mutation; ``--seed N --count 1`` repeats it.
"""

# ruff: noqa: E402  (the repository is not installed where this is run by hand)

import argparse
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

import cv2
import lmdb
import numpy as np
import torch
from helpers.upscale_clips import Enlarge, texture
from helpers.upscale_clips import write as write_video
from safetensors.torch import save_file

from iart.archs.recognize import network_section
from iart.data.lmdb_store import LmdbStore
from iart.data.png import decode_crop
from iart.data.store import Box
from iart.errors import UserError
from iart.image import read_image
from iart.inference.options import PlanOptions
from iart.options import dump, load
from iart.training.checkpoints import load_state, save_state
from iart.upscaling.job import run
from iart.upscaling.networks import Loaded
from iart.upscaling.sources import find_jobs
from iart.upscaling.upscale_options import UpscaleOptions
from iart.video.encoding_options import EncodingOptions
from iart.video.read_back import read_back
from iart.weights import read_weights

LIMIT = 10.0
"""Seconds that reading one damaged file may take."""

_YAML = """
name: small
scale: 4
network_g: {type: BasicVSR, num_feat: 8, num_block: 1}
datasets:
  train: &set
    type: REDSRecurrentDataset
    dataroot_gt: gt
    dataroot_lq: lq
    num_frame: 5
    gt_size: 64
    io_backend: {type: disk}
  val:
    type: VideoRecurrentTestDataset
    dataroot_lq: lq
train:
  total_iter: 100
  optim_g: {type: Adam, lr: 2e-4, betas: [0.9, 0.99]}
  scheduler: {type: CosineAnnealingRestartLR, periods: [100], eta_min: !!float 1e-7}
  pixel_opt: {type: CharbonnierLoss}
val:
  metrics: {psnr: {type: calculate_psnr, crop_border: 0}}
"""


@dataclass(frozen=True)
class Kind:
    """A kind of file: ``make`` writes a valid one and returns what to damage, ``read`` uses it as a command does."""

    make: Callable[[Path], Path]
    read: Callable[[Path], object]


def make_yaml(folder: Path) -> Path:
    (folder / 'x.yml').write_text(_YAML)
    return folder / 'x.yml'


def make_png(folder: Path) -> Path:
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
    cv2.imwrite(str(folder / '0.png'), image)
    return folder / '0.png'


def read_png(path: Path) -> None:
    read_image(path)
    decode_crop(path.read_bytes(), str(path), Box(4, 8, 8, 8), (24, 32))


def make_lmdb(folder: Path) -> Path:
    make_png(folder)
    content = (folder / '0.png').read_bytes()
    with lmdb.open(str(folder / 'x.lmdb'), map_size=1 << 20) as environment, environment.begin(write=True) as change:
        for frame in range(3):
            change.put(f'000/{frame:08d}'.encode(), content)
    listing = folder / 'x.lmdb' / 'meta_info.txt'
    listing.write_text(''.join(f'000/{frame:08d}.png (24,32,3) 1\n' for frame in range(3)))
    return listing


def read_lmdb(path: Path) -> None:
    store = LmdbStore(path.parent)
    for clip in store.clips():
        for frame in store.frames(clip):
            store.read(clip, frame)


def make_safetensors(folder: Path) -> Path:
    save_file({f'layer.{k}.weight': torch.arange(4.0) for k in range(4)}, folder / 'w.safetensors')
    return folder / 'w.safetensors'


def make_pth(folder: Path) -> Path:
    torch.save({'params': {f'layer.{k}.weight': torch.arange(4.0) for k in range(4)}}, folder / 'w.pth')
    return folder / 'w.pth'


def read_weight_file(path: Path) -> None:
    read_weights(path)
    network_section(path)


def make_state(folder: Path) -> Path:
    save_state(folder / '1.state', {'step': 1, 'facts': {}, 'params': {'w': torch.arange(4.0)}})
    return folder / '1.state'


def make_mp4(folder: Path) -> Path:
    return write_video(folder / 'in.mp4', [texture(n, 16, 16) for n in range(4)], audio=True)


def upscale_mp4(path: Path) -> None:
    """Upscale with a stand-in network; nothing half-written may be left, and a finished output can be read."""
    with tempfile.TemporaryDirectory() as name:
        output = Path(name) / 'out.mp4'
        try:
            jobs = find_jobs([str(path)], output)
            settings = UpscaleOptions(encode=EncodingOptions(preset='ultrafast'), plan=PlanOptions('device'))
            run(jobs, Loaded(Enlarge(), 'Enlarge', ''), torch.device('cpu'), settings)
        except UserError:
            if output.exists():
                raise AssertionError('an output is there in spite of an error') from None
            raise
        if [p.name for p in Path(name).iterdir()] != ['out.mp4']:
            raise AssertionError(f'besides the output: {sorted(p.name for p in Path(name).iterdir())}')
        read_back(output)


KINDS = {
    'yaml': Kind(make_yaml, lambda path: dump(load(path))),
    'png': Kind(make_png, read_png),
    'lmdb': Kind(make_lmdb, read_lmdb),
    'safetensors': Kind(make_safetensors, read_weight_file),
    'pth': Kind(make_pth, read_weight_file),
    'state': Kind(make_state, load_state),
    'mp4': Kind(make_mp4, upscale_mp4),
}


def mutate(content: bytes, random_: random.Random) -> bytes:
    """Return the content with one to four pieces of damage: bits, bytes, cuts, holes, repeats, foreign numbers."""
    data = bytearray(content)
    for _ in range(random_.randint(1, 4)):
        place, length = random_.randrange(len(data) + 1), random_.randint(1, 16)
        damage = random_.choice(('bit', 'bytes', 'cut', 'hole', 'repeat', 'zeros', 'insert', 'swap'))
        if damage == 'bit' and place < len(data):
            data[place] ^= 1 << random_.randrange(8)
        elif damage == 'bytes':
            data[place : place + length] = random_.randbytes(len(data[place : place + length]))
        elif damage == 'cut':
            del data[place:]
        elif damage == 'hole':
            del data[place : place + length]
        elif damage == 'repeat':
            data[place:place] = data[place : place + length]
        elif damage == 'zeros':
            data[place : place + length] = bytes(len(data[place : place + length]))
        elif damage == 'insert':
            data[place:place] = random_.choice((b'\xff' * 8, b'\0', b'-1', b'1e999', b'{', b'[', b': ', b'&a *a', b'~'))
        elif damage == 'swap':
            data[place : place + 2] = bytes(reversed(data[place : place + 2]))
    return bytes(data)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after so many seconds, where the system has alarms."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f'not done after {seconds:.0f} s')

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Tally:
    """What came of the mutations of one kind: files that could be read, messages, and failures with their seed."""

    read: int
    refused: int
    failures: list[str]
    slowest: float


def fuzz(kind: str, folder: Path, *, count: int, seed: int = 0) -> Tally:
    """Damage a file of this kind ``count`` times, with seeds from ``seed`` up, and read it each time.

    Args:
        kind: a key of :data:`KINDS`.
        folder: an empty folder to work in; nothing else may appear in it.
        count: number of mutations.
        seed: seed of the first mutation.
    """
    member = KINDS[kind]
    path = member.make(folder)
    valid = path.read_bytes()
    member.read(path)
    files = sorted(folder.rglob('*'))
    tally = Tally(0, 0, [], 0.0)
    for number in range(seed, seed + count):
        path.write_bytes(mutate(valid, random.Random(number)))
        started = time.perf_counter()
        try:
            with limited(LIMIT):
                member.read(path)
            tally.read += 1
        except UserError as error:
            tally.refused += 1
            if not str(error) or 'Traceback' in str(error):
                tally.failures.append(f'{kind}, seed {number}: the message is {str(error)!r}')
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f'{Path(last.filename).name}:{last.lineno}'
            tally.failures.append(f'{kind}, seed {number}: {type(error).__name__} at {place}: {error}')
        tally.slowest = max(tally.slowest, time.perf_counter() - started)
    if (after := sorted(folder.rglob('*'))) != files:
        tally.failures.append(f'{kind}: files appeared or vanished: {sorted(set(after) ^ set(files))}')
    return tally


def main() -> int:
    """Exit code: 0, or 1 when anything but a message came of a mutation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('kinds', nargs='*', metavar='KIND', help=f'of {", ".join(KINDS)}; default all')
    parser.add_argument('--count', type=int, default=500, help='mutations of each kind (default 500)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the first mutation (default 0)')
    arguments = parser.parse_args()
    if unknown := set(arguments.kinds) - set(KINDS):
        parser.error(f'KIND: got {sorted(unknown)[0]!r}, expected one of {", ".join(KINDS)}')
    failures: list[str] = []
    for kind in arguments.kinds or KINDS:
        with tempfile.TemporaryDirectory() as folder:
            tally = fuzz(kind, Path(folder), count=arguments.count, seed=arguments.seed)
        print(
            f'{kind:12} {arguments.count} mutations: {tally.read} read, {tally.refused} refused with a message, '
            f'{len(tally.failures)} failures, slowest {tally.slowest:.2f} s',
            flush=True,
        )
        failures += tally.failures
    print('\n'.join(failures))
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
