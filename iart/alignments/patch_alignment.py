"""Patch alignment of PSRT: whole patches are moved by their mean flow, so that no pixel is interpolated."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from iart.alignments.argument_checks import check_above_zero
from iart.ops.warp import flow_warp
from iart.registry import ALIGNMENT_REGISTRY, SUFFIX


@ALIGNMENT_REGISTRY.register(suffix=SUFFIX)
class PatchAlignment(nn.Module):
    """Move each patch by its rounded mean flow: ``aligned(p) = source(round(p + mean of flow over the patch of p))``.

    No parameters. Shi et al., "Rethinking Alignment in Video Super-Resolution Transformers" (PSRT), NeurIPS 2022; the
    paper's table 1. With it IART is PSRT-recurrent. Patches begin at the top left corner; the flow is reflected to
    whole patches at the bottom and right.

    Args:
        channels, num_heads: passed to every alignment; no effect here.
        patch: side of a patch in pixels.
        resampling: the kernel that reads the source at p + mean flow; ``nearest``, as published, passes no gradient to
            the flow.
    """

    def __init__(
        self,
        *,
        channels: int,
        num_heads: int,
        patch: int = 8,
        resampling: Literal['nearest', 'bilinear', 'bicubic'] = 'nearest',
    ) -> None:
        super().__init__()
        check_above_zero(patch=patch)
        self.patch, self.resampling = patch, resampling

    @property
    def trains_flow(self) -> bool:
        """Whether a gradient reaches the flow."""
        return self.resampling != 'nearest'

    def forward(self, source: Tensor, current: Tensor, flow: Tensor) -> Tensor:
        """Return the (n, c, h, w) source, its patches moved by the (n, 2, h, w) flow in pixels; zeros outside.

        Raises:
            ValueError: a side is too short to be reflected to a multiple of ``patch`` (5 pixels always suffice for 8).
        """
        return flow_warp(source, self.patch_flow(flow), mode=self.resampling)

    def patch_flow(self, flow: Tensor) -> Tensor:
        """Return the (n, 2, h, w) flow with its mean over each patch in every pixel of the patch, float32."""
        h, w = flow.shape[-2:]
        bottom, right = -h % self.patch, -w % self.patch
        if bottom >= h or right >= w:
            shortest = self.patch // 2 + 1
            raise ValueError(
                f'patch alignment: got a flow of {h}x{w} pixels, expected at least {shortest} a side for patches '
                f'of {self.patch}'
            )
        padded = F.pad(flow.float(), (0, right, 0, bottom), mode='reflect')
        mean = F.avg_pool2d(padded, self.patch)
        return mean.repeat_interleave(self.patch, 2).repeat_interleave(self.patch, 3)[..., :h, :w]
