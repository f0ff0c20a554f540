"""The one place that knows devices by name: choice, autocast, gradient scaling, memory figures."""

import contextlib
import os
import platform
import random
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from iart import log, memory
from iart.device.cuda_graphs import record as record
from iart.device.cuda_graphs import records_graphs as records_graphs
from iart.device.cuda_support import choose_cuda, unusable_driver
from iart.device.kernels import compute_dtype as compute_dtype
from iart.device.kernels import computes_bf16 as computes_bf16
from iart.device.kernels import fuses_optimizer as fuses_optimizer
from iart.device.kernels import gathers_samples as gathers_samples
from iart.device.kernels import generates_cpp as generates_cpp
from iart.device.kernels import head_multiple as head_multiple
from iart.device.kernels import native_precision as native_precision
from iart.device.kernels import saves_launches as saves_launches
from iart.device.kernels import windows_of_attention_backward as windows_of_attention_backward
from iart.errors import UserError, quantity

PRECISIONS = ('fp32', 'fp16', 'bf16')
TF32 = ('off', 'conv', 'all')
_LITTLE = 0.15  # of a GPU's memory: with less than this free, cuDNN's failures mean that a workspace did not fit
_DTYPES = {'fp16': torch.float16, 'bf16': torch.bfloat16}


def choose(name: str = 'auto', local_rank: int = 0, processes: int = 1) -> torch.device:
    """Return the device to compute on.

    Args:
        name: ``auto`` (CUDA if there is one, else CPU; MPS only when asked for by name) or a torch device name.
        local_rank: number of this process on its machine; picks the CUDA device of a multi-GPU run.
        processes: number of processes of this run on this machine.

    Raises:
        UserError: the name is unknown, or the device is not there or of no use to this torch.
    """
    if name == 'auto':
        if local_rank == 0 and (unusable := unusable_driver()):
            log.logger.warning(f'there is a GPU, but {unusable}. COMPUTING ON THE CPU, many times slower')
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f'--device: got {name!r}, expected auto, cpu, cuda, cuda:N or mps') from error
    if device.type == 'cuda':
        return choose_cuda(device, local_rank, processes)
    if device.type == 'mps' and not torch.backends.mps.is_available():
        raise UserError('--device mps: this torch sees no MPS device, expected one, or --device cpu')
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return autocast for ``fp16`` or ``bf16``; a context that does nothing for ``fp32``.

    Raises:
        UserError: ``bf16`` on a GPU that emulates it.
    """
    if precision == 'fp32':
        return contextlib.nullcontext()
    if precision == 'bf16' and not computes_bf16(device):
        name = torch.cuda.get_device_name(device)
        raise UserError(
            f'bf16 on {device} ({name}): emulated before compute capability 8.0, slower than fp32; take fp16'
        )
    return torch.autocast(device.type, dtype=_DTYPES[precision])


def warn_of_slow_precision(device: torch.device, precision: str) -> None:
    """Log a warning where a processor has no instructions for ``precision`` and takes many times as long as in fp32."""
    if (native := native_precision(device, precision)) != precision:
        log.logger.warning(
            f'{precision} takes this processor, which has no instructions for it, many times as long as fp32: '
            f'{native} is faster here'
        )


def grad_scaler(device: torch.device, precision: str) -> torch.amp.GradScaler:
    """Return a loss scaler, active for ``fp16`` only, since bf16 has the range of fp32."""
    return torch.amp.GradScaler(device.type, enabled=precision == 'fp16')


def pins_memory(device: torch.device) -> bool:
    """Return whether copies to the device benefit from page-locked host memory."""
    return device.type == 'cuda'


def ddp_ids(device: torch.device) -> list[int] | None:
    """Return ``device_ids`` of DistributedDataParallel: one for a GPU, None for a CPU."""
    return [device.index] if device.type == 'cuda' else None


def configure(deterministic: bool, tf32: str = 'conv') -> None:
    """Choose between the fastest kernels and those that give the same bits every time.

    In deterministic mode on CUDA, attention and the warp take backward passes of our own (:mod:`iart.ops`), since
    torch's sum in an order that changes from run to run. torch warns of kernels that have no deterministic form.

    Args:
        deterministic: same bits every time, slower.
        tf32: see :func:`set_tf32`.
    """
    if deterministic:
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.backends.cudnn.benchmark = not deterministic
    set_tf32(tf32)


def set_tf32(tf32: str) -> None:
    """Choose what GPUs from compute capability 8.0 compute in TensorFloat-32 (10 bits of mantissa) where the precision
    is fp32; set explicitly, since torch's own defaults differ between versions.

    Args:
        tf32: ``off``, ``conv`` (convolutions) or ``all`` (matrix products too).
    """
    torch.backends.cudnn.allow_tf32 = tf32 in ('conv', 'all')
    torch.backends.cuda.matmul.allow_tf32 = tf32 == 'all'


def tf32_in_use(device: torch.device) -> str | None:
    """Return what is computed in TensorFloat-32 in fp32: ``off``, ``conv`` or ``all``; None where the device has
    none.
    """
    if device.type != 'cuda' or torch.cuda.get_device_capability(device) < (8, 0):
        return None
    if torch.backends.cuda.matmul.allow_tf32:
        return 'all'
    return 'conv' if torch.backends.cudnn.allow_tf32 else 'off'


@contextlib.contextmanager
def changing_sizes() -> Iterator[None]:
    """Let cuDNN not search for the fastest algorithm: where every clip has another size, a search costs more than it
    gains.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def seed(number: int) -> None:
    """Seed all generators of this process: torch's on all devices, numpy's and Python's."""
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


