"""Stores of a clip's features between two passes: on the device, in host memory, or in a file.

A store is written and read one frame at a time. It returns a tensor as it was put in: same bits (unless the store is
created for half precision), same device, same memory layout. The layout matters: kernels may sum in another order for
another layout, and then the last bit of a result would depend on where its input was stored.
"""

import inspect
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, Protocol

import torch
from torch import Tensor, nn

from iart import device as devices

Place = Literal['device', 'host', 'disk']


class Store(Protocol):
    """A list of a fixed number of tensors, one per frame."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Tensor:
        """Return the tensor that was last put at ``index``, on the device."""
        ...

    def __setitem__(self, index: int, value: Tensor) -> None: ...
    def free(self, index: int) -> None:
        """Release the tensor at ``index``, which is not read again."""
        ...

    def close(self) -> None:
        """Release all tensors and remove files."""
        ...


StoreFactory = Callable[[int], Store]
"""Number of tensors → an empty store for them."""


def streams(network: nn.Module) -> bool:
    """Return whether the network yields frames one by one and lets its caller choose where features are stored."""
    frames = getattr(network, 'frames', None)
    return callable(frames) and 'store' in inspect.signature(frames).parameters


class DeviceStore:
    """Tensors as they are; the only store that keeps the graph for a backward pass."""

    def __init__(self, count: int) -> None:
        self._items: list[Tensor | None] = [None] * count

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Tensor:
        item = self._items[index]
        assert item is not None, f'nothing at {index}'
        return item

    def __setitem__(self, index: int, value: Tensor) -> None:
        self._items[index] = value

    def free(self, index: int) -> None:
        self._items[index] = None

    def close(self) -> None:
        self._items = [None] * len(self._items)


class HostStore(DeviceStore):
    """Copies in host memory, page-locked where that makes the copies run beside the computation.

    Args:
        count: number of tensors.
        device: where they come from and go back to.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        super().__init__(count)
        self._device, self._pin = device, devices.pins_memory(device)

    def __getitem__(self, index: int) -> Tensor:
        return super().__getitem__(index).to(self._device, non_blocking=self._pin)

    def __setitem__(self, index: int, value: Tensor) -> None:
        copy = self._items[index]
        if copy is None or copy.shape != value.shape or copy.stride() != value.stride():
            copy = torch.empty_like(value, device='cpu', pin_memory=self._pin)
        # Copies to and from one place follow each other on the device's queue, so none has to be waited for.
        copy.copy_(value, non_blocking=self._pin)
        super().__setitem__(index, copy)


class BlockStore(DeviceStore):
    """Copies in one block of main memory, allocated with the first copy, for a device that computes in main memory.

    Tensors left where they were allocated would lie between the large temporary tensors of each frame. The gaps between
    them would be too small for the next large tensors, and the process would grow by many times the size of the store.

    Args:
        count: number of tensors, all of the size and type of the first one.
    """

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self._block: Tensor | None = None

    def __setitem__(self, index: int, value: Tensor) -> None:
        if self._block is None:
            self._block = torch.empty(len(self), value.numel(), dtype=value.dtype)
        assert value.numel() == self._block.shape[1], 'all tensors of a store have the size of the first one'
        order = torch.empty_like(value, device='meta').stride()
        super().__setitem__(
            index, self._block[index].as_strided(value.shape, order, self._block.stride(0) * index).copy_(value)
        )

    def close(self) -> None:
        super().close()
        self._block = None


class DiskStore:
    """A file without a name: it is gone when the store is closed, and also when the process is killed.

    Written and read, not mapped: pages of a mapped file count as memory of this process, and a full disk would end
    the process by a signal where a write raises OSError.

    Args:
        count: number of tensors, all of the size of the first one.
        device: where they go back to.
        folder: where the file is; None for the system's temporary folder.
        half: keep float32 as float16: half the room, and no longer the same bits.
    """

    def __init__(self, count: int, device: torch.device, *, folder: Path | None = None, half: bool = False) -> None:
        self._device, self._half = device, half
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder, prefix='iart-', buffering=0)  # noqa: SIM115 (closed by close)
        self._kept: list[tuple[torch.dtype, torch.dtype, torch.Size, bool] | None] = [None] * count
        self._slot = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> Tensor:
        layout = self._kept[index]
        assert layout is not None, f'nothing at {index}'
        dtype, stored, shape, channels_last = layout
        content = torch.empty(shape.numel() * stored.itemsize, dtype=torch.uint8)
        self._file.seek(index * self._slot)
        unread = content.numpy().data
        while unread:
            read = self._file.readinto(unread)  # type: ignore[attr-defined]
            if not read:
                raise OSError(f'the temporary file of features ends {len(unread)} bytes early')
            unread = unread[read:]
        value = content.view(stored).view(shape)
        return (value.permute(0, 3, 1, 2) if channels_last else value).to(self._device).to(dtype)

    def __setitem__(self, index: int, value: Tensor) -> None:
        channels_last = (
            value.ndim == 4 and not value.is_contiguous() and value.is_contiguous(memory_format=torch.channels_last)
        )
        rows = value.permute(0, 2, 3, 1) if channels_last else value
        stored = torch.float16 if self._half and value.dtype == torch.float32 else value.dtype
        content = rows.detach().to('cpu', stored).contiguous()
        self._slot = self._slot or content.nbytes
        assert content.nbytes <= self._slot, 'all tensors of a store have the size of the first one'
        self._file.seek(index * self._slot)
        unwritten = content.view(-1).view(torch.uint8).numpy().data
        while unwritten:
            unwritten = unwritten[self._file.write(unwritten) :]
        self._kept[index] = (value.dtype, stored, rows.shape, channels_last)

    def free(self, index: int) -> None:
        self._kept[index] = None

    def close(self) -> None:
        self._file.close()


@contextmanager
def stores(
    place: Place, device: torch.device, *, folder: Path | None = None, half: bool = False
) -> Iterator[StoreFactory]:
    """A factory of stores at ``place``; all of them are closed at the end, whatever happened.

    Args:
        place: where the tensors wait.
        device: where they come from and go back to.
        folder, half: see :class:`DiskStore`; without effect elsewhere.

    Raises:
        OSError: the folder cannot be written to, or the disk is full (while stores are used).
    """
    made: list[Store] = []

    def make(count: int) -> Store:
        if place == 'disk':
            made.append(DiskStore(count, device, folder=folder, half=half))
        elif devices.shares_host_memory(device):
            made.append(DeviceStore(count) if torch.is_grad_enabled() else BlockStore(count))
        else:
            made.append(HostStore(count, device) if place == 'host' else DeviceStore(count))
        return made[-1]

    try:
        yield make
    finally:
        for store in made:
            store.close()
        if place == 'host':
            devices.release_pinned()  # the next clip's plan is to see it as free
