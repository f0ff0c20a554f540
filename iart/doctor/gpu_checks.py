"""Checks of a GPU: kernels, parity with the CPU, memory plans, out of memory, training, several GPUs, speed."""

import statistics
from collections.abc import Callable
from typing import Any

import torch

from iart import device as devices
from iart.archs.iart_arch import IART
from iart.device import gpu_facts
from iart.doctor.ranks import processes
from iart.doctor.result import CheckResult, judge
from iart.doctor.small import Small
from iart.inference.options import PlanOptions
from iart.inference.restorer import plan_restorer
from iart.stopwatch import durations

_REPORT = 'report this with the JSON file'


def _precisions(device: torch.device) -> list[str]:
    return ['fp32', 'fp16', *(['bf16'] if devices.computes_bf16(device) else [])]


def _psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10((a - b).double().square().mean().clamp_min(1e-20)))


def facts(device: torch.device) -> CheckResult:
    """List the GPU, its driver's version and torch's."""
    figures = gpu_facts.facts(device)
    return CheckResult('ok', ', '.join(f'{name} {value}' for name, value in figures.items()), '', figures)


def attention(device: torch.device) -> CheckResult:
    """Check which kernel torch uses for the network's attention; the plain one is several times slower."""
    chosen: dict[str, str] = {}
    for precision in _precisions(device):
        dtype = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}[precision]
        multiple = devices.head_multiple(device, dtype)
        q = torch.zeros(2, 6, 192, -(-20 // multiple) * multiple, device=device, dtype=dtype)
        for training in (False, True):
            bias = torch.zeros(1, 6, 192, 192, device=device, dtype=dtype, requires_grad=training)
            q_ = q.clone().requires_grad_(training)
            choice = torch._fused_sdp_choice(q_, q_, q_, bias)
            name = torch.nn.attention.SDPBackend(choice).name if choice >= 0 else 'NONE'
            chosen[f'{precision} {"training" if training else "evaluation"}'] = name
    wrong = [f'{mode}: {name}' for mode, name in chosen.items() if name != 'EFFICIENT_ATTENTION']
    return judge(not wrong, 'memory-efficient everywhere' if not wrong else '; '.join(wrong), _REPORT, chosen=chosen)


def parity(device: torch.device) -> CheckResult:
    """Compare the restored clip of the GPU with that of the CPU, in every precision."""
    wide = 320  # bfloat16 has the integers to 256 only
    expected = Small(torch.device('cpu'), width=wide).restore('fp32')
    small = Small(device, width=wide)
    figures: dict[str, float] = {}
    wrong = []
    for name, precision, tf32, least in [
        ('fp32', 'fp32', 'off', 100.0),
        ('TF32', 'fp32', 'all', 60.0),
        *((p, p, 'off', 45.0) for p in _precisions(device)[1:]),
    ]:
        devices.configure(deterministic=False, tf32=tf32)
        figures[name] = _psnr(small.restore(precision), expected)
        wrong += [f'{name} {figures[name]:.1f} dB'] if not figures[name] >= least else []
    return judge(not wrong, ', '.join(f'{n} {v:.1f} dB' for n, v in figures.items()), f'{wrong}; {_REPORT}', **figures)


def plans(device: torch.device) -> CheckResult:
    """Check that all exact memory plans, and a repetition, are bit-exact."""
    small = Small(device)
    frames: dict[str, list[torch.Tensor]] = {}
    for kind in ('device', 'host', 'disk', 'device'):
        restore = plan_restorer(small.network, device, 'fp32', PlanOptions(kind=kind))
        clip = torch.cat(list(restore(small.clip))).cpu()
        frames.setdefault(kind, []).append(clip)
    first = frames['device'][0]
    wrong = [kind for kind, clips in frames.items() if any(not torch.equal(clip, first) for clip in clips)]
    return judge(not wrong, 'device, host, disk are bit-exact' if not wrong else f'differ: {wrong}', _REPORT)


def out_of_memory(device: torch.device) -> CheckResult:
    """Check that a clip is restored with little memory by a smaller plan, and that all memory is freed afterward."""
    network = IART().to(device)
    clip = torch.rand(1, 3, 3, 96, 160)
    with torch.inference_mode():
        network(torch.rand(1, 1, 3, 16, 16, device=device))  # libraries take their workspaces once
    before = gpu_facts.allocated(device)
    with gpu_facts.limited_memory(device, before + 384 * 2**20):
        restore = plan_restorer(network, device, 'fp32')
        shapes = {tuple(frame.shape) for frame in restore(clip)}
        used = [plan.kind for plan in restore.used]
    leaked = gpu_facts.allocated(device) - before
    right = shapes == {(1, 3, 384, 640)} and leaked < 2**20
    return judge(right, f'plans {" then ".join(used)}, {leaked} bytes left behind', _REPORT, plans=used, left=leaked)


def training(device: torch.device) -> CheckResult:
    """Check that losses fall alike in every precision, and that a resumed run continues with the same losses."""
    losses: dict[str, list[float]] = {}
    for precision in _precisions(device):
        for policy in ('none', 'blocks'):
            small = Small(device, policy)
            losses[f'{precision} {policy}'] = [small.step(precision) for _ in range(6)]
    first = losses['fp32 none']
    apart = {k: max(abs(a - b) for a, b in zip(v, first, strict=True)) for k, v in losses.items()}
    devices.configure(deterministic=True)
    small = Small(device)
    small.step('fp32')
    saved = {'network': small.network.state_dict(), 'optimizer': small.optimizer.state_dict()}
    saved = torch.utils._pytree.tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, saved)
    onward = small.step('fp32')
    again = Small(device)
    again.network.load_state_dict(saved['network'])
    again.optimizer.load_state_dict(saved['optimizer'])
    resumed = again.step('fp32')
    falls = all(v[-1] < v[0] for v in losses.values())
    right = falls and max(apart.values()) < 0.02 and onward == resumed
    detail = f'losses at most {max(apart.values()):.1e} apart, resumed by {abs(onward - resumed):.1e}'
    return judge(right, detail, _REPORT, losses=losses, onward=onward, resumed=resumed)


def benchmark(device: torch.device) -> CheckResult:
    """Measure the GPU's rates, ms per 320×180 frame and seconds per training step of the published network."""
    figures: dict[str, float] = {}
    devices.configure(deterministic=False)
    network = IART().to(device).eval()
    clip = torch.rand(1, 6, 3, 180, 320, device=device)
    for precision in _precisions(device):
        figures[f'{precision} TFLOP/s of a matrix product'] = _product_rate(device, precision)
    big = torch.zeros(2**26, device=device)
    figures['GB/s of a copy'] = 2 * 4 * 2**26 / 1e9 / _seconds(device, big.clone)
    del big
    for precision in _precisions(device):
        figures[f'{precision} ms/frame'] = 1000 / 6 * _seconds(device, _restoring(network, clip, precision))
    model = Small(device)
    model.network = IART(use_checkpoint='blocks').to(device)
    model.optimizer = torch.optim.Adam(model.network.parameters(), lr=1e-5, fused=devices.fuses_optimizer(device))
    model.clip = torch.rand(1, 6, 3, 64, 64, device=device)
    model.target = torch.rand(1, 6, 3, 256, 256, device=device)
    for precision in _precisions(device):
        figures[f'{precision} s/step'] = _seconds(device, lambda p=precision: model.step(p), rounds=2)  # type: ignore[misc]
    return CheckResult('ok', ', '.join(f'{name} {value:.3g}' for name, value in figures.items()), '', figures)


def _product_rate(device: torch.device, precision: str, side: int = 4096) -> float:
    """Return the TFLOP/s of a product of square matrices; TF32 is off."""
    dtype = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}[precision]
    a = torch.zeros(side, side, device=device, dtype=dtype)
    return 2 * side**3 / 1e12 / _seconds(device, lambda: a @ a)


def _restoring(network: torch.nn.Module, clip: torch.Tensor, precision: str) -> Callable[[], Any]:
    def run() -> None:
        with torch.inference_mode(), devices.autocast(clip.device, precision):
            network(clip)

    return run


def _seconds(device: torch.device, run: Callable[[], Any], rounds: int = 3) -> float:
    return statistics.median(durations(run, rounds, device, warm_up=True))


CHECKS = {
    'GPU': (facts, 30),
    'attention': (attention, 60),
    'parity': (parity, 120),
    'memory plans': (plans, 90),
    'out of memory': (out_of_memory, 90),
    'training': (training, 120),
    'processes': (processes, 240),
    'benchmark': (benchmark, 180),
}
"""Name → function of the device and time limit in seconds."""
NEED_VALUES = ('parity', 'training')
"""Checks that compare numbers, which the null device does not compute."""
