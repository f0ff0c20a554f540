"""Test sets: whole clips, with or without ground truth, read frame by frame."""

from typing import Any, Literal

import numpy as np
from torch.utils.data import Dataset

from iart import log
from iart.data.degraded import DegradedStore, TrimmedStore
from iart.data.frames import FrameStore, IoBackend, open_store
from iart.data.lq_side import lq_store
from iart.data.meta import read_meta
from iart.data.pairs import ClipInfo, choose_clips, pair_clips
from iart.data.recurrent_dataset import ALL_FRAMES, read_sized
from iart.errors import DataError, OptionsError, listing
from iart.image import Frame, to_tensor
from iart.registry import DATASET_REGISTRY, SUFFIX


class ClipTestDataset(Dataset[dict[str, Any]]):
    """Whole clips. Subclasses define which frames are restored and which are scored.

    ``dataset[i]`` is ``{'lq': (t, 3, h, w), 'gt': (k, 3, s*h, s*w), 'clip': str, 'frames': list[str]}``, float32 RGB in
    [0, 1], where k of the t frames are scored (:meth:`scored`); without ground truth there is no ``'gt'``.

    Args:
        dataroot_lq: folder of clip folders, or LMDB, of the LR frames; None with ``degradation``.
        dataroot_gt: the same for the ground truth; None if there is none.
        meta_info_file: file that lists the clips; without it, all clips are used.
        io_backend: ``{type: disk}`` (default) or ``{type: lmdb}``.
        clips: use these clips only, in this order.
        num_frame: number of frames around the middle one; -1 for whole clips.
        padding: BasicSR's rule for windows at a clip's ends; no effect on whole clips.
        cache_data: whether to keep the encoded frames in memory.
        degradation: ``BI`` or ``BD``: make LR frames from ground truth as they are read, instead of ``dataroot_lq``;
            rows and columns of the ground truth beyond a multiple of ``scale`` are not used.
        scored_frames: indices of the frames that are scored, such as ``[0, 50, 99]``; default: all.
        scale: GT size divided by LR size.

    Raises:
        DataError: LR and GT do not fit together, or files are missing.
        OptionsError: both ``dataroot_lq`` and ``degradation``, or neither.
    """

    phase = 'test'  # the section of the options that this class fits
    center_only = False

    def __init__(
        self,
        *,
        dataroot_lq: str | None = None,
        dataroot_gt: str | None = None,
        meta_info_file: str | None = None,
        io_backend: IoBackend | None = None,
        clips: list[str] | None = None,
        num_frame: int = ALL_FRAMES,
        padding: str | None = None,
        cache_data: bool = False,
        degradation: Literal['BI', 'BD'] | None = None,
        scored_frames: list[int] | None = None,
        scale: int = 4,
    ) -> None:
        if padding is not None:
            log.once(f'padding: {padding} has no effect: clips are restored as a whole, not in windows')
        self.gt = self._open(dataroot_gt, io_backend, cache_data, 'gt') if dataroot_gt is not None else None
        degraded: DegradedStore | None = None
        if degradation is not None:
            if self.gt is None:
                raise OptionsError(f'degradation: got {degradation} without dataroot_gt, expected ground truth as well')
            self.gt = TrimmedStore(self.gt, scale)
            degraded = DegradedStore(self.gt, degradation, scale)
        self.lq = lq_store(dataroot_lq, degraded, lambda root: self._open(root, io_backend, cache_data, 'lq'))
        self.scale = scale
        meta = read_meta(meta_info_file) if meta_info_file else None
        chosen = choose_clips(self.lq, self.gt, meta, clips)
        center = self.center_only
        pairs = pair_clips(self.lq, self.gt, chosen, scale=scale, every_size=not center, center_only=center)
        self.clips = self._shown(pairs, num_frame)
        self._scored_frames = scored_frames
        self._check_scored()

    def _open(self, root: str, io_backend: IoBackend | None, cache: bool, side: Literal['lq', 'gt']) -> FrameStore:
        """Open the LR frames or the ground truth."""
        return open_store(root, io_backend, cache=cache)

    def _shown(self, clips: list[ClipInfo], num_frame: int) -> list[ClipInfo]:
        if num_frame != ALL_FRAMES:
            log.once(f'num_frame: {num_frame} has no effect on {type(self).__name__}: clips are restored as a whole')
        return clips

    def _check_scored(self) -> None:
        numbers = self._scored_frames
        if numbers is None:
            return
        if not numbers or min(numbers) < 0 or numbers != sorted(set(numbers)):
            raise OptionsError(f'scored_frames: got {numbers}, expected rising numbers of frames, from 0')
        short = [f'{clip.name} ({len(clip.frames)})' for clip in self.clips if len(clip.frames) <= numbers[-1]]
        if short:
            raise DataError(f'scored_frames: got {numbers}, expected frames of each clip; too short: {listing(short)}')

    @property
    def has_gt(self) -> bool:
        return self.gt is not None

    def scored(self, clip: int) -> list[int]:
        """Return the indices of the frames that are scored."""
        if self._scored_frames is not None:
            return list(self._scored_frames)
        return list(range(len(self.clips[clip].frames)))

    def read_lq(self, clip: int) -> Frame:
        """Read all LR frames of a clip, (t, h, w, 3) uint8 RGB."""
        return np.stack([self.read_lq_frame(clip, frame) for frame in range(len(self.clips[clip].frames))])

    def read_lq_frame(self, clip: int, frame: int) -> Frame:
        """Read one LR frame, (h, w, 3) uint8 RGB."""
        info = self.clips[clip]
        return read_sized(self.lq, info.name, info.frames[frame], info.size)

    def read_gt(self, clip: int, frame: int) -> Frame:
        """Read the ground truth of one frame, (H, W, 3) uint8 RGB.

        Raises:
            DataError: there is none.
        """
        info = self.clips[clip]
        if self.gt is None or not info.gt_frames[frame]:
            raise DataError(f'clip {info.name}, frame {info.frames[frame]}: there is no ground truth')
        size = info.size[0] * self.scale, info.size[1] * self.scale
        return read_sized(self.gt, info.name, info.gt_frames[frame], size)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, clip: int) -> dict[str, Any]:
        if not 0 <= clip < len(self):
            raise IndexError(f'got clip {clip}, expected 0 to {len(self) - 1}')
        info = self.clips[clip]
        item = {'lq': to_tensor(self.read_lq(clip)), 'clip': info.name, 'frames': list(info.frames)}
        if self.has_gt:
            item['gt'] = to_tensor(np.stack([self.read_gt(clip, frame) for frame in self.scored(clip)]))
        return item


