"""Facts and limits of a GPU, for checks and reports."""

import contextlib
from collections.abc import Iterator

import torch

from iart.device import tf32_in_use


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
        'TF32': str(tf32_in_use(device)),
    }
