"""Flows of a training set, computed once from whole frames and kept on disk.

A flow network needs frames of a certain size (SPyNet: 64 pixels a side), sees more of a motion in a frame than in a
crop, and takes longer than a small network that is trained with it. So crops use the flow of the frames they are cut
from.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from iart.data.pairs import ClipInfo
from iart.data.store import Box
from iart.errors import DataError, OptionsError
from iart.files import write_atomically
from iart.image import read_bytes

Flow = NDArray[np.float32]


# {'folder': folder of the flows, 'spynet_path': weights of the flow network that computes them}
FlowCacheOptions = dict[Literal['folder', 'spynet_path'], str]


def flow_origin(options: FlowCacheOptions, degradation: str | None) -> str:
    """Describe what the flows depend on besides the clip.

    Raises:
        OptionsError: a key is missing.
        DataError: the weights of the flow network cannot be read.
    """
    for key in ('folder', 'spynet_path'):
        if key not in options:
            raise OptionsError(f'flow_cache: got no {key!r}, expected {{folder: ..., spynet_path: ...}}')
    return f'{hashlib.sha256(read_bytes(options["spynet_path"])).hexdigest()} {degradation}'


class FlowCache:
    """Flow files, one per clip and step: (2, t − step, 2, h, w) float16 in pixels; [0, i] leads from frame i to
    i + step, [1, i] back.

    File names contain a digest of everything that the flows depend on, so a cache never returns another set's flows.

    Args:
        folder: folder of the files; created with the first file.
        origin: what the flows depend on besides the clip: the flow network's weights and how LR frames are made.
    """

    def __init__(self, folder: str, origin: str) -> None:
        self.folder, self.origin = Path(folder), origin
        self._open: dict[Path, NDArray[np.float16]] = {}

    def path(self, clip: ClipInfo, step: int) -> Path:
        """Return the file of a clip's flows between frames ``step`` apart."""
        content = repr((self.origin, clip.name, clip.frames, clip.size, step))
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        return self.folder / f'{clip.name.replace("/", "_")}_{step}_{digest}.npy'

    def missing(self, clips: Sequence[ClipInfo], steps: Sequence[int]) -> Iterator[tuple[ClipInfo, int]]:
        """Yield the (clip, step) pairs whose flows are missing."""
        for clip in clips:
            for step in steps:
                if step < len(clip.frames) and not self.path(clip, step).is_file():
                    yield clip, step

    def write(self, clip: ClipInfo, step: int, flows: Flow) -> None:
        """Write the (2, t − step, 2, h, w) flows of a clip, in pixels.

        Raises:
            DataError: the file cannot be written.
        """
        path = self.path(clip, step)
        content = io.BytesIO()
        np.save(content, flows.astype(np.float16))
        try:
            write_atomically(path, lambda name: Path(name).write_bytes(content.getbuffer()))
        except OSError as error:
            raise DataError(f'flow_cache: {path} cannot be written ({error.strerror})') from error

    def read(self, clip: ClipInfo, chosen: Sequence[int], box: Box) -> Flow:
        """Read the flows of a window.

        Args:
            clip: the clip.
            chosen: indices of t frames, equally spaced, ascending or descending.
            box: the rectangle, in LR pixels.

        Returns:
            (2, t − 1, 2, height, width): [0, k] leads from frame k of the window to k + 1, [1, k] back.

        Raises:
            DataError: the file cannot be read, or has another size than the clip.
        """
        if len(chosen) < 2:
            return np.zeros((2, 0, 2, box.height, box.width), np.float32)
        step = chosen[1] - chosen[0]
        flows = self._file(clip, abs(step))
        first = [min(pair) for pair in pairwise(chosen)]
        part = flows[:, first, :, box.top : box.bottom, box.left : box.right].astype(np.float32)
        return part if step > 0 else part[::-1]

    def _file(self, clip: ClipInfo, step: int) -> NDArray[np.float16]:
        path = self.path(clip, step)
        if path not in self._open:
            try:
                flows = np.load(path, mmap_mode='r', allow_pickle=False)
            except (OSError, ValueError) as error:
                raise DataError(
                    f'flow_cache: {path} cannot be read ({error}); remove it, and it will be computed again'
                ) from error
            expected = (2, len(clip.frames) - step, 2, *clip.size)
            if flows.shape != expected:
                raise DataError(
                    f'flow_cache: {path}: got shape {flows.shape}, expected {expected}; remove it, and it '
                    'will be computed again'
                )
            self._open[path] = flows
        return self._open[path]

    def __getstate__(self) -> dict[str, object]:
        return {'folder': self.folder, 'origin': self.origin, '_open': {}}
