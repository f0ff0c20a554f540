"""Restoration of segments of LR frames."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn

from iart import log
from iart.archs.flow import pad_to
from iart.archs.stores import streams
from iart.inference.options import EXACT, PlanOptions
from iart.inference.plan import Size
from iart.inference.restorer import PlannedRestorer, plan_restorer
from iart.ops.degradation import upsample_bicubic
from iart.registry import SMALLEST_SIDE
from iart.upscaling.scene_cuts import mark_shots
from iart.upscaling.segments import Segment, segments

T = TypeVar('T')


class Upscaler:
    """A network with the settings of its runs.

    Args:
        network: the network, on ``device``.
        device: the device to compute on.
        precision: ``fp32``, ``fp16`` or ``bf16``.
        plan: settings of the memory plan.
        compare: whether to add bicubic on the left of each frame.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device,
        *,
        precision: str = 'fp32',
        plan: PlanOptions,
        compare: bool = False,
    ) -> None:
        self._restorer: PlannedRestorer = plan_restorer(network, device, precision, plan)
        self._smallest = 1 if streams(network) else SMALLEST_SIDE
        self._compare = compare

    @property
    def scale(self) -> int:
        """Output pixels per input pixel along a side."""
        return self._restorer.costs.scale

    def decide(self, frames: int, height: int, width: int) -> PlanOptions:
        """Plan once for the largest segment, so that all segments use one plan, independent of the memory free later.

        Returns:
            PlanOptions that determine all bits of the output.
        """
        height, width = max(height, self._smallest), max(width, self._smallest)
        plan = self._restorer.plan(Size(frames, height, width))
        log.once(f'{plan.describe()} (the longest segment)')
        options = self._restorer.options
        if plan.kind in EXACT:
            return replace(options, kind=plan.kind)
        # A tile plan without chunks equals one whose only chunk is the whole clip; only the second can be requested.
        return replace(
            options, kind=plan.kind, chunk=plan.chunk or frames, tile=plan.tile or None, tile_overlap=plan.tile_overlap
        )

    def follow(self, options: PlanOptions) -> None:
        """Use the result of :meth:`decide`, from this or an earlier run."""
        self._restorer.options = options

    def restore(self, segment: Segment[T], rgb: Callable[[T], Tensor]) -> Iterator[tuple[T, Tensor]]:
        """Yield the segment's own frames, each with its restored frame.

        Returns:
            Restored frames are (3, s·h, s·w), or twice as wide with ``compare``, in [0, 1], on the CPU.
        """
        clip = _Clip(segment.frames, rgb, self._smallest)
        height, width = rgb(segment.frames[0]).shape[-2:]
        scale = self.scale
        restored = self._restorer(clip)  # type: ignore[arg-type]  # it has what the restorer uses of a sequence
        with log.quiet():  # it would log its plan for every length of segment
            first = next(restored)
        for index, frame in enumerate(chain([first], restored)):
            if index in segment.own:
                sr = frame[0, :, : height * scale, : width * scale].cpu().clamp(0, 1)
                if self._compare:
                    sr = torch.cat([upsample_bicubic(rgb(segment.frames[index]), scale).clamp(0, 1), sr], dim=-1)
                yield segment.frames[index], sr
            if index + 1 == segment.own.stop:
                break


class _Clip:
    """The frames of a segment as (1, 3, h, w), converted when read, and padded where the network needs larger ones."""

    def __init__(self, frames: Sequence[T], rgb: Callable[[T], Tensor], smallest: int) -> None:
        self._frames, self._rgb, self._smallest = frames, rgb, smallest

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Tensor:
        return pad_to(self._rgb(self._frames[index])[None, None], self._smallest)[0]


def cut(
    frames: Iterable[T], rgb: Callable[[T], Tensor], *, scene_cuts: bool, length: int, overlap: int
) -> Iterator[Segment[T]]:
    """Yield the segments of a clip; see :mod:`iart.upscaling.segments` and :mod:`iart.upscaling.scene_cuts`."""
    marked = mark_shots(frames, rgb) if scene_cuts else ((frame, number == 0) for number, frame in enumerate(frames))
    return segments(marked, length, overlap)
