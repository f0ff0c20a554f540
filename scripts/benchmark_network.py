"""Measure speed and memory of the network relative to a plain transcription of its definition (tests/reference).

    python scripts/benchmark_network.py [--parts forward train memory policies profile] [--sizes 64x64 180x120] [--json
    FILE]

Both, and large matrix products, are timed in turn in one process; medians and their ratios are printed. Peak memory is
measured in processes of their own. Weights and frames are random, the network's size is the published one. Sizes are
WIDTHxHEIGHT of LR frames; a training step is forward, Charbonnier loss, backward and Adam, with the same checkpointing
of blocks for both.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

# torch is imported where it is used: a child's peak would include its parent's memory at the start of the child
REPOSITORY = Path(__file__).resolve().parents[1]
SMALL = {'mid_channels': 8, 'embed_dim': 24, 'depths': [2], 'num_heads': [2]}
KINDS = ('reference', 'ours')
CLOCKS = {'wall': time.perf_counter, 'cpu': time.process_time}
PARTS = ('forward', 'train', 'memory', 'policies', 'profile')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--parts', nargs='+', default=['forward', 'train', 'memory'], choices=PARTS)
    parser.add_argument('--sizes', nargs='+', default=['64x64', '180x120'], help='sizes for the forward pass')
    parser.add_argument(
        '--frames', type=int, default=3, help='frames of the forward pass; the third is the first that runs everything'
    )
    parser.add_argument('--train-size', default='64x64')
    parser.add_argument('--train-frames', type=int, default=6)
    parser.add_argument(
        '--checkpoint',
        default='blocks',
        choices=['blocks', 'none'],
        help='checkpointing of the training step, for both',
    )
    parser.add_argument(
        '--ours',
        nargs='+',
        default=['blocks', 'none', 'auto'],
        help='further policies to measure',
    )
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--small', action='store_true', help='use a tiny network, to test this script')
    parser.add_argument('--device', default='auto')
    parser.add_argument(
        '--precision', default='fp32', choices=['fp32', 'fp16', 'bf16'], help='precision of the forward passes'
    )
    parser.add_argument(
        '--clock',
        default='wall',
        choices=['wall', 'cpu'],
        help='cpu: processor time of this process, for a CPU that others use as well',
    )
    parser.add_argument('--threads', type=int, help="CPU threads; default: torch's")
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the figures to this file')
    parser.add_argument('--child', nargs=2, metavar=('KIND', 'POLICY'), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(peak_of_step(arguments, *arguments.child)))
        return
    figures: dict[str, Any] = {'arguments': {k: str(v) for k, v in vars(arguments).items()}}
    if 'memory' in arguments.parts:  # before this process allocates memory
        figures['memory'] = peaks(arguments)
    figures['machine'] = machine(arguments)
    for part, measure in {'forward': forward, 'train': train, 'policies': policies, 'profile': profile}.items():
        if part in arguments.parts:
            figures[part] = measure(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


def network_of(arguments: argparse.Namespace, kind: str, policy: Any = 'none') -> Any:
    """Return either network with the same random weights."""
    import torch

    from iart import device as devices

    sys.path.insert(0, str(REPOSITORY / 'tests'))
    sizes: dict[str, Any] = SMALL if arguments.small else {}
    torch.manual_seed(0)
    if kind == 'ours':
        from iart.archs.iart_arch import IART

        network: Any = IART(**sizes, use_checkpoint=policy)
    else:
        from reference.network import ReferenceIART

        network = ReferenceIART(**sizes, use_checkpoint=policy == 'blocks')
    with torch.no_grad():
        for parameter in network.spynet.parameters():
            parameter.normal_(std=0.02)  # some motion
    return network.to(devices.choose(arguments.device))


def clip_of(arguments: argparse.Namespace, size: str, frames: int) -> Any:
    """Return a random clip (1, frames, 3, h, w) on the device."""
    import torch

    from iart import device as devices

    width, height = (int(side) for side in size.split('x'))
    return torch.rand(1, frames, 3, height, width, generator=torch.Generator().manual_seed(0)).to(
        devices.choose(arguments.device)
    )


def medians(arguments: argparse.Namespace, functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each function, called in turn."""
    from iart import device as devices
    from iart.stopwatch import in_turn

    device = devices.choose(arguments.device)
    seconds = in_turn([*functions.values()], arguments.rounds, device, warm_up=False, clock=CLOCKS[arguments.clock])
    return dict(zip(functions, seconds, strict=True))