@DATASET_REGISTRY.register(suffix=SUFFIX)
class VideoRecurrentTestDataset(ClipTestDataset):
    """REDS4, Vid4, UDM10 or any folder of clip folders; all frames are scored::

    dataroot_gt/<clip>/<frame>.png      dataroot_lq/<clip>/<frame>.png or <clip>/X4/<frame>.png
    """


@DATASET_REGISTRY.register(suffix=SUFFIX)
class VideoTestDataset(ClipTestDataset):
    """BasicSR's name for test sets of sliding-window networks: here the same as VideoRecurrentTestDataset."""


@DATASET_REGISTRY.register(suffix=SUFFIX)
class VideoTestVimeo90KDataset(ClipTestDataset):
    """Vimeo-90K-T; only the middle frame (``im4``) is scored and needs ground truth::

    dataroot_gt/00001/0266/im4.png      dataroot_lq/00001/0266/im1.png ... im7.png
    """

    center_only = True

    def _shown(self, clips: list[ClipInfo], num_frame: int) -> list[ClipInfo]:
        """Narrow every clip to ``num_frame`` frames around its middle one."""
        if num_frame == ALL_FRAMES:
            return clips
        short = [c.name for c in clips if not 1 <= num_frame <= len(c.frames)]
        if short:
            raise DataError(
                f'num_frame: got {num_frame}, expected -1, or 1 to the number of frames of these clips: '
                f'{listing(short)}'
            )
        narrowed = []
        for clip in clips:
            first = len(clip.frames) // 2 - num_frame // 2
            shown = slice(first, first + num_frame)
            narrowed.append(ClipInfo(clip.name, clip.frames[shown], clip.gt_frames[shown], clip.size))
        return narrowed

    def scored(self, clip: int) -> list[int]:
        return [len(self.clips[clip].frames) // 2]
