"""Check of several processes of one run: they average gradients, exchange flags, and end when one is lost."""

import json
import os
import socket
import subprocess
import sys
import time
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from iart import device as devices
from iart import distributed
from iart.device import gpu_facts
from iart.doctor.result import CheckResult, judge
from iart.doctor.small import Small

_MARK = 'iart-rank-result '
_STEPS = 2
_LIMIT = 200  # seconds for all processes of one run
_LOST = 30  # seconds in which the others must notice that a process has ended
_CLOSE = 1e-4  # largest difference of losses between one process and several, relative


def processes(device: torch.device) -> CheckResult:
    """Train a small network in several processes and in one on the same clips, then end one process of several.

    Args:
        device: a CPU for two processes with gloo, a GPU for as many as there are GPUs, with NCCL.
    """
    on_cpu = devices.shares_host_memory(device)
    worlds = [2] if on_cpu else sorted({1, gpu_facts.count()})
    figures: dict[str, Any] = {}
    wrong: list[str] = []
    for world in worlds:
        try:
            ranks = _run(device.type, world)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            return CheckResult(
                'wrong', f'{world} processes: {str(error)[-300:]}', 'report this with the JSON file', figures
            )
        alone = _losses_of_one(device, world)
        together = [sum(losses) / world for losses in zip(*(r['losses'] for r in ranks), strict=True)]
        apart = max(abs(a - b) / max(abs(b), 1e-6) for a, b in zip(together, alone, strict=True))
        figures[f'{world} processes'] = {'losses': together, 'one process': alone, 'ranks': ranks}
        has_values = on_cpu or not gpu_facts.is_null(device)
        if has_values and not apart <= _CLOSE:
            wrong.append(f'{world} processes: losses {apart:.1e} apart from those of one')
        if len({r['weights'] for r in ranks}) > 1 and has_values:
            wrong.append(f'{world} processes: parameters differ between ranks')
        if not all(r['flags'] for r in ranks):
            wrong.append(f'{world} processes: flags or objects did not arrive')
        late = [r['rank'] for r in ranks[:-1] if not r['noticed'] < _LOST]
        wrong += [f'{world} processes: ranks {late} did not notice a lost process'] if late else []
    backend = 'gloo' if on_cpu else 'NCCL'
    detail = f'{backend}, {" and ".join(map(str, worlds))} process{"es" if worlds[-1] > 1 else ""}'
    return judge(not wrong, detail if not wrong else '; '.join(wrong), 'report this with the JSON file', **figures)


def _run(kind: str, world: int) -> list[dict[str, Any]]:
    """Start ``world`` processes and return what each of them reports."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    common = {'WORLD_SIZE': str(world), 'LOCAL_WORLD_SIZE': str(world), 'MASTER_PORT': str(port)}
    command = [sys.executable, '-m', 'iart.doctor.ranks', kind]
    running = [
        subprocess.Popen(
            command,
            env={
                **os.environ,
                **common,
                'MASTER_ADDR': '127.0.0.1',
                'RANK': str(rank),
                'LOCAL_RANK': str(rank),
                'OMP_NUM_THREADS': '1',
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    deadline, reports = time.monotonic() + _LIMIT, []
    try:
        for process in running:
            out, error = process.communicate(timeout=max(1.0, deadline - time.monotonic()))
            lines = [line for line in out.splitlines() if line.startswith(_MARK)]
            if not lines:
                raise RuntimeError(error.strip()[-2000:] or f'ended with code {process.returncode}')
            reports.append(json.loads(lines[-1].removeprefix(_MARK)))
    finally:
        for process in running:
            process.kill()
            process.wait()
    return reports


def _clips(device: torch.device, world: int) -> tuple[Tensor, Tensor]:
    """Return one clip and its target for each process."""
    generator = torch.Generator().manual_seed(1)
    shapes = (world, 2, 3, 16, 16), (world, 2, 3, 64, 64)
    clips, targets = (torch.rand(shape, generator=generator).to(device) for shape in shapes)
    return clips, targets


def _train(network: torch.nn.Module, clips: Tensor, targets: Tensor) -> list[float]:
    """Return the losses of a few steps of gradient descent, which does not amplify rounding errors as Adam does."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    for _ in range(_STEPS):
        optimizer.zero_grad(set_to_none=True)
        loss = (network(clips) - targets).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def _losses_of_one(device: torch.device, world: int) -> list[float]:
    return _train(Small(device).network.train(), *_clips(device, world))


def _rank(kind: str) -> None:
    """Run one process; the last one of several ends without notice."""
    world = int(os.environ['WORLD_SIZE'])
    device = devices.choose(kind, distributed.local_rank('pytorch'), world)
    distributed.launch('pytorch', device=device, timeout_minutes=1)
    share = slice(distributed.rank(), distributed.rank() + 1)
    network = DistributedDataParallel(
        Small(device).network.train(), device_ids=devices.ddp_ids(device), **distributed.CONSTANT_BUFFERS
    )
    clips, targets = _clips(device, world)
    losses = _train(network, clips[share], targets[share])
    weights = float(sum(p.detach().double().sum() for p in network.parameters()).cpu())  # type: ignore[union-attr]
    rank = distributed.rank()
    flags = distributed.gather(rank) == list(range(world)) and distributed.any_rank(rank == world - 1)
    report = {'rank': rank, 'losses': losses, 'weights': repr(weights), 'flags': flags, 'noticed': 0.0}
    distributed.barrier()
    if world > 1 and rank < world - 1:
        begin = time.monotonic()
        try:
            distributed.any_rank(False)
        except RuntimeError:
            report['noticed'] = time.monotonic() - begin
        else:
            report['noticed'] = float(_LOST)
    print('\n' + _MARK + json.dumps(report), flush=True)
    os._exit(0)  # as a process that is killed: without leaving the group


if __name__ == '__main__':
    _rank(sys.argv[1])
