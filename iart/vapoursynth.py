"""Restoration in VapourSynth scripts: ``from iart.vapoursynth import upscale``.

VapourSynth requests frames in any order. A clip is therefore divided into fixed segments of ``length`` frames. A
segment is restored when one of its frames is requested; it reads ``overlap`` more frames on each side as context for
propagation, but never beyond a scene cut.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from iart import device as devices
from iart.errors import SettingError, UserError
from iart.inference.options import PlanOptions
from iart.upscaling.networks import load
from iart.upscaling.segments import Segment
from iart.upscaling.upscale_options import DEFAULT_WEIGHTS
from iart.upscaling.upscaler import Upscaler

_FORMATS = ('RGBS', 'RGBH')
_SEGMENTS_KEPT = 2  # threads of VapourSynth ask for frames on both sides of a border


def upscale(
    clip: Any,
    weights: str | Path | nn.Module = DEFAULT_WEIGHTS,
    *,
    length: int = 15,
    overlap: int = 6,
    scene_cuts: bool = True,
    device: str = 'auto',
    precision: str = 'fp32',
    key: str = 'params',
    plan: PlanOptions | None = None,
) -> Any:
    """Return a clip whose frames are restored when they are asked for.

    Args:
        clip: a ``vapoursynth.VideoNode`` of constant format RGBS or RGBH, values in [0, 1].
        weights: as for :func:`iart.upscale`.
        length: number of frames restored at a time; their outputs, and those of the segment before, are kept in memory.
        overlap: number of frames on each side of them that are read as context.
        scene_cuts: whether propagation stops where frame properties ``_SceneChangePrev`` (of the first frame of a shot)
            or ``_SceneChangeNext`` (of the last one) are 1, as filters such as ``misc.SCDetect`` set them.
        device, precision, key: as for :func:`iart.upscale`.
        plan: settings of the memory plan, such as tiles; None for the defaults. Its chunks have no effect.

    Returns:
        A clip of the same format and length with s times the width and height, and the properties of its source.

    Raises:
        UserError: another format, or weights or device cannot be used.
        SettingError: ``length`` or ``overlap`` is out of range.
    """
    kind = getattr(clip.format, 'name', None)
    if kind not in _FORMATS or not clip.width:
        raise UserError(
            f'got a clip of format {kind or "that varies"}, expected {" or ".join(_FORMATS)} of constant size: '
            "convert with clip.resize.Bicubic(format=vapoursynth.RGBS, matrix_in_s='709')"
        )
    for name, value, least in (('length', length, 1), ('overlap', overlap, 0)):
        if value < least:
            raise SettingError(name, f'got {value}, expected {least} or more')
    place = devices.choose(device)
    network = weights.to(place).eval() if isinstance(weights, nn.Module) else load(weights, place, key).network
    upscaler = Upscaler(network, place, precision=precision, plan=plan or PlanOptions())
    upscaler.follow(upscaler.decide(min(length + 2 * overlap, clip.num_frames), clip.height, clip.width))
    segments = _RestoredSegments(clip, upscaler, length, overlap, scene_cuts)
    large = clip.std.BlankClip(width=clip.width * upscaler.scale, height=clip.height * upscaler.scale, keep=True)

    def selector(n: int, f: Any) -> Any:
        frame = f.copy()
        for plane, values in enumerate(segments.frame(n)):
            np.copyto(np.asarray(frame[plane]), values)
        return frame

    return large.std.ModifyFrame(clips=large, selector=selector).std.CopyFrameProps(clip)


class _RestoredSegments:
    """The segments of a clip, restored when one of their frames is asked for.

    Args:
        clip: the clip.
        upscaler: restores.
        length, overlap, scene_cuts: see :func:`upscale`.
    """

    def __init__(self, clip: Any, upscaler: Upscaler, length: int, overlap: int, scene_cuts: bool) -> None:
        self._clip, self._upscaler = clip, upscaler
        self._length, self._overlap, self._scene_cuts = length, overlap, scene_cuts
        self._restored: OrderedDict[int, list[Any]] = OrderedDict()
        self._computing = threading.Lock()

    def frame(self, n: int) -> Any:
        """Return the (3, s·h, s·w) planes of frame ``n``, in the clip's precision."""
        number = n // self._length
        outputs = self._restored.get(number)
        if outputs is None:
            # Frames are fetched without the lock: a thread that waits for it would keep VapourSynth from making them.
            pieces = self._pieces(number)
            with self._computing:
                outputs = self._restored.get(number)
                if outputs is None:
                    outputs = [sr.numpy().astype(self._dtype) for piece in pieces for sr in self._run(piece)]
                    self._restored[number] = outputs
                    while len(self._restored) > _SEGMENTS_KEPT:
                        self._restored.popitem(last=False)
        return outputs[n % self._length]

    @property
    def _dtype(self) -> str:
        return 'float16' if self._clip.format.name == 'RGBH' else 'float32'

    def _run(self, piece: Segment[Tensor]) -> Iterator[Tensor]:
        for _, sr in self._upscaler.restore(piece, lambda frame: frame):
            yield sr

    def _pieces(self, number: int) -> list[Segment[Tensor]]:
        """Return the parts of a segment that lie in one shot each, with their context."""
        start = number * self._length
        stop = min(start + self._length, self._clip.num_frames)
        first, last = max(0, start - self._overlap), min(self._clip.num_frames, stop + self._overlap)
        frames = [self._clip.get_frame(i) for i in range(first, last)]
        begins = [self._begins(frames, i) for i in range(len(frames))]
        rgb = [torch.from_numpy(np.stack([np.asarray(f[plane], np.float32) for plane in range(3)])) for f in frames]
        borders = [0, *(i for i in range(1, len(frames)) if begins[i]), len(frames)]
        pieces = []
        for one, next_one in pairwise(borders):
            own = range(max(one, start - first) - one, min(next_one, stop - first) - one)
            if own:
                pieces.append(Segment(number, rgb[one:next_one], own))
        return pieces

    def _begins(self, frames: Sequence[Any], i: int) -> bool:
        """Return whether a shot begins at frame ``i`` of some that follow one another."""
        if not self._scene_cuts:
            return False
        before = i > 0 and bool(frames[i - 1].props.get('_SceneChangeNext', 0))
        return before or bool(frames[i].props.get('_SceneChangePrev', 0))
