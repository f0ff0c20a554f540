"""One clip of a test set: its LR frames read when they are needed, its restored frames taken one by one, on the clock.

Nothing here grows with the clip but a few hundred MB of LR frames that are kept so as not to be read again.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iart import device as devices
from iart.archs.stores import Store, stores
from iart.data.transforms import mirror_flows
from iart.errors import DataError, OptionsError
from iart.image import Frame, to_tensor
from iart.inference.restorer import Restore

_MOST_KEPT = 256 * 2**20  # bytes of LR frames of a clip: 1500 frames of 320x180
_HOST = torch.device('cpu')


class LQFrames(Sequence[Tensor]):
    """The LR frames of a clip, (1, 3, h, w) float32 each, in host memory; read when needed, which may be several times.

    Args:
        read: frame index -> (h, w, 3) uint8 RGB.
        count: number of frames.
        mirrored: let the clip be followed by itself reversed, 2·count frames in all.
        read_flows: the exact flows of the clip, (directions, count − 1, 2, h, w), of sets that have them.
    """

    def __init__(
        self,
        read: Callable[[int], Frame],
        count: int,
        *,
        mirrored: bool = False,
        read_flows: Callable[[], NDArray[np.float32]] | None = None,
    ) -> None:
        self._read, self._count, self._length = read, count, 2 * count if mirrored else count
        self._read_flows = read_flows
        self._flows: tuple[Tensor, ...] | None = None
        self._kept: dict[int, Frame] = {}
        self._room = _MOST_KEPT
        self.seconds = 0.0
        """Time spent reading so far."""

    def __len__(self) -> int:
        return self._length

    @property
    def flows(self) -> tuple[Tensor, ...] | None:
        """(1, t − 1, 2, h, w) for each direction, or None; read when a network asks."""
        if self._flows is None and self._read_flows is not None:
            flows = self._read_flows()
            if self._length > self._count:
                if len(flows) < 2:
                    raise OptionsError(
                        'val.flip_seq: got true with flow in one direction only, expected false for this set'
                    )
                flows = mirror_flows(flows)
            self._flows = tuple(torch.from_numpy(direction)[None] for direction in flows)
        return self._flows

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
        if not 0 <= index < self._length:
            raise IndexError(index)
        begin = time.perf_counter()
        number = index if index < self._count else 2 * self._count - 1 - index
        frame = self._kept.get(number)
        if frame is None:
            frame = self._read(number)
            if frame.nbytes <= self._room:
                self._kept[number] = frame
                self._room -= frame.nbytes
        tensor = to_tensor(frame)[None]
        self.seconds += time.perf_counter() - begin
        return tensor


class RestoredClip:
    """The restored frames of one clip, and the time it took to make them.

    Args:
        restore: see :data:`iart.inference.restorer.Restore`.
        read: frame index -> LR frame (h, w, 3) uint8 RGB.
        count: number of frames.
        device: what ``restore`` computes on; for an honest clock.
        mirrored: a frame is the mean of what ``restore`` gives for it and for its mirror image in the clip followed by
            itself reversed.
            The first half waits on disk for the second.
        spill_to: folder for that; None: the system's temporary folder.
        read_flows: see :class:`LQFrames`.
    """

    def __init__(
        self,
        restore: Restore,
        read: Callable[[int], Frame],
        count: int,
        device: torch.device,
        *,
        mirrored: bool = False,
        spill_to: Path | None = None,
        read_flows: Callable[[], NDArray[np.float32]] | None = None,
    ) -> None:
        self.restore, self.device, self.mirrored, self.spill_to, self.length = (
            restore,
            device,
            mirrored,
            spill_to,
            count,
        )
        self.lq = LQFrames(read, count, mirrored=mirrored, read_flows=read_flows)
        self.seconds = 0.0

    def in_any_order(self, wanted: list[int] | None = None) -> Iterator[tuple[int, Tensor | None]]:
        """Every (frame index, (1, 3, h, w)) once, as soon as it is ready; None in place of frames that are not
        ``wanted``.

        Raises:
            DataError: there is no room on disk for a mirrored clip's first half.
        """
        chosen = set(range(self.length) if wanted is None else wanted)
        if not self.mirrored:
            for j, output in self._timed():
                yield j, output if j in chosen else None
            return
        with stores('disk', _HOST, folder=self.spill_to) as make:
            first = make(self.length)
            for j, output in self._timed():
                if j < self.length:
                    if j in chosen:
                        self._put(first, j, output)
                    continue
                j = 2 * self.length - 1 - j
                yield j, (first[j] + output.float().cpu()) / 2 if j in chosen else None

    def _put(self, store: Store, index: int, output: Tensor) -> None:
        try:
            store[index] = output.float().cpu()
        except OSError as error:
            folder = self.spill_to or Path(tempfile.gettempdir())
            raise DataError(
                f'{folder}: cannot be written ({error.strerror}); the frames of a mirrored clip wait there for the '
                'second half; '
                'expected room for them, or another folder with --spill-to'
            ) from error

    def _timed(self) -> Iterator[tuple[int, Tensor]]:
        """Number and output of each frame; the clock runs only while the network does."""
        begin, read = time.perf_counter(), self.lq.seconds
        outputs = self.restore(self.lq)
        count = 0
        while (output := next(outputs, None)) is not None:
            devices.synchronize(self.device)
            self.seconds += time.perf_counter() - begin - (self.lq.seconds - read)
            yield count, output
            count += 1
            begin, read = time.perf_counter(), self.lq.seconds
        if count != len(self.lq):
            raise RuntimeError(f'the network gave {count} frames for {len(self.lq)}')