def matrix_products(arguments: argparse.Namespace) -> tuple[dict[str, Callable[[], object]], float]:
    """Return large matrix products by each of the machine's kernels, and the GFLOP of one."""
    import torch

    from iart import device as devices
    from iart.ops.dense import dense

    device, side = devices.choose(arguments.device), 128 if arguments.small else 2048
    a, b = torch.randn(side, side, device=device), torch.randn(side, side, device=device)
    with devices.autocast(device, arguments.precision):
        dense(a, b, None)
    return {'torch.mm': lambda: torch.mm(a, b), 'as a 1×1 convolution': lambda: dense(a, b, None)}, 2 * side**3 / 1e9


def flops(function: Callable[[], object]) -> float:
    """Return the GFLOP of matrix products and convolutions in a call."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return sdpa_flop_count(query, key, value)

    cpu_attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # unknown to the counter
    with FlopCounterMode(display=False, custom_mapping={cpu_attention: attention}) as counter:
        function()
    return counter.get_total_flops() / 1e9


def forward(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure seconds per frame, their ratio, and the share of the rate of matrix products."""
    import torch

    from iart import device as devices

    networks = {kind: network_of(arguments, kind).eval() for kind in KINDS}
    device, rows = devices.choose(arguments.device), []
    products, product_gflop = matrix_products(arguments)
    with torch.inference_mode(), devices.autocast(device, arguments.precision):
        for size in arguments.sizes:
            clip = clip_of(arguments, size, arguments.frames)
            runs: dict[str, Callable[[], object]] = {kind: partial(network, clip) for kind, network in networks.items()}
            gflop = {kind: flops(run) for kind, run in runs.items()}  # and warm up
            seconds = medians(arguments, runs | products)
            rates = {name: product_gflop / seconds[name] for name in products}
            speed = gflop['ours'] / seconds['ours']
            row = {
                'LR size': size,
                **{f'{kind} s/frame': seconds[kind] / arguments.frames for kind in KINDS},
                'ratio': seconds['reference'] / seconds['ours'],
                **{f'{kind} GFLOP/frame': gflop[kind] / arguments.frames for kind in KINDS},
                'ours GFLOP/s': speed,
                **{f'{name} GFLOP/s': rate for name, rate in rates.items()},
                **{f'share of {name}': speed / rate for name, rate in rates.items()},
            }
            rows.append(row)
            show(f'forward, LR {size}, {arguments.frames} frames, {arguments.precision}', [row])
    return rows


def step_of(network: Any, clip: Any) -> Callable[[], None]:
    """Return a training step: forward, Charbonnier loss, backward, Adam."""
    import torch

    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.9, 0.99))
    for parameter in network.parameters():  # so that Adam has its state from the start
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    target = torch.nn.functional.interpolate(clip.flatten(0, 1), scale_factor=4).unflatten(0, clip.shape[:2])

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        (network(clip) - target).square().add(1e-12).sqrt().mean().backward()
        optimizer.step()

    return step


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the seconds of a training step, ours with every requested policy."""
    clip = clip_of(arguments, arguments.train_size, arguments.train_frames)
    steps: dict[str, Callable[[], object]] = {
        'reference': step_of(network_of(arguments, 'reference', arguments.checkpoint).train(), clip)
    }
    for policy in dict.fromkeys([arguments.checkpoint, *arguments.ours]):
        steps[f'ours, {policy}'] = step_of(network_of(arguments, 'ours', policy).train(), clip)
    seconds = medians(arguments, steps)
    rows = [
        {'network': name, 's/step': value, 'ratio': seconds['reference'] / value} for name, value in seconds.items()
    ]
    show(
        f'training step, LR {arguments.train_size}, {arguments.train_frames} frames; reference: {arguments.checkpoint}',
        rows,
    )
    return {'rows': rows}


def peak_of_step(arguments: argparse.Namespace, kind: str, policy: str) -> dict[str, float]:
    """Return the peak memory of a training step in this process, and the memory before it, in MB."""
    set_threads(arguments)
    from iart import device as devices
    from iart.stopwatch import timed

    device = devices.choose(arguments.device)
    network, clip = (
        network_of(arguments, kind, policy).train(),
        clip_of(arguments, arguments.train_size, arguments.train_frames),
    )
    step = step_of(network, clip)
    before = devices.peak_memory_mb(device)
    _, seconds = timed(step, device, clock=CLOCKS[arguments.clock])
    return {'s': seconds, 'peak MB': devices.peak_memory_mb(device), 'before MB': before}


def peaks(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the peak memory of training steps, each in a process of its own."""
    rows: list[dict[str, Any]] = []
    runs = [
        ('reference', arguments.checkpoint),
        *(('ours', policy) for policy in dict.fromkeys([arguments.checkpoint, *arguments.ours])),
    ]
    for kind, policy in runs:
        command = [sys.executable, __file__, *sys.argv[1:], '--child', kind, policy]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append({'network': f'{kind}, {policy}', **json.loads(done.stdout.splitlines()[-1])})
        rows[-1]['share'] = rows[-1]['peak MB'] / rows[0]['peak MB']
        rows[-1]['share without start'] = (rows[-1]['peak MB'] - rows[-1]['before MB']) / (
            rows[0]['peak MB'] - rows[0]['before MB']
        )
    show(f'peak memory of a training step, LR {arguments.train_size}, {arguments.train_frames} frames', rows)
    return rows


