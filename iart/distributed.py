"""Rank, world size, barrier, means and gathers over ranks; no-ops in one process."""

import contextlib
import inspect
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from iart.errors import UserError

# The buffers of our networks are constant tables, equal on every rank: nothing to exchange. torch has renamed the
# switch.
_SWITCHES = inspect.signature(DistributedDataParallel).parameters
CONSTANT_BUFFERS: dict[str, Any] = {
    'forward_sync_buffers' if 'forward_sync_buffers' in _SWITCHES else 'broadcast_buffers': False
}


def prepare(launcher: str, port: int = 29500) -> None:
    """Read the launcher's environment variables, so that :func:`local_rank` is known before the group is joined.

    Args:
        launcher: ``none``, ``pytorch`` (torchrun's environment variables) or ``slurm`` (srun's).
        port: rendezvous port for SLURM; torchrun has already set ``MASTER_PORT``.

    Raises:
        UserError: the launcher's environment variables are missing.
    """
    if launcher == 'slurm':
        _slurm_environment(port)
    elif launcher != 'none' and 'RANK' not in os.environ:
        raise UserError('--launcher pytorch needs torchrun: start with  bash dist_train.sh NUM_GPU options/X.yml')
    elif launcher == 'pytorch':
        names = ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')
        _require('pytorch', 'torchrun', names, numbers=('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_PORT'))


def launch(
    launcher: str,
    *,
    device: torch.device | None = None,
    backend: str = 'nccl',
    port: int = 29500,
    timeout_minutes: float = 30.0,
    deterministic: bool = False,
) -> None:
    """Join the process group that ``launcher`` started; does nothing for ``none``.

    Objects and flags are exchanged by gloo between the CPUs, which does not wait for the GPUs; gradients by
    ``backend``.

    Args:
        launcher, port: see :func:`prepare`.
        device: device of this process; default CUDA if torch has a GPU.
        backend: backend for tensors on a GPU: ``nccl`` or ``gloo``.
        timeout_minutes: how long a collective may wait before the run is stopped with an error.
        deterministic: whether NCCL sums in a fixed order.

    Raises:
        UserError: the launcher's environment variables are missing.
    """
    prepare(launcher, port)
    if launcher == 'none':
        return
    kind = device.type if device is not None else 'cuda' if torch.cuda.is_available() else 'cpu'
    arguments: dict[str, Any] = {'timeout': timedelta(minutes=timeout_minutes), 'backend': 'gloo'}
    if kind == 'cuda' and backend == 'nccl':
        arguments['backend'] = 'cpu:gloo,cuda:nccl'
        if device is not None and device.index is not None:
            arguments['device_id'] = device  # NCCL connects now, so that errors occur here and not at the first step
    if deterministic:
        os.environ.setdefault('NCCL_ALGO', 'Ring')
    if not restarted():
        dist.init_process_group(**arguments)
        return
    # torchrun keeps its store over a restart, with addresses of processes that have ended: use a new prefix.
    store, rank, world = next(dist.rendezvous('env://', timeout=arguments['timeout']))
    attempt = dist.PrefixStore(f'attempt_{os.environ["TORCHELASTIC_RESTART_COUNT"]}', store)
    dist.init_process_group(store=attempt, rank=rank, world_size=world, **arguments)


def _slurm_environment(port: int) -> None:
    """Translate srun's variables to the ones torch.distributed reads."""
    environment = os.environ
    needed = ['SLURM_PROCID', 'SLURM_NTASKS', *(() if 'MASTER_ADDR' in environment else ('SLURM_NODELIST',))]
    _require('slurm', 'srun', needed, numbers=('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'))
    if 'MASTER_ADDR' not in environment:
        environment['MASTER_ADDR'] = _first_host(environment['SLURM_NODELIST'])
    environment.setdefault('MASTER_PORT', str(port))
    environment['RANK'] = environment['SLURM_PROCID']
    environment['WORLD_SIZE'] = environment['SLURM_NTASKS']
    environment['LOCAL_RANK'] = environment.get('SLURM_LOCALID', '0')


