"""Shared memory, through which reading processes hand batches over: whether it can hold what they read ahead."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from iart.data.guarded import Guarded
from iart.errors import UserError

PREFETCH = 2
"""Batches that each reading process prepares ahead."""
SHARED_MEMORY_REMEDY = (
    'expected more of it (docker run --shm-size=8g), fewer readers or smaller batches, or num_worker_per_gpu: 0, '
    'which needs none'
)
_FOLDER = Path('/dev/shm')


def check_shared_memory(dataset: Guarded, batch_size: int, readers: int) -> None:
    """Compare the free shared memory with what readers put there; nothing on systems without ``/dev/shm``.

    Readers that find it full wait forever or are killed by the system.

    Args:
        dataset: the training set, whose first window is read to see how large one is.
        batch_size: windows in a batch.
        readers: reading processes on this machine.

    Raises:
        UserError: it is too small; names the figures and the remedy.
    """
    if not _FOLDER.is_dir():
        return
    window = dataset[0, 0]
    if not isinstance(window, Mapping):
        return  # cannot be read, which is reported when its turn comes
    size = sum(_bytes(value) for value in window.values())
    needed = size * batch_size * (PREFETCH * readers + 1)
    free = shutil.disk_usage(_FOLDER).free
    if free < needed:
        raise UserError(
            f'{describe_shared_memory()}, but {readers} readers put {needed / 2**20:,.0f} MB there '
            f'({size * batch_size / 2**20:,.1f} MB a batch, {PREFETCH} ahead each); {SHARED_MEMORY_REMEDY}'
        )


def describe_shared_memory() -> str:
    """Return how much of ``/dev/shm`` is free, in words."""
    if not _FOLDER.is_dir():
        return 'this system has no /dev/shm'
    return f'/dev/shm has {shutil.disk_usage(_FOLDER).free / 2**20:,.0f} MB free'


def _bytes(value: Any) -> int:
    return value.numel() * value.element_size() if isinstance(value, torch.Tensor) else 0
