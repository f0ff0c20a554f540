"""Memory that restoration takes, measured on a few small frames instead of estimated from the network's structure."""

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from iart import device as devices
from iart.archs.stores import DeviceStore, Store, streams
from iart.component_errors import component_errors
from iart.registry import SMALLEST_SIDE

_SIDES = (24, 40)  # of the frames that are measured on; two, since position biases do not grow with the frame


@dataclass(frozen=True)
class Costs:
    """Memory of a network for one clip, without its weights.

    Args:
        scale: output pixels per input pixel, along a side.
        work: bytes per LR pixel for the computation of one frame, its output included.
        kept: bytes per LR pixel and frame that are kept until the clip is finished.
        streams: whether the network has ``frames(lq, store)``, so that kept tensors need not be on the device.
        fixed: bytes for the computation of a frame of any size: biases, masks, weights in half precision.
        items: bytes per LR pixel of each tensor that is kept for a frame; their sum is ``kept``.
    """

    scale: int
    work: float
    kept: float
    streams: bool
    fixed: float = 0.0
    items: tuple[float, ...] = ()


def measure(network: nn.Module, device: torch.device, precision: str = 'fp32') -> Costs:
    """Restore a few small frames and count allocations. Draws no random numbers; takes about a second."""
    training = network.training
    network.eval()
    try:
        # Not in inference mode, which hides the parts of composite operators.
        with torch.no_grad(), devices.autocast(device, precision):
            return _of_frames(network, device) if streams(network) else _of_whole_clips(network, device)
    finally:
        network.train(training)


def _of_frames(network: nn.Module, device: torch.device) -> Costs:
    (small, scale, items), (large, _, _) = (_peak_of_frames(network, device, side) for side in _SIDES)
    pixels, more = (side**2 for side in _SIDES)
    work = max(0.0, (large - small) / (more - pixels))
    per_pixel = tuple(count / pixels for count in items)
    return Costs(scale, work, sum(per_pixel), True, max(0.0, small - work * pixels), per_pixel)


def _peak_of_frames(network: nn.Module, device: torch.device, side: int) -> tuple[int, int, list[int]]:
    """Return the peak of bytes without kept tensors, the scale, and the bytes of each tensor kept for a frame."""
    made: list[_Counting] = []

    def store(count: int) -> Store:
        made.append(_Counting(count))
        return made[-1]

    width = 0
    with Allocations() as allocations:
        frames: Iterator[Tensor] = network.frames(_Still(_clip(3, side, device).unbind(1)), store)  # type: ignore[operator]
        for frame in frames:
            width = frame.shape[-1]
    stored = sum(len(s) * s.item_bytes for s in made)
    return max(0, allocations.peak - stored), width // side, [s.item_bytes for s in made]


def _of_whole_clips(network: nn.Module, device: torch.device) -> Costs:
    few, more = 5, 7  # the least that IconVSR takes with its key frames 5 apart
    peaks, width = [], 0
    for count in (few, more):
        with (
            Allocations() as allocations,
            component_errors(
                'network_g', f'{type(network).__name__} rejects {count} frames of {SMALLEST_SIDE}x{SMALLEST_SIDE}'
            ),
        ):
            width = network(_clip(count, SMALLEST_SIDE, device)).shape[-1]
        peaks.append(allocations.peak)
    pixels = SMALLEST_SIDE**2
    per_frame = max(0, peaks[1] - peaks[0]) / (more - few)
    return Costs(width // SMALLEST_SIDE, max(0.0, peaks[0] - few * per_frame) / pixels, per_frame / pixels, False)


def _clip(frames: int, side: int, device: torch.device) -> Tensor:
    """Return a (1, t, 3, side, side) clip in [0, 1] whose frames all differ."""
    values = torch.arange(frames * 3 * side * side, device=device, dtype=torch.float32)
    return (values.sin() / 2 + 0.5).view(1, frames, 3, side, side)


class _Still(list[Tensor]):
    """Frames that come with zero flow in both directions, for networks that estimate none."""

    @property
    def flows(self) -> tuple[Tensor, Tensor]:
        still = self[0].new_zeros(1, len(self) - 1, 2, *self[0].shape[-2:])
        return still, still


class _Counting(DeviceStore):
    """A store that records the size of its items."""

    item_bytes = 0

    def __setitem__(self, index: int, value: Tensor) -> None:
        self.item_bytes = max(self.item_bytes, value.numel() * value.element_size())
        super().__setitem__(index, value)


class Allocations(TorchDispatchMode):
    """A context that counts the bytes of tensors allocated inside it, on any device.

    Workspaces of kernels are not counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for leaf in tree_leaves((args, kwargs)):
            self._meet(leaf, counts=False)  # weights and inputs existed before
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            self._meet(leaf, counts=True)
        self.peak = max(self.peak, self.now)
        return result

    def _meet(self, leaf: Any, *, counts: bool) -> None:
        if not isinstance(leaf, Tensor):
            return
        storage = leaf.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes() if counts else 0
        self._known.add(key)
        self.now += size
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