def policies(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure a forward and backward pass of a backbone with each policy: seconds, stored memory, and peak memory."""
    import torch

    from iart import device as devices
    from iart.inference.costs import Allocations
    from iart.stopwatch import timed

    device = devices.choose(arguments.device)
    backbones = {kind: network_of(arguments, kind, 'blocks').swin_backbone['forward_1'].train() for kind in KINDS}
    width, height = (int(side) for side in arguments.train_size.split('x'))
    channels = backbones['ours'].norm.normalized_shape[0]
    x = torch.rand(1, 3, channels, height, width, device=device, requires_grad=True)
    runs: dict[str, Callable[[], Any]] = {'reference, blocks': partial(backbones['reference'], x)}
    layouts = backbones['ours'].layouts((1, height, width), device)
    for policy in ('none', 'mlp', 'blocks', 'backbones'):
        runs[f'ours, {policy}'] = partial(backbones['ours'], x, backbones['ours'].prepare(layouts, policy))
    rows = []

    def both_passes(run: Callable[[], Any]) -> float:
        out = run()
        stored = allocations.now / 2**20
        out.sum().backward()
        return stored

    for name, run in runs.items():
        with Allocations() as allocations:
            stored, seconds = timed(partial(both_passes, run), device, clock=CLOCKS[arguments.clock])
        rows.append({'backbone': name, 's': seconds, 'kept MB': stored, 'peak MB': allocations.peak / 2**20})
    show(f'forward and backward of a backbone, LR {arguments.train_size}', rows)
    return rows


def profile(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Profile our forward pass by operator."""
    import torch
    from torch.profiler import ProfilerActivity

    from iart import device as devices

    device = devices.choose(arguments.device)
    network, clip = network_of(arguments, 'ours').eval(), clip_of(arguments, arguments.sizes[0], arguments.frames)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == 'cuda' else [])
    with torch.inference_mode(), devices.autocast(device, arguments.precision):
        network(clip)
        with torch.profiler.profile(activities=activities) as record:
            network(clip)
    on_gpu = device.type == 'cuda'
    events = record.key_averages()
    times = {e.key: (e.self_device_time_total if on_gpu else e.self_cpu_time_total) / 1e6 for e in events}
    total, counts = sum(times.values()), {e.key: e.count for e in events}
    most = sorted(times, key=lambda key: -times[key])[:15]
    rows = [{'operator': key, 's': times[key], 'share': times[key] / total, 'calls': counts[key]} for key in most]
    show(f'forward of ours, LR {arguments.sizes[0]}, {arguments.frames} frames: {total:.2f} s', rows)
    return rows


def set_threads(arguments: argparse.Namespace) -> None:
    import torch

    if arguments.threads:
        torch.set_num_threads(arguments.threads)


def machine(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return a description of the machine."""
    import torch

    from iart import device as devices

    set_threads(arguments)
    device = devices.choose(arguments.device)
    facts = {
        'device': torch.cuda.get_device_name(device) if device.type == 'cuda' else processor(),
        'threads': torch.get_num_threads(),
        'torch': torch.__version__,
        'vector units': torch.backends.cpu.get_cpu_capability(),
        'python': platform.python_version(),
    }
    show('machine', [facts])
    return facts


def processor() -> str:
    described = (
        re.search(r'^model name\s*: (.*)$', Path('/proc/cpuinfo').read_text(), re.M)
        if Path('/proc/cpuinfo').exists()
        else None
    )
    return described[1] if described else platform.processor()


def show(title: str, rows: list[dict[str, Any]]) -> None:
    from iart import log

    def spell(value: Any) -> str:
        return (
            f'{value:.3g}'
            if isinstance(value, float) and value < 100
            else f'{value:.0f}'
            if isinstance(value, float)
            else str(value)
        )

    if len(rows) == 1:
        log.table(title, ['', ''], [[name, spell(value)] for name, value in rows[0].items()])
    else:
        log.table(title, list(rows[0]), [[spell(value) for value in row.values()] for row in rows])


if __name__ == '__main__':
    main()
