"""Kill processes of ``iart upscale`` with kill -9 until the video is finished, and compare it with an undisturbed one.

    python tests/faults/kill_upscale.py [--processes 2] [--kills 10] [--seed 0]

A stand-in network repeats pixels and takes its time. Each attempt starts all processes (gloo, on this machine), kills
one of them at a random moment, and ends the others, as torchrun does. Exit code 0: both videos have the same bytes.
"""

# ruff: noqa: E402  (the repository is not installed where this is run by hand)

import argparse
import hashlib
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

import torch
from helpers.upscale_clips import Enlarge, texture, write
from running import fork, free_port, join_ranks, kill, wait

from iart import cli
from iart.upscaling import networks

_LONGEST = 120.0  # seconds; no attempt comes near it


class Slow(Enlarge):
    """Takes some seconds for every segment."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def forward(self, lq: torch.Tensor) -> torch.Tensor:
        time.sleep(self._seconds)
        return super().forward(lq)


def make_input(folder: Path, frames: int = 48) -> Path:
    """A video of several shots, with sound."""
    pictures = [texture(n, seed=n // 12) for n in range(frames)]
    return write(folder / 'in.mp4', pictures, audio=True)


def start(
    inputs: list[Path], output: Path, *, rank: int = 0, ranks: int = 1, port: int = 0, seconds: float = 0.0
) -> int:
    """Fork a process that upscales and exits like ``iart upscale``; returns its process id."""

    def run() -> None:
        launcher = join_ranks(rank, ranks, port)
        network = Slow(seconds)
        networks.load = lambda weights, device, key: networks.Loaded(network, 'Slow', '')
        networks.find = lambda weights: Path(weights)
        arguments = ['upscale', *map(str, inputs), str(output), '--segment', '4', '--chunk-overlap', '2']
        cli.main([*arguments, '--device', 'cpu', '--plan', 'device', '--launcher', launcher])

    return fork(run, output.parent / f'{output.name}.{rank}.txt')


def upscale_together(inputs: list[Path], output: Path, ranks: int, seconds: float = 0.0) -> list[int | None]:
    """Upscale in several processes, undisturbed; returns their exit codes."""
    port = free_port()
    children = [start(inputs, output, rank=rank, ranks=ranks, port=port, seconds=seconds) for rank in range(ranks)]
    return [wait(child, _LONGEST) for child in children]


def kill_once(inputs: list[Path], output: Path, ranks: int, victim: int, delay: float, seconds: float) -> bool:
    """Start all processes, kill one after ``delay`` seconds, and end the others; whether it was still at work."""
    port = free_port()
    children = [start(inputs, output, rank=rank, ranks=ranks, port=port, seconds=seconds) for rank in range(ranks)]
    at_work = wait(children[victim], delay) is None
    if at_work:
        kill(children[victim])
    for rank, child in enumerate(children):
        if rank != victim and wait(child, 0.5) is None:
            kill(child)
    return at_work


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def segments(output: Path) -> int:
    """Number of finished segments beside an output."""
    return len(list(output.with_name(f'.{output.name}.partial').glob('*.packets')))


def kill_until_finished(folder: Path, *, ranks: int, kills: int, seed: int, seconds: float = 0.2) -> dict[str, Any]:
    """Both videos, and what became of them."""
    source = make_input(folder)
    codes = [wait(start([source], folder / 'whole.mp4'), _LONGEST)]
    draw, done, counts = random.Random(seed), 0, list[int]()
    output = folder / 'killed.mp4'
    while done < kills and not output.exists():
        done += kill_once([source], output, ranks, draw.randrange(ranks), draw.uniform(0.5, 2.5), seconds)
        counts.append(segments(output))
    if not output.exists():
        codes += upscale_together([source], output, ranks)
    return {
        'processes': ranks,
        'kills': done,
        'segments after each': counts,
        'exit codes': codes,
        'undisturbed': checksum(folder / 'whole.mp4'),
        'killed': checksum(output),
        'left beside it': [p.name for p in folder.iterdir() if p.name.startswith('.killed')],
    }


def main() -> int:
    """Exit code: 0, or 1 where the bytes differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--processes', type=int, default=2, help='gloo processes (default 2)')
    parser.add_argument('--kills', type=int, default=10, help='how often at most (default 10)')
    parser.add_argument('--seed', type=int, default=0, help='of the moments (default 0)')
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = kill_until_finished(Path(folder), ranks=given.processes, kills=given.kills, seed=given.seed)
    for name, value in result.items():
        print(f'{name}: {value}')
    return int(result['undisturbed'] != result['killed'])


if __name__ == '__main__':
    sys.exit(main())
