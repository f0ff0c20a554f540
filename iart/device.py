"""The one place that knows devices by name: choice, autocast, gradient scaling, memory figures."""

import contextlib
import os
import platform
import random
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from iart import memory
from iart.errors import UserError

PRECISIONS = ('fp32', 'fp16', 'bf16')
_DTYPES = {'fp16': torch.float16, 'bf16': torch.bfloat16}


def choose(name: str = 'auto', local_rank: int = 0) -> torch.device:
    """The device to compute on.

    Args:
        name: ``auto`` (CUDA if there is one, else CPU; MPS only when asked for by name) or a torch device name.
        local_rank: number of this process on its machine; picks the CUDA device of a multi-GPU run.

    Raises:
        UserError: the name is unknown or the device is not there.
    """
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f'--device: got {name!r}, expected auto, cpu, cuda, cuda:N or mps') from error
    if device.type == 'cuda':
        if not torch.cuda.is_available():
            raise UserError(
                f'--device {name}: this torch ({torch.__version__}) sees no CUDA device, expected one, or --device cpu'
            )
        index = local_rank if device.index is None else device.index
        if index >= torch.cuda.device_count():
            raise UserError(f'device cuda:{index} was asked for, but there are {torch.cuda.device_count()}')
        device = torch.device('cuda', index)
        torch.cuda.set_device(device)
        # Its backward pass gives NaN for masks of 64 tokens more than a multiple of 128, and a window has 192 (pytorch
        # #196678).
        torch.backends.cuda.enable_cudnn_sdp(False)
    elif device.type == 'mps' and not torch.backends.mps.is_available():
        raise UserError('--device mps: this torch sees no MPS device, expected one, or --device cpu')
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Autocast for ``fp16`` or ``bf16``; nothing at all for ``fp32``."""
    if precision == 'fp32':
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=_DTYPES[precision])


def compute_dtype(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that matrix products with weights of ``dtype`` are computed in: autocast's, where it is on."""
    kind = device.type
    return torch.get_autocast_dtype(kind) if dtype == torch.float32 and torch.is_autocast_enabled(kind) else dtype


def head_multiple(device: torch.device, dtype: torch.dtype) -> int:
    """Return the number that the channels of an attention head must be a multiple of for the device's fused kernel.

    CUDA's memory-efficient kernel loads 16 bytes at a time. For other heads torch falls back to plain products in
    float32 of all probabilities, which takes 4 times as long and several times the memory.
    """
    return 16 // dtype.itemsize if device.type == 'cuda' else 1


def windows_of_attention_backward(device: torch.device) -> int:
    """Return how many windows at a time the backward pass of attention computes again; 0 where the fused kernel's
    own is used.

    A CPU's fused kernel has no gradient for the bias; few windows, so that their probabilities stay in the cache.
    CUDA's sums in an order that changes from run to run, so it is not used in deterministic mode.
    """
    if device.type == 'cpu':
        return 4
    return 64 if device.type == 'cuda' and torch.are_deterministic_algorithms_enabled() else 0


def grad_scaler(device: torch.device, precision: str) -> torch.amp.GradScaler:
    """Loss scaler: active for ``fp16`` only, since bf16 has the range of fp32."""
    return torch.amp.GradScaler(device.type, enabled=precision == 'fp16')


def pins_memory(device: torch.device) -> bool:
    """Whether copies to the device gain from page-locked host memory."""
    return device.type == 'cuda'


def ddp_ids(device: torch.device) -> list[int] | None:
    """``device_ids`` of DistributedDataParallel: one for a GPU, none for a CPU."""
    return [device.index] if device.type == 'cuda' else None


def configure(deterministic: bool) -> None:
    """Choose between the fastest kernels and those that give the same bits every time.

    A few CUDA kernels (the backward pass of ``grid_sample``) have no deterministic form; torch warns when one is used.
    """
    if deterministic:
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.backends.cudnn.benchmark = not deterministic


def seed(number: int) -> None:
    """Seed every generator this process draws from: torch's on all devices, numpy's and Python's."""
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


def rng_state(device: torch.device) -> dict[str, Any]:
    """State of the generators that :func:`seed` seeds, as tensors and plain containers."""
    kind, keys, *rest = np.random.get_state()
    numpy_state = (kind, torch.from_numpy(np.asarray(keys, np.int64)), *rest)
    state = {'cpu': torch.get_rng_state(), 'numpy': numpy_state, 'python': random.getstate()}
    if device.type == 'cuda':
        state['cuda'] = torch.cuda.get_rng_state(device)
    return state


def set_rng_state(state: dict[str, Any], device: torch.device) -> None:
    """Put back what :func:`rng_state` gave."""
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
    with contextlib.suppress(OSError):  # Linux tells more there
        named = re.search(r'^model name\s*:\s*(.+)$', Path('/proc/cpuinfo').read_text(encoding='utf-8'), re.M)
        model = named.group(1) if named else model
    count = torch.get_num_threads()
    return f'{model}, {count} thread{"s" if count > 1 else ""}'


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory so far in MB: of the device where it counts it, else of this process."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 2**20
    return memory.peak_host_mb()


def synchronize(device: torch.device) -> None:
    """Wait for the device, so that a clock read next is honest."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    elif device.type == 'mps':
        torch.mps.synchronize()


def shares_host_memory(device: torch.device) -> bool:
    """Whether tensors on the device lie in the host's memory."""
    return device.type == 'cpu'


def free_memory(device: torch.device) -> int:
    """Bytes that can still be allocated on the device, counting what torch holds in reserve."""
    if device.type == 'cuda':
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserve
    if device.type == 'mps':
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return memory.free_host_memory()


def release_reserve(device: torch.device) -> None:
    """Give back memory that torch holds in reserve."""
    if device.type == 'cuda':
        torch.cuda.empty_cache()
    elif device.type == 'mps':
        torch.mps.empty_cache()
