"""LR frames made from ground truth on demand."""

from collections.abc import Sequence

import numpy as np

from iart.data.store import Box, FrameStore, Size
from iart.image import Frame
from iart.ops.degradation import degrade_uint8

REACH = 8  # LR pixels from the border of a frame or crop within which the border has an influence


class DegradedStore:
    """The LR side of a store of ground truth: each frame is read, degraded and rounded to 8 bits.

    Args:
        gt: the ground truth, a :class:`TrimmedStore` where sizes need not be multiples of ``scale``.
        kind: ``BI`` or ``BD``.
        scale: GT size divided by LR size.
    """

    def __init__(self, gt: FrameStore, kind: str, scale: int) -> None:
        self.root, self.gt, self.kind, self.scale = gt.root, gt, kind, scale

    def clips(self) -> tuple[str, ...]:
        return self.gt.clips()

    def frames(self, clip: str) -> Sequence[str]:
        return self.gt.frames(clip)

    def where(self, clip: str, frame: str) -> str:
        return f'{self.gt.where(clip, frame)} ({self.kind}, 1/{self.scale})'

    def size(self, clip: str, frame: str) -> Size:
        h, w = self.gt.size(clip, frame)
        return h // self.scale, w // self.scale

    def read(self, clip: str, frame: str) -> Frame:
        return degrade_uint8(self.gt.read(clip, frame), self.kind, self.scale)

    def read_crop(self, clip: str, frame: str, box: Box, size: Size) -> Frame:
        return self.read_pair(clip, frame, box, size)[0]

    def read_pair(self, clip: str, frame: str, box: Box, size: Size) -> tuple[Frame, Frame]:
        """Read the file once and return LR and GT of one rectangle.

        The crop is degraded with a margin, so that LR is bit-exactly that part of the degraded frame.

        Args:
            box: the rectangle, in LR pixels.
            size: (h, w) of the LR frame.

        Returns:
            (height, width, 3) and (scale * height, scale * width, 3), uint8 RGB.
        """
        top, left = max(box.top - REACH, 0), max(box.left - REACH, 0)
        wide = Box(top, left, min(box.bottom + REACH, size[0]) - top, min(box.right + REACH, size[1]) - left)
        inside = Box(box.top - top, box.left - left, box.height, box.width)
        large = size[0] * self.scale, size[1] * self.scale
        gt = self.gt.read_crop(clip, frame, wide.times(self.scale), large)
        return inside.cut(degrade_uint8(gt, self.kind, self.scale)), inside.times(self.scale).cut(gt)


class TrimmedStore:
    """A store of ground truth whose frames are cropped to multiples of ``scale`` at the bottom and right, as benchmarks
    do.
    """

    def __init__(self, store: FrameStore, scale: int) -> None:
        self.root, self.store, self.scale = store.root, store, scale

    def clips(self) -> tuple[str, ...]:
        return self.store.clips()

    def frames(self, clip: str) -> Sequence[str]:
        return self.store.frames(clip)

    def where(self, clip: str, frame: str) -> str:
        return self.store.where(clip, frame)

    def size(self, clip: str, frame: str) -> Size:
        return self._trim(self.store.size(clip, frame))

    def read(self, clip: str, frame: str) -> Frame:
        image = self.store.read(clip, frame)
        h, w = self._trim(image.shape[:2])
        return np.ascontiguousarray(image[:h, :w])

    def read_crop(self, clip: str, frame: str, box: Box, size: Size) -> Frame:
        whole = self.store.size(clip, frame)
        return self.store.read_crop(clip, frame, box, whole if self._trim(whole) == tuple(size) else size)

    def _trim(self, size: tuple[int, ...]) -> Size:
        return size[0] - size[0] % self.scale, size[1] - size[1] % self.scale
