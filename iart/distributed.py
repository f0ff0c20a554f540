"""Rank, world size, means and gathers over ranks; no-ops in one process."""

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
from torch.nn.parallel import DistributedDataParallel

from iart.errors import UserError

# The buffers of our networks are constant tables, equal on every rank: nothing to exchange. torch has renamed the
# switch.
_SWITCHES = inspect.signature(DistributedDataParallel).parameters
CONSTANT_BUFFERS: dict[str, Any] = {
    'forward_sync_buffers' if 'forward_sync_buffers' in _SWITCHES else 'broadcast_buffers': False
}


def launch(launcher: str, *, backend: str = 'nccl', port: int = 29500, timeout_minutes: float = 30.0) -> None:
    """Join the process group that ``launcher`` started; nothing for ``none``.

    Args:
        launcher: ``none``, ``pytorch`` (torchrun's environment variables) or ``slurm`` (srun's).
        backend: ``nccl`` or ``gloo``; nccl becomes gloo where torch sees no CUDA device.
        port: rendezvous port for SLURM; torchrun has already set ``MASTER_PORT``.
        timeout_minutes: how long a collective may wait before the run is stopped with an error.

    Raises:
        UserError: the launcher's environment variables are missing.
    """
    if launcher == 'none':
        return
    if launcher == 'slurm':
        _slurm_environment(port)
    elif 'RANK' not in os.environ:
        raise UserError('--launcher pytorch needs torchrun: start with  bash dist_train.sh NUM_GPU options/X.yml')
    else:
        names = ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')
        _require('pytorch', 'torchrun', names, numbers=('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_PORT'))
    if not torch.cuda.is_available():
        backend = 'gloo'
    timeout = timedelta(minutes=timeout_minutes)
    if not restarted():
        dist.init_process_group(backend, timeout=timeout)
        return
    # torchrun keeps its store over a restart, and with it the addresses of the processes that ended: look past them.
    store, own, world = next(dist.rendezvous('env://', timeout=timeout))
    attempt = dist.PrefixStore(f'attempt_{os.environ["TORCHELASTIC_RESTART_COUNT"]}', store)
    dist.init_process_group(backend, store=attempt, rank=own, world_size=world, timeout=timeout)


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
        UserError: some are missing, or not the numbers they should be; all of them in one message.
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
    """Whether torchrun started this process in place of one that ended (``--max-restarts``)."""
    return int(os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')) > 0


def lost_process(error: BaseException) -> str | None:
    """What to say when an exchange with the other processes failed because one of them has ended or does not answer.

    None: the error is another one.
    """
    text = str(error).split('\n')[0]
    told = ('onnection closed', 'onnection reset', 'imed out', 'imeout', 'roken pipe', 'gloo', 'NCCL')
    if not active() or not isinstance(error, dist.DistError | RuntimeError) or not any(words in text for words in told):
        return None
    return (
        f'rank {rank()}: another process of this run has ended or does not answer, so this one ends, too ({text}). '
        'What went wrong stands in the output of the other one; --auto_resume goes on from the last training state'
    )


def active() -> bool:
    """Whether this process belongs to a process group."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    return dist.get_rank() if active() else 0


def world_size() -> int:
    return dist.get_world_size() if active() else 1


def local_rank() -> int:
    return int(os.environ.get('LOCAL_RANK', '0')) if active() else 0


def local_world_size() -> int:
    """Number of this run's processes on this machine, as far as the launcher says; all of them where it does not."""
    return int(os.environ.get('LOCAL_WORLD_SIZE', world_size())) if active() else 1


def is_main() -> bool:
    """Rank 0 is the one that prints and writes files."""
    return rank() == 0


def mean(values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Mean of each scalar tensor over all ranks, in one collective; every rank gets the result."""
    if not active() or not values:
        return dict(values)
    names = sorted(values)
    stacked = torch.stack([values[n].detach().float() for n in names])
    dist.all_reduce(stacked)
    return dict(zip(names, stacked / world_size(), strict=True))


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether ``flag`` is set on any rank; every rank gets the same answer."""
    if not active():
        return flag
    found = torch.tensor([float(flag)], device=device)
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    return bool(found.item())


def gather(item: Any) -> list[Any]:
    """The picklable ``item`` of every rank, in rank order, on every rank."""
    if not active():
        return [item]
    items: list[Any] = [None] * world_size()
    dist.all_gather_object(items, item)
    return items


def from_main(item: Any) -> Any:
    """Rank 0's picklable ``item`` on every rank."""
    if not active():
        return item
    items = [item]
    dist.broadcast_object_list(items, src=0)
    return items[0]


def leave() -> None:
    """Leave the process group, if in one."""
    if active():
        dist.destroy_process_group()