def _require(launcher: str, program: str, names: Sequence[str], numbers: Sequence[str]) -> None:
    """Check the environment variables that a launcher sets.

    Raises:
        UserError: variables are missing or not numbers; the message lists all of them.
    """
    environment = os.environ
    problems = [f'{name} is not set' for name in names if not environment.get(name)]
    problems += [
        f'{name} is {environment[name]!r}, expected a whole number'
        for name in numbers
        if environment.get(name) and not environment[name].isdecimal()
    ]
    if problems:
        raise UserError(f'--launcher {launcher} needs {program}: {"; ".join(problems)}')


def _first_host(nodes: str) -> str:
    """Return the first host of SLURM's list of nodes, such as ``gpu[03-05,9],login``."""
    with contextlib.suppress(OSError):  # scontrol is not everywhere
        shown = subprocess.run(['scontrol', 'show', 'hostname', nodes], capture_output=True, text=True, check=False)
        if host := shown.stdout.split('\n')[0].strip():
            return host
    name = re.match(r'([^\[,]+)(?:\[(\w+))?', nodes)
    return f'{name[1]}{name[2] or ""}' if name else nodes


def restarted() -> bool:
    """Return whether torchrun started this process to replace one that ended (``--max-restarts``)."""
    return int(os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')) > 0


def lost_process(error: BaseException) -> str | None:
    """Return the message for an exchange that failed because another process has ended or does not answer.

    None: the error is another one.
    """
    text = str(error).split('\n')[0]
    losses = ('onnection closed', 'onnection reset', 'imed out', 'imeout', 'roken pipe', 'gloo', 'NCCL')
    if (
        not active()
        or not isinstance(error, dist.DistError | RuntimeError)
        or not any(words in text for words in losses)
    ):
        return None
    return (
        f'rank {rank()}: another process of this run has ended or does not answer, so this one ends, too ({text}). '
        'See the output of the other process for the reason; --auto_resume resumes from the last training state'
    )


def active() -> bool:
    """Return whether this process belongs to a process group."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    return dist.get_rank() if active() else 0


def world_size() -> int:
    return dist.get_world_size() if active() else 1


def local_rank(launcher: str = 'none') -> int:
    """Return the number of this process on its machine; with a launcher's name, also before the group is joined."""
    return int(os.environ.get('LOCAL_RANK', '0')) if active() or launcher != 'none' else 0


def local_world_size(launcher: str = 'none') -> int:
    """Return how many processes of this run are on this machine, as far as the launcher reports it; all of them if it
    does not.
    """
    if active() or launcher != 'none':
        return int(os.environ.get('LOCAL_WORLD_SIZE') or os.environ.get('WORLD_SIZE') or world_size())
    return 1


def is_main() -> bool:
    """Return whether this is rank 0, which prints and writes files."""
    return rank() == 0


def barrier() -> None:
    """Wait for all ranks."""
    if active():
        dist.barrier()


def mean(values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the mean of each scalar tensor over all ranks, in one collective, on every rank."""
    if not active() or not values:
        return dict(values)
    names = sorted(values)
    stacked = torch.stack([values[n].detach().float() for n in names])
    dist.all_reduce(stacked)
    return dict(zip(names, stacked / world_size(), strict=True))


def any_rank(flag: bool) -> bool:
    """Return whether ``flag`` is set on any rank; every rank gets the same answer. Between CPUs: no GPU is waited
    for.
    """
    if not active():
        return flag
    flags = torch.tensor([float(flag)])
    dist.all_reduce(flags, op=dist.ReduceOp.MAX)
    return bool(flags.item())


def gather(item: Any) -> list[Any]:
    """Return the picklable ``item`` of every rank, in rank order, on every rank."""
    if not active():
        return [item]
    items: list[Any] = [None] * world_size()
    dist.all_gather_object(items, item)
    return items


def from_main(item: Any) -> Any:
    """Return rank 0's picklable ``item`` on every rank."""
    if not active():
        return item
    items = [item]
    dist.broadcast_object_list(items, src=0)
    return items[0]


def leave() -> None:
    """Leave the process group, if there is one."""
    if active():
        dist.destroy_process_group()


def synchronizing(runner: nn.Module, last: bool) -> contextlib.AbstractContextManager[None]:
    """Return the context of a backward pass that exchanges gradients between ranks once per step.

    Args:
        runner: the model, in DistributedDataParallel or not.
        last: whether this is the last batch of the step.
    """
    return contextlib.nullcontext() if last or not isinstance(runner, DistributedDataParallel) else runner.no_sync()
