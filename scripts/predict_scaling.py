"""Predict time and memory on GPUs from counted FLOPs and bytes; nothing printed here was measured on a GPU.

    python scripts/predict_scaling.py [--gpu A100 H100] [--opt YAML] [--loader CLIPS_PER_SECOND]
    python scripts/predict_scaling.py --check        # the same for this machine's CPU, compared with its real time

A roofline by operator: the largest of FLOPs over the arithmetic rate, bytes over the memory bandwidth, and calls times
the time of a kernel launch, summed over the parts of the network. No fusion is assumed that the code does not do. See
docs/scaling.md.
"""

import argparse
from dataclasses import dataclass
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

CPU = torch.device('cpu')
ROOT = Path(__file__).resolve().parents[1]
BACKWARD = {'attention': 2.5}  # times the forward work; other operators: twice
CHECKPOINTED = ('attention', 'linear', 'norm, GELU, copies')  # computed twice with checkpointing of the Swin blocks
ADAM_BYTES = 40  # per weight and step: weight, gradient, two moments, average; read and written, float32


@dataclass(frozen=True)
class Machine:
    """Rates of the data sheet: TFLOP/s in float32 and in half precision (dense), GB/s of memory, of links in a node and
    between nodes.
    """

    fp32: float
    half: float
    memory: float
    link: float = 1.0
    network: float = 1.0


GPUS = {
    'A100': Machine(19.5, 312, 2039, 300, 25),  # 80 GB SXM; NVLink one way; 200 Gbit/s per GPU
    'H100': Machine(67, 989, 3350, 450, 50),  # 80 GB SXM; NVLink one way; 400 Gbit/s per GPU
    'A5000': Machine(27.8, 111, 768, 28, 3),  # of the published 2105 ms per frame
}


