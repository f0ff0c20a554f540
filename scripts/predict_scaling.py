"""Predict time and memory on GPUs by parts of the network and by number of GPUs; nothing printed here was measured.

    python scripts/predict_scaling.py [--gpu A100 H100] [--opt YAML] [--loader CLIPS_PER_SECOND]
    python scripts/predict_scaling.py --check        # the same for this machine's CPU, compared with its real time

The model is that of `iart estimate` (iart/training/gpu_predictions.py): a roofline by operator, and no fusion that the
code does not do. See docs/scaling.md.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from iart import log
from iart.inference.costs import measure
from iart.ops import flops
from iart.ops.flops import Counts, Work
from iart.options import load
from iart.stopwatch import durations
from iart.training.dry_run import DryRun, Load
from iart.training.gpu_on_paper import as_on_gpu
from iart.training.gpu_predictions import GPUS, Assumptions, Gpu, roofline

CPU = torch.device('cpu')
ROOT = Path(__file__).resolve().parents[1]
_BACKWARD = 2 / 3  # of a step: what can hide an exchange of gradients


@dataclass(frozen=True)
class Links:
    """GB/s, one way, between the GPUs of a machine, and between machines for each GPU."""

    link: float
    network: float


LINKS: Mapping[str, Links] = {
    'V100': Links(150, 12.5),  # NVLink; 100 Gbit/s per GPU
    'A100': Links(300, 25),  # NVLink; 200 Gbit/s
    'H100': Links(450, 50),  # NVLink; 400 Gbit/s
    'RTX 4090': Links(28, 3),  # PCIe; 25 Gbit/s
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--gpu', nargs='+', choices=GPUS, default=['A100', 'H100'])
    parser.add_argument(
        '--opt', default=str(ROOT / 'options/IART_REDS_N6_300K.yml'), metavar='YAML', help='options of a training run'
    )
    parser.add_argument(
        '--size', type=int, nargs=2, default=(180, 320), metavar=('H', 'W'), help='size of the LR frame to restore'
    )
    parser.add_argument('--frames', type=int, default=100, help='frames of the clip to restore')
    parser.add_argument('--gpus', type=int, nargs='+', default=[1, 8, 16, 64])
    parser.add_argument('--node', type=int, default=8, help='GPUs per machine')
    parser.add_argument(
        '--memory', type=float, metavar='GB/S', help="memory bandwidth; replaces the data sheet's, like the next two"
    )
    parser.add_argument('--link', type=float, metavar='GB/S', help='bandwidth between the GPUs of a machine')
    parser.add_argument('--network', type=float, metavar='GB/S', help='bandwidth between machines, per GPU')
    defaults = Assumptions()
    parser.add_argument(
        '--arithmetic-share', type=float, default=defaults.arithmetic, help='share of the arithmetic rate reached'
    )
    parser.add_argument(
        '--bandwidth-share', type=float, default=defaults.bandwidth, help='share of the bandwidth reached'
    )
    parser.add_argument(
        '--launch', type=float, default=1e6 * defaults.launch, metavar='MICROSECONDS', help='time to launch an operator'
    )
    parser.add_argument(
        '--overlap', type=float, default=0.5, help='share of the backward pass during which gradients are exchanged'
    )
    parser.add_argument(
        '--loader',
        type=float,
        default=2.0,
        metavar='CLIPS/S',
        help='clips per second of one worker: scripts/benchmark_loader.py measures it',
    )
    parser.add_argument('--workers', type=int, default=6, help='data loader workers per GPU')
    text = "compare the prediction with this CPU's time, for 3 frames of SIDE×SIDE (default 32)"
    parser.add_argument('--check', type=int, nargs='?', const=32, metavar='SIDE', help=text)
    arguments = parser.parse_args()
    log.setup()
    options = load(arguments.opt)
    run = DryRun(options, CPU)
    if arguments.check:
        check(run.network.eval(), arguments.check)
        return
    counts = {p: flops.count_frame(run.network.eval(), tuple(arguments.size), p, as_on_gpu) for p in ('fp32', 'fp16')}
    memory_per_frame(run.network, arguments)
    gpus = {name: replace(GPUS[name], bandwidth=arguments.memory or GPUS[name].bandwidth) for name in arguments.gpu}
    assumed = replace(
        defaults,
        arithmetic=arguments.arithmetic_share,
        bandwidth=arguments.bandwidth_share,
        launch=1e-6 * arguments.launch,
    )
    inference(counts, gpus, assumed, arguments)
    training(run, gpus, assumed, arguments)


def part_of(module: str, operator: str) -> str:
    """Return the part of the network that an operator belongs to."""
    if '.spynet' in module:
        return 'SPyNet'
    if '.implicit_warp' in module:
        return 'alignment'
    if '.swin_backbone' not in module:
        return 'reconstruction, rest'
    kinds = {'scaled_dot_product': 'attention', 'attention': 'attention', 'mm': 'linear', 'convolution': 'conv'}
    return next((part for name, part in kinds.items() if name in operator), 'norm, GELU, copies')


def by_part(counts: Counts) -> dict[str, Counts]:
    """Return the work of each part of the network."""
    parts: dict[str, Counts] = {}
    for (module, operator), work in counts.items():
        parts.setdefault(part_of(module, operator), {})[module, operator] = work
    return parts


def seconds_by_part(counts: Counts, gpu: Gpu, assumed: Assumptions) -> dict[str, float]:
    """Return the seconds of each part on the GPU, if the host launches fast enough."""
    assumed = replace(assumed, launch=0.0)
    return {part: roofline(work, gpu, assumed=assumed)[0] for part, work in by_part(counts).items()}


def inference(
    counts: dict[str, Counts], gpus: dict[str, Gpu], assumed: Assumptions, arguments: argparse.Namespace
) -> None:
    """Print the milliseconds per frame."""
    columns, times, whole_times = [], [], []
    for name, gpu in gpus.items():
        for precision, counted in counts.items():
            columns.append(f'{name} {precision}, ms')
            times.append(seconds_by_part(counted, gpu, assumed))
            whole_times.append(roofline(counted, gpu, assumed=assumed)[0])
    works = {part: sum(work.values(), Work()) for part, work in by_part(counts['fp32']).items()}
    rows = [
        [
            part,
            f'{w.flops / 1e9:,.0f}',
            f'{w.bytes / 1e9:,.1f}',
            str(w.calls),
            *(f'{1e3 * t.get(part, 0):.1f}' for t in times),
        ]
        for part, w in sorted(works.items(), key=lambda item: -item[1].flops)
    ]
    whole = sum(works.values(), Work())
    total = ['all', f'{whole.flops / 1e9:,.0f}', f'{whole.bytes / 1e9:,.1f}', str(whole.calls)]
    height, width = arguments.size
    title = f'PREDICTION: one frame of {width}×{height} LR'
    header = ['part', 'GFLOPs', 'GB fp32', 'kernels', *columns]
    log.table(title, header, rows, footer=[*total, *(f'{1e3 * seconds:.0f}' for seconds in whole_times)])


def memory_per_frame(network: nn.Module, arguments: argparse.Namespace) -> None:
    """Print the memory of restoring, counted on this machine with small frames."""
    pixels = arguments.size[0] * arguments.size[1]
    rows = []
    for precision in ('fp32', 'bf16'):
        costs = measure(network, CPU, precision)
        work, stored = costs.work * pixels / 2**20, costs.kept * pixels / 2**20
        rows.append([precision, f'{work:,.0f}', f'{stored:.1f}', f'{work + arguments.frames * stored:,.0f}'])
    columns = [
        '',
        'computing a frame, MB',
        'stored for each frame, MB',
        f'{arguments.frames} frames on the device, MB',
    ]
    log.table('PREDICTION: memory beside the weights (54 MB)', columns, rows)


def training(run: DryRun, gpus: dict[str, Gpu], assumed: Assumptions, arguments: argparse.Namespace) -> None:
    """Print the figures of one training step, and of many GPUs."""
    options = load(arguments.opt)
    assert options.train is not None
    section = options.datasets['train']
    size = Load(
        section.batch_size_per_gpu,
        int(section.arguments['num_frame']),
        int(section.arguments['gt_size']) // options.scale,
    )
    memory, steps = run.on_gpu_paper()
    work = steps.at(size)
    gradients = 4 * sum(p.numel() for p in run.model.parameters())
    rows = []
    for name, gpu in gpus.items():
        links = Links(arguments.link or LINKS[name].link, arguments.network or LINKS[name].network)
        one, _ = roofline(work, gpu, tf32=options.train.tf32, assumed=assumed)
        scaled = scaling(one, gradients, size.clips, links, options.train.total_iter, arguments)
        rows += [[name, *row] for row in scaled]
    log.logger.info(
        f'a step: {size.clips} × {size.frames} frames of {size.side}×{size.side}, '
        f'{flops.total(work).flops / 1e12:.2f} TFLOPs with what checkpointing repeats; about '
        f'{memory.at(size) / 1e9:.1f} GB in {run.precision}; gradients {gradients / 1e6:.0f} MB'
    )
    columns = [
        '',
        'GPUs',
        's/iteration',
        'clips/s',
        'efficiency',
        'clips/s a GPU must read',
        'reading gives',
        f'days for {options.train.total_iter:,}',
    ]
    log.table(f'PREDICTION: training in {run.precision}, the batch grows with the GPUs', columns, rows)


def scaling(
    one: float,
    gradient_bytes: int,
    clips: int,
    links: Links,
    iterations: int,
    arguments: argparse.Namespace,
) -> list[list[str]]:
    """Return rows for 1 to many GPUs: gradients are exchanged in a ring, partly during the backward pass."""
    rows = []
    for gpus in arguments.gpus:
        bandwidth = links.link if gpus <= arguments.node else links.network
        exchange = 2 * (gpus - 1) / gpus * gradient_bytes / (bandwidth * 1e9)
        step = one + max(0.0, exchange - arguments.overlap * _BACKWARD * one)
        required, reading = clips / step, arguments.loader * arguments.workers
        slowed = max(step, clips / reading)
        rows.append(
            [
                str(gpus),
                f'{slowed:.3f}',
                f'{gpus * clips / slowed:.1f}',
                f'{one / slowed:.0%}',
                f'{required:.2f}',
                f'{reading:.2f}',
                f'{slowed * iterations / 86400:.2f}',
            ]
        )
    return rows


def check(network: nn.Module, side: int) -> None:
    """Measure this CPU's rates and a small clip, and compare with the prediction for this clip."""
    a = torch.rand(1536, 1536)
    gemm = 2 * 1536**3 / min(durations(lambda: a @ a, 5, warm_up=True))
    big = torch.rand(2**26)
    target = torch.empty_like(big)
    bandwidth = 2 * 4 * 2**26 / min(durations(lambda: target.copy_(big), 5, warm_up=True))
    lq = torch.rand(1, 3, 3, side, side)
    counts = flops.count(lambda: network(torch.rand(1, 3, 3, side, side)))
    with torch.inference_mode():
        measured = min(durations(lambda: network(lq), 2, warm_up=True))
    rate = gemm / 1e12
    processor = Gpu(fp32=rate, tf32=rate, half=rate, bandwidth=bandwidth / 1e9, memory=0)
    parts = seconds_by_part(counts, processor, Assumptions(arithmetic=1.0, bandwidth=1.0, kernel=5e-6))
    predicted = sum(parts.values())
    log.logger.info(f'{torch.get_num_threads()} threads: {gemm / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.1f} GB/s')
    rows = [[part, f'{t:.2f}'] for part, t in sorted(parts.items(), key=lambda item: -item[1])]
    log.table(
        f'3 frames of {side}×{side} on this CPU', ['part', 'predicted, s'], rows, footer=['all', f'{predicted:.2f}']
    )
    log.logger.info(f'measured: {measured:.2f} s, {measured / predicted:.2f} times the prediction')


if __name__ == '__main__':
    main()
