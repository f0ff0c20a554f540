"""Restoration without a network, as a baseline."""

from collections.abc import Iterator

from torch import Tensor

from iart.archs.clip_frames import Clip
from iart.inference.plan import Plan
from iart.ops.degradation import upsample_bicubic


class BicubicRestorer:
    """MATLAB's bicubic interpolation, the "Bicubic" of the published tables; see :class:`.restorer.Restore`.

    Frames are restored independently, on the CPU, so that figures do not depend on the device, and are neither
    clamped nor rounded.

    Args:
        scale: output pixels per input pixel, along a side.
    """

    def __init__(self, scale: int = 4) -> None:
        self.scale = scale
        self.used: tuple[Plan, ...] = ()

    def __call__(self, lq: Clip) -> Iterator[Tensor]:
        """Yield t times (n, 3, s·h, s·w)."""
        for frame in lq.unbind(1) if isinstance(lq, Tensor) else lq:
            yield upsample_bicubic(frame.cpu(), self.scale)
