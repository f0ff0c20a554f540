"""Measure the peak memory over the number of frames, for each memory plan.

    python scripts/benchmark_memory.py [--frames 10 40 160] [--plans device host disk chunks tiles] [--plot FILE.png]
    [--json FILE]

Every figure is from a process of its own, which restores synthetic frames, made when they are read, and discards the
output: the peak of host memory (resident set of the process, with libraries) and, on a GPU, of device memory. The
default network is a small IART with wide features, so that features dominate; --full uses the published one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# torch is imported where it is used: a child's peak would include its parent's memory at the start of the child
SMALL = {'mid_channels': 16, 'embed_dim': 64, 'depths': [1], 'num_heads': [4]}
COLORS = {'device': '#4269d0', 'host': '#efb118', 'disk': '#ff725c', 'chunks': '#6cc5b0', 'tiles': '#3ca951'}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--frames', type=int, nargs='+', default=[10, 40, 160])
    parser.add_argument('--plans', nargs='+', default=['device', 'disk', 'chunks', 'tiles'])
    parser.add_argument('--height', type=int, default=64, help='height of an LR frame')
    parser.add_argument('--width', type=int, default=64)
    parser.add_argument('--chunk', type=int, default=8)
    parser.add_argument('--chunk-overlap', type=int, default=2)
    parser.add_argument('--tile', type=int, default=48)
    parser.add_argument('--tile-overlap', type=int, default=16)
    parser.add_argument('--full', action='store_true', help='use the published network')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--threads', type=int, default=1, help='CPU threads')
    parser.add_argument('--spill-to', type=Path, default=Path(tempfile.gettempdir()), metavar='FOLDER')
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the figures to this file')
    parser.add_argument('--plot', type=Path, metavar='FILE', help='draw the figures to this file')
    parser.add_argument(
        '--draw', type=Path, nargs='+', metavar='JSON', help='measure nothing: draw the --json files of earlier runs'
    )
    parser.add_argument('--child', nargs=2, metavar=('PLAN', 'FRAMES'), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(arguments, arguments.child[0], int(arguments.child[1]))))
        return
    rows = [row for file in arguments.draw or () for row in json.loads(file.read_text())]
    for plan in () if arguments.draw else arguments.plans:
        for frames in arguments.frames:
            command = [sys.executable, __file__, *sys.argv[1:], '--child', plan, str(frames)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(rows[-1], flush=True)
    show(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))
    if arguments.plot:
        plot(rows, arguments.plot)


def measure(arguments: argparse.Namespace, kind: str, frames: int) -> dict[str, Any]:
    """Restore a synthetic clip in this process and return figures in MB."""
    import torch

    from iart import device as devices
    from iart import memory
    from iart.archs.iart_arch import IART
    from iart.inference.options import PlanOptions
    from iart.inference.plan import Size
    from iart.inference.restorer import PlannedRestorer
    from iart.stopwatch import timed

    class Synthetic:
        def __len__(self) -> int:
            return frames

        def __getitem__(self, index: int) -> torch.Tensor:
            if not 0 <= index < frames:
                raise IndexError(index)
            values = torch.arange(3 * arguments.height * arguments.width, dtype=torch.float32) + 7 * index
            return values.sin().mul(0.5).add(0.5).view(1, 3, arguments.height, arguments.width)

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    device = devices.choose(arguments.device)
    network = IART().to(device) if arguments.full else IART(**SMALL).to(device)  # type: ignore[arg-type]
    cut = {'chunk': arguments.chunk} if kind == 'chunks' else {'tile': arguments.tile} if kind == 'tiles' else {}
    options = PlanOptions(
        kind=kind,
        chunk_overlap=arguments.chunk_overlap,
        tile_overlap=arguments.tile_overlap,
        spill_to=arguments.spill_to,
        **cut,
    )
    restorer = PlannedRestorer(network, device, precision='fp32', options=options)
    plan = restorer.plan(Size(frames, arguments.height, arguments.width))
    before = memory.peak_host_mb()
    count, seconds = timed(lambda: sum(1 for _ in restorer(Synthetic())))  # type: ignore
    figures = {'host_mb': memory.peak_host_mb(), 'started_with_mb': before, 'device_mb': devices.peak_memory_mb(device)}
    expected = {'expected_memory_mb': (plan.device + plan.host) / 2**20, 'expected_disk_mb': plan.disk / 2**20}
    rounded = {name: round(value) for name, value in (figures | expected).items()}
    return {'plan': kind, 'frames': count, **rounded, 'seconds_per_frame': round(seconds / count, 3)}


def show(rows: list[dict[str, Any]]) -> None:
    from iart import log

    names = list(rows[0])
    log.table(
        'peak memory', [name.replace('_', ' ') for name in names], [[str(row[name]) for name in names] for row in rows]
    )


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw peak host memory over frames, a line per plan; dotted: before restoring (libraries, weights, costs)."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.6), layout='constrained')
    for plan in dict.fromkeys(row['plan'] for row in rows):
        points = sorted((row['frames'], row['host_mb']) for row in rows if row['plan'] == plan)
        axes.plot(*zip(*points, strict=True), marker='o', label=plan, color=COLORS.get(plan))
    before = min(row['started_with_mb'] for row in rows)
    axes.axhline(before, color='gray', linestyle=':', label='before it starts')
    axes.set(xlabel='frames', ylabel='peak host memory, MB', ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(title='plan', frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == '__main__':
    main()
