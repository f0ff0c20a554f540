"""What a batch holds, from the loader to the losses."""

from typing import TypedDict

from torch import Tensor


class Batch(TypedDict, total=False):
    """A batch of n training clips; only ``lq`` and ``gt`` are in every one. Frames are float32 RGB in [0, 1].

    Args:
        lq: (n, t, 3, h, w) LR frames.
        gt: (n, t, 3, s·h, s·w) ground truth.
        gt_plain: ground truth before sharpening, of the shape of ``gt``.
        teacher: output of a better network, of the shape of ``gt``.
        teacher_weight: factor on the loss that compares with ``teacher``.
        flows: (n, 2, t − 1, 2, h, w) flow to the next frame and back, in the place of the flow network's.
        gt_flows: the exact flow of rendered clips, of the shape of ``flows``.
        clip: names of the clips.
        frames: names of the frames of each clip.
        unreadable: reasons why windows were replaced, a list for each of them.
    """

    lq: Tensor
    gt: Tensor
    gt_plain: Tensor
    teacher: Tensor
    teacher_weight: float
    flows: Tensor
    gt_flows: Tensor
    clip: list[str]
    frames: list[list[str]]
    unreadable: list[list[str]]