@dataclass(frozen=True)
class Shares:
    """Shares of the data sheet's rates that are reached, and seconds of one kernel launch."""

    arithmetic: float
    bandwidth: float
    launch: float


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
    parser.add_argument('--gpus', type=int, nargs='+', default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument('--node', type=int, default=8, help='GPUs per machine')
    parser.add_argument('--tflops-fp32', type=float, help="replaces the data sheet's value, like the next four")
    parser.add_argument('--tflops-half', type=float)
    parser.add_argument('--memory', type=float, metavar='GB/S', help='memory bandwidth')
    parser.add_argument('--link', type=float, metavar='GB/S', help='bandwidth between the GPUs of a machine')
    parser.add_argument('--network', type=float, metavar='GB/S', help='bandwidth between machines, per GPU')
    parser.add_argument(
        '--arithmetic-share', type=float, default=0.5, help='share of the arithmetic rate that is reached'
    )
    parser.add_argument('--bandwidth-share', type=float, default=0.75, help='share of the bandwidth that is reached')
    parser.add_argument('--launch', type=float, default=6.0, metavar='MICROSECONDS', help='time to launch a kernel')
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
    text = "hold the reckoning against this CPU's time, for 3 frames of SIDE×SIDE (default 32)"
    parser.add_argument('--check', type=int, nargs='?', const=32, metavar='SIDE', help=text)
    arguments = parser.parse_args()
    log.setup()
    options = load(arguments.opt)
    run = DryRun(options, CPU)
    if arguments.check:
        check(run.network.eval(), arguments.check)
        return
    counts = {p: flops.count_frame(run.network.eval(), tuple(arguments.size), p, as_on_gpu) for p in ('fp32', 'bf16')}
    memory_per_frame(run.network, arguments)
    machines = {name: given(GPUS[name], arguments) for name in arguments.gpu}
    shares = Shares(arguments.arithmetic_share, arguments.bandwidth_share, arguments.launch * 1e-6)
    inference(counts, machines, shares, arguments)
    training(run, counts['bf16'], machines, shares, arguments)


def given(machine: Machine, arguments: argparse.Namespace) -> Machine:
    """Return the machine with the rates of the command line."""
    names = {'fp32': 'tflops_fp32', 'half': 'tflops_half', 'memory': 'memory', 'link': 'link', 'network': 'network'}
    return Machine(**{field: getattr(arguments, name) or getattr(machine, field) for field, name in names.items()})


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


def seconds_by_part(counts: Counts, machine: Machine, shares: Shares, *, half: bool) -> dict[str, float]:
    """Return the seconds of each part of the network, by a roofline of its operators."""
    parts: dict[str, float] = {}
    for (module, operator), work in counts.items():
        part = part_of(module, operator)
        rate = machine.half if half and part != 'SPyNet' else machine.fp32  # flows are float32 under any autocast
        times = (
            work.flops / (rate * 1e12 * shares.arithmetic),
            work.bytes / (machine.memory * 1e9 * shares.bandwidth),
            work.calls * shares.launch,
        )
        parts[part] = parts.get(part, 0.0) + max(times)
    return parts


def inference(
    counts: dict[str, Counts], machines: dict[str, Machine], shares: Shares, arguments: argparse.Namespace
) -> None:
    """Print the milliseconds per frame."""
    works: dict[str, Work] = {}
    for (module, operator), work in counts['fp32'].items():
        part = part_of(module, operator)
        works[part] = works.get(part, Work()) + work
    columns, times = [], []
    for name, machine in machines.items():
        for precision, half in (('fp32', False), ('bf16', True)):
            columns.append(f'{name} {precision}, ms')
            times.append(seconds_by_part(counts[precision], machine, shares, half=half))
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
    log.table(title, header, rows, footer=[*total, *(f'{1e3 * sum(t.values()):.0f}' for t in times)])


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


def training(
    run: DryRun, frame: Counts, machines: dict[str, Machine], shares: Shares, arguments: argparse.Namespace
) -> None:
    """Print the figures of one training step, and of many GPUs."""
    options = load(arguments.opt)
    assert options.train is not None
    section = options.datasets['train']
    size = Load(
        section.batch_size_per_gpu,
        int(section.arguments['num_frame']),
        int(section.arguments['gt_size']) // options.scale,
    )
    _, work = run.on_paper()
    memory, _ = run.on_gpu_paper()
    weights = sum(p.numel() for p in run.model.parameters())
    scale = size.pixels * size.frames / (arguments.size[0] * arguments.size[1])
    # Calls do not shrink with the frame: the launches of a frame are counted in full.
    patch = {
        key: Work(int(w.flops * scale), int(w.bytes * scale), w.calls * size.frames * size.clips)
        for key, w in frame.items()
    }
    again = options.network_g.get('use_checkpoint') not in (None, False, 'none')
    rows = []
    for name, machine in machines.items():
        forward = seconds_by_part(patch, machine, shares, half=True)
        backward = sum(t * BACKWARD.get(part, 2.0) for part, t in forward.items())
        if again:
            backward += sum(t for part, t in forward.items() if part in CHECKPOINTED)
        update = ADAM_BYTES * weights / (machine.memory * 1e9 * shares.bandwidth)
        one = sum(forward.values()) + backward + update
        rows += [
            [name, *row]
            for row in scaling(one, backward, 4 * weights, size.clips, machine, options.train.total_iter, arguments)
        ]
    log.logger.info(
        f'a step: {size.clips} × {size.frames} frames of {size.side}×{size.side}, {work.at(size) / 1e12:.2f} TFLOPs '
        f'with what checkpointing repeats; about {memory.at(size) / 2**30:.1f} GB in {run.precision}; gradients '
        f'{4 * weights / 1e6:.0f} MB'
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
    log.table('PREDICTION: training in bf16, the batch grows with the GPUs', columns, rows)


def scaling(
    one: float,
    backward: float,
    gradient_bytes: int,
    clips: int,
    machine: Machine,
    iterations: int,
    arguments: argparse.Namespace,
) -> list[list[str]]:
    """Return rows for 1 to many GPUs: gradients are exchanged in a ring, partly during the backward pass."""
    rows = []
    for gpus in arguments.gpus:
        bandwidth = machine.link if gpus <= arguments.node else machine.network
        exchange = 2 * (gpus - 1) / gpus * gradient_bytes / (bandwidth * 1e9)
        step = one + max(0.0, exchange - arguments.overlap * backward)
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
    machine = Machine(gemm / 1e12, gemm / 1e12, bandwidth / 1e9)
    parts = seconds_by_part(counts, machine, Shares(1.0, 1.0, 5e-6), half=False)
    predicted = sum(parts.values())
    log.logger.info(f'{torch.get_num_threads()} threads: {gemm / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.1f} GB/s')
    rows = [[part, f'{t:.2f}'] for part, t in sorted(parts.items(), key=lambda item: -item[1])]
    log.table(
        f'3 frames of {side}×{side} on this CPU', ['part', 'reckoned, s'], rows, footer=['all', f'{predicted:.2f}']
    )
    log.logger.info(f'measured: {measured:.2f} s, {measured / predicted:.2f} times the prediction')


if __name__ == '__main__':
    main()
