"""The network of the paper's comparison of alignments: two backbones and one alignment, without recurrence."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from iart.archs.clip_frames import Clip, ClipFrames, Flows
from iart.archs.flow import build_flow, comes_with_clip, pad_to, pair_flows
from iart.archs.fusion_backbone import FusionBackbone, Prepared
from iart.archs.released import study_extras
from iart.archs.stores import StoreFactory
from iart.archs.upsampler import SCALE, reconstruct_detail, upsample_bilinear
from iart.registry import ALIGNMENT_REGISTRY, ARCH_REGISTRY, SUFFIX, build

SMALLEST_SIDE = 16  # two attention windows; smaller frames are padded by reflection and the result is cropped
_RELEASED = {'DeformableConvAlignment': 'deform_align', 'DeformableAttentionAlignment': 'deform_align'}


@ARCH_REGISTRY.register(suffix=SUFFIX)
class AlignmentStudyNet(nn.Module):
    """The study's network (paper, section 4.3 and table 1). (n, t, 3, h, w) RGB in [0, 1] → (n, t, 3, 4h, 4w).

    Frame i is restored from frames i and i+1 only, so that results depend on the alignment::

        f_i = backbone_1(conv_first(lq_i))                      windows of 1×8×8
        a_i = align(source=f_{i+1}, current=f_i, flow i → i+1)  the last frame: a = f
        z_i = backbone_2([f_i, a_i])                            windows of 2×8×8, read out at the ALIGNED frame
        sr_i = reconstruct(z_i) + bilinear ×4 of lq_i

    With defaults and an alignment without parameters it has 1,209,427 parameters. The released code has 141,848 unused
    ones more (the paper's 1.35 M); released checkpoints load nevertheless.

    Args:
        mid_channels: width of the reconstruction.
        hr_channels: width of the reconstruction at the output's size, where a small network spends most of its time.
        embed_dim: width C of features and backbones; a multiple of 4 and of every number of heads.
        depths: Swin blocks in each residual group of a backbone.
        num_heads: attention heads of each group; the first is the alignment's too.
        window_size: (height, width) of an attention window.
        mlp_ratio, qkv_bias: see :class:`iart.archs.swin.SwinBlock`.
        drop_path_rate: stochastic depth, 0 → this rate over the blocks of a backbone.
        alignment: ``{'type': name, ...}`` of a registered alignment; default implicit, 2×2 taps.
        domain: the tensor that is aligned: the ``feature``, as in the paper and the released code, or the ``image``
            (ours), for alignments without parameters only.
        readout: the fused frame that is restored: the ``aligned`` one, as released, or the ``current`` one (ours),
            which makes the network much less sensitive to the alignment.
        use_neighbor: if false, the current frame replaces the aligned one: super-resolution of single images.
        flow: ``{'type': name, ...}``, as for IART; default ``gt``: the study takes flow as an input. It is never
            trained here.
        spynet_path: weights of the flow network where ``flow`` is ``spynet``.

    Raises:
        ValueError: a size does not fit; the message names the argument.
    """

    scale = 4  # the options must have the same
    recurrent = False  # frames are restored from two frames each

    def __init__(
        self,
        *,
        mid_channels: int = 64,
        hr_channels: int = 64,
        embed_dim: int = 60,
        depths: Sequence[int] = (3, 3, 3),
        num_heads: Sequence[int] = (6, 6, 6),
        window_size: tuple[int, int] = (8, 8),
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        drop_path_rate: float = 0.1,
        alignment: Mapping[str, Any] | None = None,
        domain: Literal['feature', 'image'] = 'feature',
        readout: Literal['aligned', 'current'] = 'aligned',
        use_neighbor: bool = True,
        flow: Mapping[str, Any] | None = None,
        spynet_path: str | None = None,
    ) -> None:
        super().__init__()
        self.mid_channels, self.embed_dim = mid_channels, embed_dim
        self.domain, self.readout, self.use_neighbor = domain, readout, use_neighbor
        # VSRModel and weight files use this name for the flow network of any type.
        self.spynet = build_flow(flow or {'type': 'gt'}, spynet_path).requires_grad_(False)
        self.conv_first = nn.Conv2d(3, embed_dim, 3, padding=1)
        backbone = partial(
            FusionBackbone,
            channels=embed_dim,
            depths=depths,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            qkv_bias=qkv_bias,
            drop_path_rate=drop_path_rate,
        )
        self.swin_backbone_1 = backbone(window=(1, *window_size))
        self.swin_backbone_2 = backbone(window=(2, *window_size))
        self.conv_before_upsample = nn.Conv2d(embed_dim, mid_channels, 3, padding=1)
        self.upconv1 = nn.Conv2d(mid_channels, mid_channels * 4, 3, padding=1)
        self.upconv2 = nn.Conv2d(mid_channels, hr_channels * 4, 3, padding=1)
        self.conv_hr = nn.Conv2d(hr_channels, hr_channels, 3, padding=1)
        self.conv_last = nn.Conv2d(hr_channels, 3, 3, padding=1)
        # Last, so that with one seed all other weights start equal for every alignment.
        section = alignment or {'type': 'ImplicitAlignment'}
        align = build(
            ALIGNMENT_REGISTRY, section, key='network_g.alignment', channels=embed_dim, num_heads=num_heads[0]
        )
        self._align_name = _RELEASED.get(type(align).__name__, 'implicit_warp')
        self.add_module(self._align_name, align)
        _check(align, domain, use_neighbor)

    @property
    def align(self) -> nn.Module:
        """The alignment."""
        return self.get_submodule(self._align_name)

    def forward(self, lq: Tensor, flows: Flows | None = None) -> Tensor:
        """Restore a clip: (n, t, 3, h, w) → (n, t, 3, 4h, 4w).

        Args:
            lq: (n, t, 3, h, w) LR clip, RGB in [0, 1].
            flows: (backward, forward) of (n, t-1, 2, h, w) in pixels to use instead of the estimator's. Only the
                backward ones are used: entry i leads from frame i to i+1.
        """
        return torch.stack(list(self.frames(lq, flows=flows)), dim=1)

    def frames(self, lq: Clip, store: StoreFactory | None = None, flows: Flows | None = None) -> Iterator[Tensor]:
        """Restore a clip frame by frame, from the first; the features of two frames are in memory at a time.

        Args:
            lq: as for :meth:`forward`, or t frames (n, 3, h, w), which are read one by one.
            store: no effect; recurrent networks keep features there.
            flows: as for :meth:`forward`.

        Yields:
            t times (n, 3, 4h, 4w).

        Raises:
            ValueError: ``lq`` is neither a clip nor frames.
        """
        clip = ClipFrames(lq, self.conv_first.weight.device, SMALLEST_SIDE)
        if flows is None and comes_with_clip(self.spynet) and self.use_neighbor:
            flows = clip.flows
        height, width = (SCALE * side for side in clip.size)
        device = self.conv_first.weight.device
        single, pair = (
            b.prepare(b.layouts(clip.padded_size, device)) for b in (self.swin_backbone_1, self.swin_backbone_2)
        )
        frame, feature = clip[0], self._feature(clip[0], single)
        for i in range(len(clip)):
            if i + 1 < len(clip):
                following = clip[i + 1]
                needed = self._feature(following, single)
                aligned = self._aligned(
                    frame, feature, following, needed, self._flow(flows, i, frame, following), single
                )
            else:
                following, needed, aligned = frame, feature, feature
            both = (feature, aligned) if self.readout == 'aligned' else (aligned, feature)
            fused = self.swin_backbone_2(torch.stack(both, dim=1), pair)
            yield self.reconstruct(fused, frame)[..., :height, :width]
            frame, feature = following, needed

    def _feature(self, frame: Tensor, prepared: Prepared) -> Tensor:
        """Extract the (n, C, h, w) feature of an (n, 3, h, w) frame."""
        return self.swin_backbone_1(self.conv_first(frame).unsqueeze(1), prepared)

    def _flow(self, flows: Flows | None, i: int, frame: Tensor, following: Tensor) -> Tensor:
        """Return the (n, 2, h, w) flow from frame i to the next one, in pixels."""
        if not self.use_neighbor:
            return frame.new_zeros(frame.shape[0], 2, *frame.shape[-2:])
        if flows is not None:
            return pad_to(flows[0][:, i : i + 1].to(frame.device), SMALLEST_SIDE).squeeze(1).float()
        return pair_flows(self.spynet, frame.unsqueeze(1), following.unsqueeze(1)).squeeze(1)

    def _aligned(
        self, frame: Tensor, feature: Tensor, following: Tensor, its_feature: Tensor, flow: Tensor, prepared: Prepared
    ) -> Tensor:
        """Return the (n, C, h, w) feature of the following frame, aligned to this one."""
        if not self.use_neighbor:
            return feature
        if self.domain == 'image':
            return self._feature(self.align(following, frame, flow), prepared)
        return self.align(its_feature, feature, flow)

    def reconstruct(self, feature: Tensor, frame: Tensor) -> Tensor:
        """Return the (n, 3, 4h, 4w) output for an (n, C, h, w) feature and its (n, 3, h, w) LR frame."""
        return reconstruct_detail(self, self.conv_before_upsample(feature), SCALE) + upsample_bilinear(frame, SCALE)

    def released_extras(self) -> dict[str, Tensor]:
        """Return the tensors that only a released checkpoint has, by name: see :mod:`iart.archs.released`."""
        return study_extras(self)

    def from_released_name(self, name: str) -> str:
        """Return this network's name for the tensor ``name`` of a released checkpoint."""
        return f'{self._align_name}.{name}' if name.startswith('aggregation.') else name


def _check(align: nn.Module, domain: str, use_neighbor: bool) -> None:
    name = type(align).__name__
    if getattr(align, 'joint', False):
        raise ValueError(f'alignment: got {name} with order 2, expected order 1: this network has one neighbor')
    weights = sum(p.numel() for p in align.parameters())
    if domain == 'image' and weights:
        raise ValueError(
            f'domain: got image with {name}, expected feature: an image has 3 channels, which its {weights} '
            'parameters do not fit'
        )
    if not use_neighbor and weights:
        raise ValueError(
            f'use_neighbor: got false with {name}, expected NoAlignment: its {weights} parameters would never be used'
        )
