"""One clip of a test set: its LR frames read when they are needed, its restored frames taken one by one, on the clock.

Nothing here grows with the clip but a few hundred MB of LR frames that are kept so as not to be read again.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iart import device as devices
from iart.archs.stores import Store, stores
from iart.data.transforms import mirror_flows
from iart.errors import DataError, OptionsError
from iart.image import Frame, to_tensor
from iart.inference.plan import Plan
from iart.inference.restorer import Restore
from iart.scoring.settings import Settings

_MOST_KEPT = 256 * 2**20  # bytes of LR frames of a clip: 1500 frames of 320x180
_HOST = torch.device('cpu')


class ClipSet(Protocol):
    """What the test sets of ``iart.data`` offer; frames are uint8 RGB.

    A set with exact flow also has ``read_flows(clip)``, see :class:`LQFrames`.
    """

    @property
    def clips(self) -> Any: ...
    @property
    def has_gt(self) -> bool: ...
    def scored(self, clip: int) -> list[int]: ...
    def read_lq_frame(self, clip: int, frame: int) -> Frame: ...
    def read_gt(self, clip: int, frame: int) -> Frame: ...


class LQFrames(Sequence[Tensor]):
    """The LR frames of a clip, (1, 3, h, w) float32 each; read when needed, which may be several times.

    Args:
        read: frame index -> (h, w, 3) uint8 RGB.
        count: number of frames.
        mirrored: let the clip be followed by itself reversed, 2·count frames in all.
        read_flows: the exact flows of the clip, (directions, count − 1, 2, h, w), of sets that have them.
        device: where frames are returned; they are kept in host memory, as bytes.
    """

    def __init__(
        self,
        read: Callable[[int], Frame],
        count: int,
        *,
        mirrored: bool = False,
        read_flows: Callable[[], NDArray[np.float32]] | None = None,
        device: torch.device = _HOST,
    ) -> None:
        self._device = device
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
        """Flows (1, t − 1, 2, h, w) for each direction, read on demand; None if there are none."""
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
        tensor = to_tensor(frame, self._device)[None]
        self.seconds += time.perf_counter() - begin
        return tensor


class RestoredClip:
    """One clip of a set, the frames that are restored from it, and the time it took to make them.

    Args:
        restore: what restores.
        dataset: the set.
        index: number of the clip in it.
        settings: whether the clip is followed by its mirror image (``flip_seq``), and which frames count.
        device: what ``restore`` computes on; for an honest clock.
    """

    def __init__(
        self, restore: Restore, dataset: ClipSet, index: int, settings: Settings, device: torch.device
    ) -> None:
        clip = dataset.clips[index]
        self.name: str = clip.name
        self.frame_names: Sequence[str] = clip.frames
        self._length = len(clip.frames)
        self._restore, self._dataset, self._index = restore, dataset, index
        self._settings, self._device = settings, device
        self.scored = [self._length // 2] if settings.center_frame_only else dataset.scored(index)
        """Indices of the frames that count."""
        read_flows = getattr(dataset, 'read_flows', None)
        # Ground truth may be read on another thread than LR frames, and a set may get both from one open video.
        self._reading = threading.Lock()
        self._lq = LQFrames(
            self._read_lq,
            self._length,
            mirrored=settings.flip_seq,
            read_flows=None if read_flows is None else partial(read_flows, index),
            device=device,
        )
        self.seconds = 0.0
        """Time spent restoring so far, without reading."""

    @property
    def plans(self) -> Sequence[Plan]:
        """Memory plans of the clip, in order: more than one if memory ran out."""
        return self._restore.used

    def ground_truth(self, index: int) -> Frame:
        """Return a frame of the ground truth, (s·h, s·w, 3) uint8 RGB; may be called on any thread."""
        with self._reading:
            return self._dataset.read_gt(self._index, index)

    def _read_lq(self, frame: int) -> Frame:
        with self._reading:
            return self._dataset.read_lq_frame(self._index, frame)

    def frames(self, *, all_of_them: bool) -> Iterator[tuple[int, Tensor | None]]:
        """Yield (frame index, (1, 3, s·h, s·w)) once for each frame, as soon as it is ready.

        With ``flip_seq`` a frame is the mean of what is restored for it and for its mirror image; the first half waits
        on disk for the second.

        Args:
            all_of_them: whether frames that do not count are of use, too; there is None in place of those that are
                not. ``center_frame_only`` leaves the middle one in either case.

        Raises:
            DataError: there is no room on disk for a mirrored clip's first half.
        """
        of_use = set(self.scored)
        if all_of_them and not self._settings.center_frame_only:
            of_use = set(range(self._length))
        outputs = self._restore(self._lq)
        with self._waiting() as waiting:
            for number in range(len(self._lq)):
                output, index = self._next(outputs, number), number
                if waiting is not None and number < self._length:
                    if number in of_use:
                        self._keep(waiting, number, output)
                    continue
                if waiting is not None:
                    index = 2 * self._length - 1 - number
                    output = (waiting[index] + output.float().cpu()) / 2 if index in of_use else output
                yield index, output if index in of_use else None
            if next(outputs, None) is not None:
                raise RuntimeError(f'the network gave more than {len(self._lq)} frames for {len(self._lq)}')

    @contextmanager
    def _waiting(self) -> Iterator[Store | None]:
        """Open the store for a mirrored clip's first half; None for other clips."""
        if not self._settings.flip_seq:
            yield None
            return
        with stores('disk', _HOST, folder=self._settings.spill_to) as make:
            yield make(self._length)

    def _next(self, outputs: Iterator[Tensor], number: int) -> Tensor:
        """Take one frame; the clock runs only while the network does."""
        begin, read = time.perf_counter(), self._lq.seconds
        output = next(outputs, None)
        if output is None:
            raise RuntimeError(f'the network gave {number} frames for {len(self._lq)}')
        devices.synchronize(self._device)
        self.seconds += time.perf_counter() - begin - (self._lq.seconds - read)
        return output

    def _keep(self, store: Store, index: int, output: Tensor) -> None:
        try:
            store[index] = output.float().cpu()
        except OSError as error:
            folder = self._settings.spill_to or Path(tempfile.gettempdir())
            raise DataError(
                f'{folder}: cannot be written ({error.strerror}); the frames of a mirrored clip wait there for the '
                'second half; expected room for them, or another folder with --spill-to'
            ) from error
