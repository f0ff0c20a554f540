"""Restoring without a network, to compare with."""

from collections.abc import Iterator

from torch import Tensor

from iart.archs.clip_frames import Clip
from iart.inference.restorer import Restore
from iart.ops.degradation import upsample_bicubic


def bicubic_restore(scale: int = 4) -> Restore:
    """MATLAB's bicubic interpolation, the "Bicubic" of the published tables.

    Returns:
        ``restore(lq)``, see :data:`iart.inference.restorer.Restore`: frames are neither clamped nor rounded, on the
        device of ``lq``, and do not see each other.
    """

    def restore(lq: Clip) -> Iterator[Tensor]:
        for frame in lq.unbind(1) if isinstance(lq, Tensor) else lq:
            yield upsample_bicubic(frame, scale)

    return restore
