"""Where a training set's low-resolution frames come from: files, BI or BD of each frame, or a degradation chain."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from iart.data.degraded import DegradedStore, TrimmedStore
from iart.data.store import FrameStore
from iart.degradations import Chain, build_chain, chain_names
from iart.errors import OptionsError, listing
from iart.image import Frame
from iart.ops.degradation import KINDS

Degradation = str | list[dict[str, Any]]
"""``BI``, ``BD``, the name of a chain, the path of a YAML file with one, or its steps."""


class Sides(NamedTuple):
    """The two sides of a training set.

    Args:
        gt: the ground truth, trimmed to multiples of the scale where LR is made from it.
        lq: the LR frames; of a chain, their names and sizes.
        degraded: ``lq`` where LR is BI or BD of each frame.
        chain: the degradation chain, if there is one.
    """

    gt: FrameStore
    lq: FrameStore
    degraded: DegradedStore | None
    chain: Chain | None


class ChainedStore(DegradedStore):
    """Names and sizes of LR frames that a chain makes window by window; a frame read by itself is BI."""

    def __init__(self, gt: FrameStore, name: str, scale: int) -> None:
        super().__init__(gt, 'BI', scale)
        self.name = name

    def where(self, clip: str, frame: str) -> str:
        return f'{self.gt.where(clip, frame)} ({self.name}, 1/{self.scale})'


def open_sides(
    gt: FrameStore,
    degradation: Degradation | None,
    root: str | None,
    open_root: Callable[[str], FrameStore],
    scale: int,
) -> Sides:
    """Open the LR side.

    Args:
        gt: the ground truth.
        degradation: see :data:`Degradation`; None where LR frames are files.
        root: folder or LMDB of LR frames; needed without ``degradation``, and beside a chain that changes GT alone.
        open_root: opens ``root``.
        scale: GT size divided by LR size.

    Raises:
        OptionsError: both or neither are given, or the chain has mistakes.
        DataError: the LR files cannot be opened.
    """
    single = isinstance(degradation, str) and degradation in KINDS
    chain = None if degradation is None or single else build_chain(degradation)
    if chain is not None and not chain.lq_steps:
        return Sides(gt, lq_store(root, None, open_root), None, chain)
    if degradation is None:
        return Sides(gt, lq_store(root, None, open_root), None, None)
    gt = TrimmedStore(gt, scale)
    made = DegradedStore(gt, str(degradation), scale) if chain is None else ChainedStore(gt, chain.name, scale)
    return Sides(gt, lq_store(root, made, open_root), made if chain is None else None, chain)


def lq_store(root: str | None, degraded: DegradedStore | None, open_root: Callable[[str], FrameStore]) -> FrameStore:
    """Return where LR frames come from: their folder, or the ground truth, degraded.

    Raises:
        OptionsError: both are given, or neither.
    """
    if degraded is not None and root is not None:
        raise OptionsError(
            f'dataroot_lq: got {root!r} with degradation, expected one of the two: LR files, or LR made from GT'
        )
    if degraded is not None:
        return degraded
    if root is None:
        raise OptionsError(
            'dataroot_lq: got nothing, expected the folder of LR frames, or  degradation: BI  (or BD; for training '
            f'also {listing(chain_names())}) to make them from GT'
        )
    return open_root(root)


def run_chain(chain: Chain, frames: Mapping[str, Frame], scale: int, seed: Sequence[int]) -> dict[str, Tensor]:
    """Make a window's tensors.

    Args:
        chain: what degrades.
        frames: ``gt`` (t, h, w, 3) uint8, and ``lq`` where the LR frames are files.
        scale: GT size divided by LR size.
        seed: numbers that decide everything random.

    Returns:
        ``gt`` and ``lq``, (t, 3, h, w) and (t, 3, h // scale, w // scale) float32 in [0, 1], not rounded to 8 bits
        where the chain made them; where it changes GT, ``gt_plain`` is GT without the change.
    """
    plain = list(np.ascontiguousarray(frames['gt'], np.float32))
    size = frames['gt'].shape[1] // scale, frames['gt'].shape[2] // scale
    gt = list(chain.sharpen(plain, seed))
    lq = frames['lq'] if 'lq' in frames else list(chain.degrade(gt, seed, size))
    item = {'lq': _tensor(lq), 'gt': _tensor(gt)}
    return {**item, 'gt_plain': _tensor(plain)} if chain.gt_steps else item


def _tensor(frames: Any) -> Tensor:
    stacked = np.ascontiguousarray(np.moveaxis(np.stack(frames), -1, -3), np.float32)
    return torch.from_numpy(stacked).div_(255)