def rng_state(device: torch.device) -> dict[str, Any]:
    """Return the state of the generators that :func:`seed` seeds, as tensors and plain containers."""
    kind, keys, *rest = np.random.get_state()
    numpy_state = (kind, torch.from_numpy(np.asarray(keys, np.int64)), *rest)
    state = {'cpu': torch.get_rng_state(), 'numpy': numpy_state, 'python': random.getstate()}
    if device.type == 'cuda':
        state['cuda'] = torch.cuda.get_rng_state(device)
    return state


def set_rng_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore the state from :func:`rng_state`."""
    torch.set_rng_state(state['cpu'])
    kind, keys, *rest = state['numpy']
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    random.setstate(state['python'])
    if device.type == 'cuda' and 'cuda' in state:
        torch.cuda.set_rng_state(state['cuda'], device)


def describe(device: torch.device) -> str:
    """The hardware behind a device, for reports: the GPU's name, or the processor's and the number of threads computed
    with.
    """
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):  # Linux has more details there
        named = re.search(r'^model name\s*:\s*(.+)$', Path('/proc/cpuinfo').read_text(encoding='utf-8'), re.M)
        model = named.group(1) if named else model
    count = torch.get_num_threads()
    return f'{model}, {quantity(count, "thread")}'


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory so far in MB: of the device if it counts it, else of this process."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 2**20
    return memory.peak_host_mb()


def peak_reserved_mb(device: torch.device) -> float | None:
    """Return the peak that torch has taken from the device in MB, which is what other programs see; None where it is
    not known.

    More than :func:`peak_memory_mb`, by what is held for the next tensors.
    """
    return torch.cuda.max_memory_reserved(device) / 2**20 if device.type == 'cuda' else None


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all its work, as timing requires."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    elif device.type == 'mps':
        torch.mps.synchronize()


def shares_host_memory(device: torch.device) -> bool:
    """Return whether the device's tensors are in the host's memory."""
    return device.type == 'cpu'


def takes_host_memory(device: torch.device) -> bool:
    """Return whether allocations on the device reduce the host's memory: CPUs, and Apple's GPUs, which share it."""
    return device.type in ('cpu', 'mps')


def release_pinned() -> None:
    """Give back page-locked host memory that torch keeps for later copies; it counts as taken for everybody else."""
    empty = getattr(torch._C, '_host_emptyCache', None)
    if empty is not None and torch.cuda.is_initialized():
        empty()


def free_memory(device: torch.device) -> int:
    """Return the bytes that can still be allocated on the device, including torch's reserve."""
    if device.type == 'cuda':
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserve
    if device.type == 'mps':
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return memory.free_host_memory()


def release_reserve(device: torch.device) -> None:
    """Give back memory that torch holds in reserve, page-locked host memory included."""
    if device.type == 'cuda':
        torch.cuda.empty_cache()
        release_pinned()
    elif device.type == 'mps':
        torch.mps.empty_cache()


def fragmentation(device: torch.device) -> str:
    """Return advice for a device on which memory is free but in pieces, to end a message with; empty otherwise."""
    if device.type != 'cuda' or 'expandable_segments' in os.environ.get('PYTORCH_CUDA_ALLOC_CONF', ''):
        return ''
    reserved, used = torch.cuda.memory_reserved(device), torch.cuda.memory_allocated(device)
    if reserved - used < _LITTLE * torch.cuda.get_device_properties(device).total_memory:
        return ''
    return (
        f'. {(reserved - used) / 2**30:.1f} GB are free in pieces: PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True '
        'in the environment may make them usable'
    )


def lacks_memory(error: BaseException, device: torch.device) -> bool:
    """Return whether an error is a failed allocation, on the device or on the host.

    cuDNN raises "unable to find an engine" both if no workspace fits in memory and if it does not support the GPU;
    only if little memory is left, it means the former.
    """
    if memory.lacks_memory(error):
        return True
    if device.type != 'cuda' or 'unable to find an engine' not in str(error):
        return False
    return free_memory(device) < _LITTLE * torch.cuda.get_device_properties(device).total_memory
