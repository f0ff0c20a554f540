"""Whether torch can use the NVIDIA GPUs of this machine, and what to do where it cannot."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from iart.errors import UserError


def choose_cuda(device: torch.device, local_rank: int, processes: int) -> torch.device:
    """Make a GPU this process's own and return it with its number; see :func:`iart.device.choose`."""
    if not torch.cuda.is_available():
        reason = unusable_driver() or f'this torch ({torch.__version__}) sees no CUDA device'
        raise UserError(f'--device {device}: {reason}; expected a GPU, or --device cpu')
    count = torch.cuda.device_count()
    if device.index is not None and processes > 1:
        raise UserError(
            f'--device {device}: {processes} processes would share one GPU; expected --device cuda, '
            'which gives each its own'
        )
    index = local_rank if device.index is None else device.index
    if index >= count == 1 and 'SLURM_PROCID' in os.environ:
        index = 0  # srun --gpus-per-task shows each process its own GPU only
    if index >= count:
        raise UserError(f'device cuda:{index}: got {count} GPUs on this machine, expected one for each process')
    major, minor = torch.cuda.get_device_capability(index)
    if not has_kernels(torch.cuda.get_arch_list(), major, minor):
        raise UserError(
            f'cuda:{index} ({torch.cuda.get_device_name(index)}, compute capability {major}.{minor}): torch '
            f'{torch.__version__} has no kernels for it, only for {" ".join(torch.cuda.get_arch_list())}. '
            f'Install one that has, with {_wheels("cu126" if (major, minor) < (7, 5) else "cu130")}, '
            'or take --device cpu'
        )
    device = torch.device('cuda', index)
    torch.cuda.set_device(device)
    # cuDNN's attention: its backward pass gives NaN for masks of 64 tokens more than a multiple of 128, and a window
    # has 192 (pytorch #196678). Without it the memory-efficient kernel is the one for masks.
    torch.backends.cuda.enable_cudnn_sdp(False)
    return device


def _wheels(build: str) -> str:
    return f'pip install torch --index-url https://download.pytorch.org/whl/{build}'


def has_kernels(compiled: Sequence[str], major: int, minor: int) -> bool:
    """Return whether code compiled for architectures (``sm_80``, ``compute_90``) runs on a GPU of this capability.

    Machine code runs on the same major number and a minor that is not smaller, intermediate code on everything newer.
    """
    for name in compiled:
        kind, _, number = name.partition('_')
        match = re.match(r'(\d+)(\d)', number)
        if match is None:
            continue
        of = int(match[1]), int(match[2])
        if (kind == 'sm' and of[0] == major and of[1] <= minor) or (kind == 'compute' and of <= (major, minor)):
            return True
    return not compiled  # a build without this information may work


def unusable_driver() -> str | None:
    """Return why torch cannot use the NVIDIA GPU of this machine; None if it can, or if there is none."""
    if torch.version.cuda is None or torch.cuda.is_available():
        return None
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split('\n')[0]
    else:
        return None
    too_old = re.search(r'too old \(found version (\d+)', reason)
    if too_old:
        major, minor = divmod(int(too_old[1]) // 10, 100)
        remedy = _wheels('cu126' if major >= 12 else 'cu118')
        return (
            f'its driver is made for CUDA {major}.{minor} and this torch ({torch.__version__}) for CUDA '
            f'{torch.version.cuda}: update the driver, or {remedy}'
        )
    there = any(Path(path).exists() for path in ('/dev/nvidia0', '/proc/driver/nvidia/version'))
    return f'torch {torch.__version__} cannot use it: {reason}' if there else None
