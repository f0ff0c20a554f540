"""Flow in Middlebury's ``.flo`` files, as in MPI-Sintel, and its reduction to LR."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iart.data.pairs import ClipInfo
from iart.data.store import Box
from iart.errors import DataError
from iart.image import read_bytes

_MAGIC = np.float32(202021.25)
_UNKNOWN = 1e9  # larger values mark pixels without flow

Flow = NDArray[np.float32]


def read_flo(path: str | Path) -> Flow:
    """Read a ``.flo`` file.

    Returns:
        (2, h, w) float32, x then y, in pixels; NaN where the flow is unknown.

    Raises:
        DataError: the file is missing, truncated, or has another format.
    """
    data = read_bytes(path)
    if len(data) < 12 or np.frombuffer(data, '<f4', 1)[0] != _MAGIC:
        raise DataError(f'{path}: got a file of another format, expected .flo (it begins with 202021.25)')
    width, height = (int(side) for side in np.frombuffer(data, '<i4', 2, 4))
    if min(width, height) < 1 or len(data) != 12 + 8 * width * height:
        expected = 12 + 8 * max(width, 0) * max(height, 0)
        raise DataError(f'{path}: got {len(data)} bytes, expected {expected} for {width}x{height} pixels')
    flow = np.frombuffer(data, '<f4', offset=12).reshape(height, width, 2).transpose(2, 0, 1).astype(np.float32)
    return np.where(np.abs(flow) > _UNKNOWN, np.float32(np.nan), flow)


def write_flo(path: str | Path, flow: Flow) -> None:
    """Write a (2, h, w) flow in pixels as a ``.flo`` file."""
    _, height, width = flow.shape
    with Path(path).open('wb') as file:
        file.write(_MAGIC.astype('<f4').tobytes() + np.array([width, height], '<i4').tobytes())
        file.write(flow.transpose(1, 2, 0).astype('<f4').tobytes())


def reduce_flow(flow: Flow, scale: int) -> Flow:
    """Reduce a flow to LR: the mean over blocks of ``scale`` × ``scale`` pixels, divided by ``scale``.

    This is our choice: the study's code for LR flow was not released. Rows and columns beyond the last whole block are
    cropped; a block is the mean of its known pixels, and 0 if there are none.

    Args:
        flow: (2, h, w) flow in GT pixels, NaN where unknown.
        scale: GT size divided by LR size.

    Returns:
        (2, h // scale, w // scale) in LR pixels.
    """
    h, w = (side // scale for side in flow.shape[1:])
    blocks = flow[:, : h * scale, : w * scale].reshape(2, h, scale, w, scale)
    has_flow = ~np.isnan(blocks)
    count = has_flow.sum((2, 4))
    total = np.where(has_flow, blocks, 0).sum((2, 4), dtype=np.float64)
    return (total / np.maximum(count, 1) / scale).astype(np.float32)


class FloFiles:
    """Flows to the next frame in ``.flo`` files named after the frames: ``root/<clip>/<frame>.flo``.

    Args:
        root: folder of clip folders.
        scale: GT size divided by LR size.
    """

    def __init__(self, root: str | Path, scale: int) -> None:
        self.root, self.scale = Path(root), scale

    def check(self, clips: Sequence[ClipInfo]) -> None:
        """Check that every frame except a clip's last has a file.

        Raises:
            DataError: files are missing; the first is named.
        """
        files = [self._path(clip, frame) for clip in clips for frame in clip.frames[:-1]]
        missing = [path for path in files if not path.is_file()]
        if missing:
            raise DataError(
                f'{missing[0]}: no such file, expected the flow of each frame but the last ({len(missing)} are missing)'
            )

    def read(self, clip: ClipInfo, chosen: Sequence[int], box: Box) -> Flow:
        """Return the (1, t − 1, 2, height, width) flows of t successive frames, each to the next, in LR pixels.

        Raises:
            DataError: the frames are not successive, or a file cannot be read.
        """
        flows = []
        for start, end in pairwise(chosen):
            path = self._path(clip, clip.frames[start])
            if end != start + 1:
                raise DataError(
                    f'{path}: got frames {start} and {end}, expected successive frames: there is flow to the next only'
                )
            flow = reduce_flow(read_flo(path), self.scale)
            if flow.shape[1:] != tuple(clip.size):
                size = f'{flow.shape[2]}x{flow.shape[1]}'
                raise DataError(f'{path}: got flow for LR frames of {size}, expected {clip.size[1]}x{clip.size[0]}')
            flows.append(flow[:, box.top : box.bottom, box.left : box.right])
        return np.stack(flows)[None] if flows else np.zeros((1, 0, 2, box.height, box.width), np.float32)

    def _path(self, clip: ClipInfo, frame: str) -> Path:
        return self.root / clip.name / f'{frame}.flo'
