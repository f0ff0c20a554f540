"""Training sets for recurrent networks: windows of LR and GT frames, cropped, flipped and transposed."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from iart.data import transforms
from iart.data.flow_cache import FlowCache, FlowCacheOptions, flow_origin
from iart.data.frames import FrameStore, IoBackend, open_store
from iart.data.lq_side import Degradation, open_sides, run_chain
from iart.data.meta import MetaClip, read_meta
from iart.data.pairs import ClipInfo, check_teacher, choose_clips, pair_clips
from iart.data.store import Box, check_size
from iart.degradations import Chain
from iart.errors import DataError, OptionsError, listing
from iart.image import Frame, to_tensor
from iart.registry import DATASET_REGISTRY, SUFFIX

ALL_FRAMES = -1

# Clips that BasicSR keeps out of training; with its regrouping REDS' official validation clips are 240 to 269.
PARTITIONS = {'REDS4': ('000', '011', '015', '020'), 'official': tuple(f'{n:03d}' for n in range(240, 270))}


class FlowReader(Protocol):
    """A source of the flows of windows."""

    def read(self, clip: ClipInfo, chosen: Sequence[int], box: Box) -> NDArray[np.float32]:
        """Read the (directions, t − 1, 2, height, width) flows of t frames in LR pixels: to the next one, and back."""


class RecurrentDataset(Dataset[dict[str, Any]]):
    """Windows of a collection of clips, which subclasses define (:meth:`_windows`).

    ``dataset[(epoch, position)]`` is a pure function of its arguments and ``seed``: window
    ``position % len(dataset)``, with interval, crop and flips drawn from a generator seeded by (seed, epoch, position).
    ``dataset[i]`` means ``dataset[(0, i)]``. An item is ``{'lq': (t, 3, h, w), 'gt': (t, 3, s*h, s*w), 'clip': str,
    'frames': list[str]}``, float32 RGB in [0, 1]; with ``flow_cache`` also ``'flows': (2, t-1, 2, h, w)`` in LR pixels,
    [0, k] from frame k to k + 1, [1, k] back; with ``dataroot_teacher`` also ``'teacher'``, of the shape of gt; with a
    chain that changes GT also ``'gt_plain'``, GT without the change.

    Args:
        dataroot_gt: folder of clip folders, or LMDB, of the ground truth.
        dataroot_lq: the same for the LR frames; None where ``degradation`` makes them.
        degradation: make LR from GT as it is read: ``BI`` or ``BD`` (the same pixels as LR files would give), or a
            chain of random steps (:mod:`iart.degradations`): ``RealBasicVSR``, a YAML file or a list of steps. GT may
            have any size (rows and columns beyond a multiple of ``scale`` are not used). A chain that changes GT only
            is given beside ``dataroot_lq``.
        num_frame: frames of a window; -1 for all frames of the clip.
        gt_size: side of the square cut from GT, in pixels; a multiple of ``scale``.
        meta_info_file: file that lists the clips (:func:`iart.data.meta.read_meta`); without it, all clips are used.
        io_backend: ``{type: disk}`` (default) or ``{type: lmdb}``.
        clips: use these clips only.
        val_partition: clips to exclude: ``REDS4`` (000, 011, 015, 020) or ``official`` (240 to 269).
        test_mode: use the clips of ``val_partition`` instead of the others.
        interval_list: steps between frames, of which one is drawn.
        random_reverse: whether to reverse a window in time with probability ½.
        use_hflip: whether to flip left-right with probability ½.
        use_rot: whether to flip up-down and to swap height and width, each with probability ½.
        flip_sequence: whether to append the reversed window, which doubles its length.
        cache_data: whether each worker keeps the encoded frames in memory.
        flow_cache: ``{folder: ..., spynet_path: ...}``: compute the flows of whole frames once with these weights, keep
            them in this folder (8 bytes per LR pixel, frame and interval), and pass them to the network, transformed
            with the frames. The network's own flow estimator is then not used in training.
        dataroot_teacher: folder of clip folders with the outputs of a better network for the LR frames, in GT's size
            and with GT's names: an additional target, for ``train.teacher_opt``.
        scale: GT size divided by LR size.
        seed: see above.

    Raises:
        DataError: LR and GT do not fit together, or clips are too short or frames too small.
        OptionsError: the options contradict each other.
    """

    phase = 'train'  # the section of the options that this class fits
    exact_flows: FlowReader | None = None
    """Source of known flow (:mod:`iart.data.exact_flow_dataset`); items then have ``gt_flows``."""

    def __init__(
        self,
        *,
        dataroot_gt: str,
        num_frame: int,
        gt_size: int,
        dataroot_lq: str | None = None,
        degradation: Degradation | None = None,
        meta_info_file: str | None = None,
        io_backend: IoBackend | None = None,
        clips: list[str] | None = None,
        val_partition: Literal['REDS4', 'official'] | None = None,
        test_mode: bool = False,
        interval_list: Sequence[int] = (1,),
        random_reverse: bool = False,
        use_hflip: bool = False,
        use_rot: bool = False,
        flip_sequence: bool = False,
        cache_data: bool = False,
        flow_cache: FlowCacheOptions | None = None,
        dataroot_teacher: str | None = None,
        scale: int = 4,
        seed: int = 0,
    ) -> None:
        _check_numbers(num_frame, gt_size, scale, interval_list)
        gt = self._open_gt(dataroot_gt, io_backend, cache_data)
        self.gt, self.lq, self.degraded, self.chain = open_sides(
            gt, degradation, dataroot_lq, lambda root: open_store(root, io_backend, cache=cache_data), scale
        )
        _check_chain(self.chain, flow_cache=flow_cache, dataroot_teacher=dataroot_teacher)
        meta = read_meta(meta_info_file) if meta_info_file else None
        chosen = _partition(choose_clips(self.lq, self.gt, meta, clips), val_partition, test_mode, self.lq)
        self.clips = pair_clips(self.lq, self.gt, chosen, scale=scale)
        self.num_frame, self.gt_size, self.scale, self.seed = num_frame, gt_size, scale, seed
        self.interval_list = tuple(interval_list)
        self.teacher = open_store(dataroot_teacher, cache=cache_data) if dataroot_teacher else None
        if self.teacher is not None:
            check_teacher(self.teacher, self.clips, self.scale)
        self.flow_cache = flow_cache
        self.flows = FlowCache(flow_cache['folder'], flow_origin(flow_cache, str(degradation))) if flow_cache else None
        self.random_reverse, self.use_hflip, self.use_rot, self.flip_sequence = (
            random_reverse,
            use_hflip,
            use_rot,
            flip_sequence,
        )
        self._check_clips()
        self._items = [(index, start) for index, clip in enumerate(self.clips) for start in self._windows(clip)]

    def _open_gt(self, root: str, io_backend: IoBackend | None, cache: bool) -> FrameStore:
        return open_store(root, io_backend, cache=cache)

    def _windows(self, clip: ClipInfo) -> Sequence[int | None]:
        """Return each window's first frame, None for a random one; as many windows as frames (BasicSR's rule)."""
        return range(len(clip.frames)) if self.num_frame != ALL_FRAMES else [0]

    def _length(self, clip: ClipInfo) -> int:
        return len(clip.frames) if self.num_frame == ALL_FRAMES else self.num_frame

    def _check_clips(self) -> None:
        """Check that clips are long enough for a window and large enough for a crop, and windows have one length."""
        interval, side = min(self.interval_list), self.gt_size // self.scale
        short = [
            f'{c.name} ({len(c.frames)})'
            for c in self.clips
            if transforms.span(self._length(c), interval) > len(c.frames)
        ]
        if short:
            needed = transforms.span(self.num_frame, interval)
            raise DataError(
                f'{self.lq.root}: clips with fewer frames than num_frame needs ({needed}): {listing(short)}'
            )
        small = [f'{c.name} ({c.size[1]}x{c.size[0]})' for c in self.clips if min(c.size) < side]
        if small:
            raise DataError(f'{self.lq.root}: LR frames smaller than gt_size / scale ({side} pixels): {listing(small)}')
        lengths = {len(c.frames) for c in self.clips}
        if self.num_frame == ALL_FRAMES and len(lengths) > 1:
            raise DataError(
                f'{self.lq.root}: num_frame is -1, but the clips have {min(lengths)} to {max(lengths)} frames; '
                'give num_frame'
            )

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, number: int | tuple[int, int]) -> dict[str, Any]:
        if isinstance(number, int) and not 0 <= number < len(self):
            raise IndexError(f'got item {number}, expected 0 to {len(self) - 1}')
        epoch, position = (0, number) if isinstance(number, int) else number
        rng = np.random.default_rng([self.seed, epoch, position])
        index, start = self._items[position % len(self)]
        clip = self.clips[index]
        count, length = len(clip.frames), self._length(clip)
        first = count if start is None else start  # count is beyond the last valid start: drawn
        chosen = transforms.pick_frames(rng, count, first, length, self.interval_list, self.random_reverse)
        side = self.gt_size // self.scale
        box = Box(*transforms.pick_corner(rng, *clip.size, side), side, side)
        turn = transforms.draw_turn(rng, hflip=self.use_hflip, rotate=self.use_rot)
        names = [clip.frames[i] for i in chosen]
        item: dict[str, Any] = {'clip': clip.name, 'frames': names + names[::-1] if self.flip_sequence else names}
        frames = {side: self._place(read, turn) for side, read in self._read(clip, chosen, box).items()}
        if self.chain is not None:
            item |= run_chain(self.chain, frames, self.scale, (self.seed, epoch, position))
        else:
            item |= {side: to_tensor(turned) for side, turned in frames.items()}
        if self.flows is not None:
            flows = transforms.turn_flows(self.flows.read(clip, chosen, box), turn)
            item['flows'] = torch.from_numpy(transforms.mirror_flows(flows) if self.flip_sequence else flows)
        if self.teacher is not None:
            item['teacher'] = to_tensor(self._place(self._read_large(self.teacher, clip, chosen, box), turn))
        if self.exact_flows is not None:
            item['gt_flows'] = torch.from_numpy(transforms.turn_flows(self.exact_flows.read(clip, chosen, box), turn))
        return item

    def _place(self, frames: Frame, turn: transforms.Turn) -> Frame:
        turned = transforms.turn_frames(frames, turn)
        return transforms.mirror(turned) if self.flip_sequence else turned

    def _read(self, clip: ClipInfo, chosen: Sequence[int], box: Box) -> dict[str, Frame]:
        """Read one rectangle of the chosen frames, uint8: ``lq`` (t, height, width, 3), unless a chain makes it from
        ``gt``, and ``gt`` (t, scale * height, scale * width, 3)."""
        if self.degraded is not None:
            pairs = [self.degraded.read_pair(clip.name, clip.frames[i], box, clip.size) for i in chosen]
            return {'lq': np.stack([lq for lq, _ in pairs]), 'gt': np.stack([gt for _, gt in pairs])}
        gt = self._read_large(self.gt, clip, chosen, box)
        if self.chain is not None and self.chain.lq_steps:
            return {'gt': gt}
        lq = [self.lq.read_crop(clip.name, clip.frames[i], box, clip.size) for i in chosen]
        return {'lq': np.stack(lq), 'gt': gt}

    def _read_large(self, store: FrameStore, clip: ClipInfo, chosen: Sequence[int], box: Box) -> Frame:
        """Read the same rectangle of frames of GT's size."""
        size = clip.size[0] * self.scale, clip.size[1] * self.scale
        place = box.times(self.scale)
        return np.stack([store.read_crop(clip.name, clip.gt_frames[i], place, size) for i in chosen])


