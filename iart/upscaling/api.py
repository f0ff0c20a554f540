"""``iart.upscale``: frames in, frames out."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from iart import device as devices
from iart.errors import DataError
from iart.image import Frame, to_tensor, to_uint8
from iart.inference.options import PlanOptions
from iart.upscaling.live import restored
from iart.upscaling.networks import load
from iart.upscaling.upscale_options import DEFAULT_WEIGHTS, SEGMENT


def upscale(
    frames: Iterable[Frame],
    weights: str | Path | nn.Module = DEFAULT_WEIGHTS,
    *,
    key: str = 'params',
    device: str = 'auto',
    precision: str = 'fp32',
    scene_cuts: bool = True,
    segment: int = SEGMENT,
    plan: PlanOptions | None = None,
) -> Iterator[Frame]:
    """Upscale frames as they arrive, in constant memory.

    The network is loaded immediately; frames are read and restored as the iterator is consumed. It reads ahead of
    its results by a segment; with a causal network (all passes forward) by three frames, or by none without
    ``scene_cuts``.

    Args:
        frames: (h, w, 3) uint8 RGB, all of one size; any iterable.
        weights: a name of the manifest (the default is part of the package, others are fetched if they are not here), a
            weight file, or a network (n, t, 3, h, w) → (n, t, 3, s·h, s·w).
        key: entry of a ``.pth`` that holds the weights: ``params`` or ``params_ema``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``fp32``, ``fp16`` or ``bf16``.
        scene_cuts: whether propagation restarts at cuts.
        segment: number of frames restored at a time, with ``plan.chunk_overlap`` more on each side as context.
        plan: settings of the memory plan; None for the defaults.

    Returns:
        An iterator of (s·h, s·w, 3) uint8 RGB, one for each frame.

    Raises:
        UserError: weights or device cannot be used. DataError, while it runs: a frame differs from the others in shape.
    """
    place = devices.choose(device)
    network = weights.to(place) if isinstance(weights, nn.Module) else load(weights, place, key).network
    plan = plan or PlanOptions()
    outputs = restored(
        network,
        place,
        _checked(frames),
        _rgb,
        precision=precision,
        plan=plan,
        scene_cuts=scene_cuts,
        segment=segment,
    )
    return (to_uint8(rgb) for _, rgb in outputs)


def _rgb(frame: Frame) -> Tensor:
    return to_tensor(frame)


def _checked(frames: Iterable[Frame]) -> Iterator[Frame]:
    shape: tuple[int, ...] | None = None
    for number, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise DataError(f'frame {number}: got {frame.shape} of {frame.dtype}, expected (h, w, 3) of uint8')
        if shape not in (None, frame.shape):
            raise DataError(f'frame {number}: got {frame.shape}, expected {shape} as the first one')
        shape = frame.shape
        yield frame
