"""Facts and limits of a GPU, for checks and reports."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import torch

from iart.device import computes_bf16, tf32_in_use


def count() -> int:
    """Return the number of GPUs that torch sees."""
    return torch.cuda.device_count()


def is_null(device: torch.device) -> bool:
    """Return whether the GPU is the null device of the tests, which computes no values."""
    return device.type == 'cuda' and torch.cuda.get_device_name(device).startswith('null device')


def allocated(device: torch.device) -> int:
    """Return the bytes of tensors on a GPU."""
    return torch.cuda.memory_allocated(device)


@contextlib.contextmanager
def limited_memory(device: torch.device, limit: int) -> Iterator[None]:
    """Let this process have no more than ``limit`` bytes of a GPU."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(limit / total, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def facts(device: torch.device) -> dict[str, str]:
    """Describe a GPU and the software between it and torch."""
    properties = torch.cuda.get_device_properties(device)
    return {
        'GPU': properties.name,
        'count': str(torch.cuda.device_count()),
        'capability': f'{properties.major}.{properties.minor}',
        'memory': f'{properties.total_memory / 2**30:.0f} GB',
        'torch': torch.__version__,
        'CUDA': str(torch.version.cuda),
        'cuDNN': str(torch.backends.cudnn.version()),
        'NCCL': '.'.join(map(str, torch.cuda.nccl.version())) if torch.distributed.is_nccl_available() else 'none',
        'driver': _driver_version(),
        'kernels': ' '.join(torch.cuda.get_arch_list()),
        'bf16': 'yes' if computes_bf16(device) else 'emulated',
        'TF32': str(tf32_in_use(device)),
    }


def _driver_version() -> str:
    """Return the version of NVIDIA's kernel module, as Linux reports it."""
    try:
        text = Path('/proc/driver/nvidia/version').read_text(encoding='utf-8')
    except OSError:
        return 'unknown'
    match = re.search(r'Kernel Module\D*(\d[\d.]+)', text)
    return match[1] if match else 'unknown'