def read_sized(store: FrameStore, clip: str, frame: str, size: tuple[int, int]) -> Frame:
    """Read a frame; DataError naming the file if its size is not the clip's ``size`` (h, w)."""
    return check_size(store.read(clip, frame), size, store.where(clip, frame))


def _check_chain(chain: Chain | None, **beside: object) -> None:
    """A chain makes other LR frames each time: nothing that was computed from LR frames can be given beside it."""
    for name, value in beside.items():
        if chain is not None and chain.lq_steps and value is not None:
            raise OptionsError(
                f'{name}: got {value!r} beside degradation {chain.name}, expected nothing: the chain makes other LR '
                'frames in each epoch'
            )


def _check_numbers(num_frame: int, gt_size: int, scale: int, intervals: Sequence[int]) -> None:
    if num_frame < 1 and num_frame != ALL_FRAMES:
        raise OptionsError(f'num_frame: got {num_frame}, expected 1 or more, or -1 for all frames of a clip')
    if gt_size < scale or gt_size % scale:
        raise OptionsError(f'gt_size: got {gt_size}, expected a multiple of scale ({scale})')
    if not intervals or min(intervals) < 1:
        raise OptionsError(f'interval_list: got {list(intervals)}, expected one or more numbers from 1 up')


def _partition(clips: dict[str, MetaClip], name: str | None, test_mode: bool, store: FrameStore) -> dict[str, MetaClip]:
    if name is None:
        if test_mode:
            raise OptionsError('test_mode: got true without val_partition, expected val_partition: REDS4 or official')
        return clips
    chosen = {clip: meta for clip, meta in clips.items() if (clip in PARTITIONS[name]) == test_mode}
    if not chosen:
        raise DataError(f'{store.root}: got no clips with val_partition {name} in {listing(clips)}, expected some')
    return chosen


@DATASET_REGISTRY.register(suffix=SUFFIX)
class VideoClipDataset(RecurrentDataset):
    """A collection of clips of any lengths and sizes::

    dataroot_gt/<clip>/<frame>.png      dataroot_lq/<clip>/<frame>.png
    """


@DATASET_REGISTRY.register(suffix=SUFFIX)
class REDSRecurrentDataset(RecurrentDataset):
    """REDS in BasicSR's layout, 270 clips; ``val_partition: REDS4`` excludes the test clips from training::

    train_sharp/000/00000000.png        train_sharp_bicubic/X4/000/00000000.png
    train_sharp_with_val.lmdb           train_sharp_bicubic_with_val.lmdb, keys 000/00000000
    """


@DATASET_REGISTRY.register(suffix=SUFFIX)
class Vimeo90KRecurrentDataset(RecurrentDataset):
    """Vimeo-90K septuplets, one window per clip; ``flip_sequence`` makes 14 frames of 7::

    GT/00001/0001/im1.png ... im7.png       BIx4/00001/0001/im1.png ... im7.png
    vimeo90k_train_GT_all.lmdb, keys 00001/0001/im1
    """

    def _windows(self, clip: ClipInfo) -> Sequence[int | None]:
        return [None]
