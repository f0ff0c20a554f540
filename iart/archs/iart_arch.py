"""IART: recurrent video super-resolution with implicit alignment (CVPR 2024)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from iart import log
from iart.archs.causal import CausalState, advance, causal_frames
from iart.archs.clip_frames import Clip, ClipFrames, Flows, clip_flows
from iart.archs.flow import build_flow, freeze_unreached, pad_to
from iart.archs.fusion_backbone import FusionBackbone
from iart.archs.propagation import Propagation, check_fused_frames, propagate
from iart.archs.recompute_policy import Policy, UseCheckpoint, choose_policy, next_policy, recompute, recomputes_rest
from iart.archs.released import released_extras
from iart.archs.stores import Place, StoreFactory, stores
from iart.archs.upsampler import (
    SCALE,
    WIDTH,
    Scale,
    layers_of_scale,
    reconstruct_detail,
    upsample_bilinear,
    upsampling_layers,
    width_after,
)
from iart.ops.windows import WindowLayouts
from iart.registry import ALIGNMENT_REGISTRY, ARCH_REGISTRY, SUFFIX, build

SMALLEST_SIDE = 16  # two attention windows; smaller frames are padded by reflection and the result is cropped


@ARCH_REGISTRY.register(suffix=SUFFIX)
class IART(nn.Module):
    """The IART network, (n, t, 3, h, w) RGB in [0, 1] → (n, t, 3, s·h, s·w); defaults are the published model.

    Takes any number of clips, from 1 frame and 1×1 pixel. No state is kept between two calls.

    Args:
        in_channels: channels of a frame: 3, since SPyNet takes RGB.
        mid_channels: width of the reconstruction.
        embed_dim: width C of features and backbone; a multiple of 4 and of every number of heads.
        depths: Swin blocks in each residual group of a backbone.
        num_heads: attention heads of each group; the first is the alignment's too.
        window_size: (frames, height, width) of an attention window; frames equal ``num_frames``.
        num_frames: frames a backbone fuses: first-order neighbor, current, second-order neighbor: 3; with first-order
            propagation, or an alignment that takes both neighbors at once, 2.
        img_size, patch_size: upstream's arguments; no effect, since any frame size is accepted.
        mlp_ratio, qkv_bias: see :class:`iart.archs.swin.SwinBlock`.
        drop_path_rate: stochastic depth, 0 → this rate over the blocks of a backbone.
        cpu_cache_length: a clip longer than this keeps its features in host memory while a GPU computes.
        is_low_res_input: upstream's argument; only true is supported: features have the size of the input.
        use_checkpoint: what the backward pass recomputes to save memory: ``none`` or false, ``mlp`` (of each block),
            ``blocks`` or true (two at a time), ``backbones`` (one at a time), or ``auto``: the fastest that fits into
            the free memory.
        spynet_path: weight file of the flow network; None for zero flow at the start.
        alignment: ``{'type': name, ...}`` of a registered alignment; default implicit, 2×2 taps.
        shared_alignment: use one alignment in all passes, as published; false gives each pass its own.
        flow: ``{'type': name, ...}``, the source of the flow: ``spynet`` (default), ``zero``, ``gt`` (delivered by the
            data set) or ``raft``: see :mod:`iart.archs.optical_flow`.
        propagation: ``{'order': 1 or 2, 'passes': [...]}``: see :class:`iart.archs.propagation.Propagation`.
        scale: output pixels per input pixel along a side, s: 4 as published, 3, 2, or 1 for restoration at the input's
            size. Only the upsampling layers depend on it.

    Raises:
        ValueError: a size does not fit; the message names the argument.
        WeightsError: ``spynet_path`` is missing or does not fit.
    """

    scale: int = SCALE  # the default; that of the options must be the same

    def __init__(
        self,
        *,
        in_channels: int = 3,
        mid_channels: int = 64,
        embed_dim: int = 120,
        depths: Sequence[int] = (6, 6, 6),
        num_heads: Sequence[int] = (6, 6, 6),
        window_size: tuple[int, int, int] = (3, 8, 8),
        num_frames: int | None = None,
        img_size: int | Sequence[int] = 64,
        patch_size: int | Sequence[int] = 1,
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        drop_path_rate: float = 0.1,
        cpu_cache_length: int = 100,
        is_low_res_input: bool = True,
        use_checkpoint: UseCheckpoint = False,
        spynet_path: str | None = None,
        alignment: Mapping[str, Any] | None = None,
        shared_alignment: bool = True,
        flow: Mapping[str, Any] | None = None,
        propagation: Propagation | None = None,
        scale: Scale = SCALE,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.propagation = propagation or Propagation()
        _check(in_channels, is_low_res_input)
        if img_size != 64 or patch_size != 1:
            log.once('network_g: img_size and patch_size have no effect; any frame size is accepted')
        window = (window_size[0], window_size[1], window_size[2])
        self.mid_channels, self.embed_dim, self.cpu_cache_length = mid_channels, embed_dim, cpu_cache_length
        self._automatic = use_checkpoint == 'auto'
        self._chosen: Policy = 'none'
        self.use_checkpoint, self.blocks, self.mlp_ratio = use_checkpoint, sum(depths), mlp_ratio
        # Names of released checkpoints: spynet holds the flow estimator, implicit_warp the alignment, of any type.
        self.spynet = build_flow(flow, spynet_path)
        self.conv_first = nn.Conv2d(in_channels, embed_dim, 3, padding=1)
        new_alignment = partial(
            build,
            ALIGNMENT_REGISTRY,
            alignment or {'type': 'ImplicitAlignment'},
            key='network_g.alignment',
            channels=embed_dim,
            num_heads=num_heads[0],
        )
        first = new_alignment()
        rest = () if shared_alignment else self.propagation.passes[1:]
        self.implicit_warp = (
            nn.ModuleDict({self.propagation.passes[0]: first, **{name: new_alignment() for name in rest}})
            if rest
            else first
        )
        freeze_unreached(self.spynet, self.implicit_warp)
        check_fused_frames(num_frames, window_size, self.propagation.order, getattr(first, 'joint', False))
        self.swin_backbone = nn.ModuleDict(
            {
                name: FusionBackbone(
                    channels=embed_dim,
                    depths=depths,
                    num_heads=num_heads,
                    window=window,
                    mlp_ratio=mlp_ratio,
                    qkv_bias=qkv_bias,
                    drop_path_rate=drop_path_rate,
                )
                for name in self.propagation.passes
            }
        )
        self.conv_before_upsample = nn.Conv2d(embed_dim, mid_channels, 3, padding=1)
        for name, layer in upsampling_layers(scale, mid_channels):
            self.add_module(name, layer)
        self.conv_hr = nn.Conv2d(width_after(scale, mid_channels), WIDTH, 3, padding=1)
        self.conv_last = nn.Conv2d(WIDTH, 3, 3, padding=1)

    def forward(self, lq: Tensor, flows: Flows | None = None) -> Tensor:
        """Restore a clip: (n, t, 3, h, w) → (n, t, 3, s·h, s·w).

        Args:
            lq: (n, t, 3, h, w) LR clip, RGB in [0, 1].
            flows: (backward, forward) of (n, t-1, 2, h, w) in pixels to use instead of the estimator's; see
                :func:`clip_flows`.
        """
        return torch.stack(list(self.frames(lq, flows=flows)), dim=1)

    def frames(self, lq: Clip, store: StoreFactory | None = None, flows: Flows | None = None) -> Iterator[Tensor]:
        """Restore a clip frame by frame, from the first, so that the output of a long clip is never held as a whole.

        Args:
            lq: as for :meth:`forward`, or t frames (n, 3, h, w) on any device, which are read one by one, a few times
                each.
            store: factory of the stores that keep features and flows between passes; results are bit-exact for all of
                them. Default: on the device, or in host memory for a clip longer than ``cpu_cache_length``.
            flows: as for :meth:`forward`.

        Yields:
            t times (n, 3, s·h, s·w).

        Raises:
            ValueError: ``lq`` is neither a clip nor frames.
        """
        clip = ClipFrames(lq, self.conv_first.weight.device, SMALLEST_SIDE)
        if flows is not None:
            flows = tuple(pad_to(flow, SMALLEST_SIDE) for flow in flows)
        if self.propagation.causal and not torch.is_grad_enabled():
            yield from causal_frames(self, clip, flows)
            return
        if store is not None:
            yield from self._stream(clip, store, flows)
            return
        place: Place = 'host' if len(clip) > self.cpu_cache_length and not torch.is_grad_enabled() else 'device'
        with stores(place, self.conv_first.weight.device) as store:
            yield from self._stream(clip, store, flows)

    def step(
        self, frame: Tensor, state: CausalState | None = None, flow: Tensor | None = None
    ) -> tuple[Tensor, CausalState]:
        """Restore the next frame of a stream, for networks whose passes all run forward.

        Args:
            frame: (n, 3, h, w) RGB in [0, 1], on the network's device.
            state: what the call for the frame before returned; None for the first frame of a stream or of a shot.
            flow: (n, 2, h, w) from this frame to the one before, to use in place of the estimator's.

        Returns:
            (n, 3, s·h, s·w), bit-exact with :meth:`frames`, and the state for the next call.

        Raises:
            ValueError: a pass runs backward, or the frame has another size than those before it.
        """
        height, width = (self.scale * side for side in frame.shape[-2:])
        flow = None if flow is None else pad_to(flow, SMALLEST_SIDE)
        sr, state = advance(self, pad_to(frame, SMALLEST_SIDE), state, flow)
        return sr[..., :height, :width], state

    def first_feature(self, frame: Tensor) -> Tensor:
        """Return the (n, C, h, w) feature that the first pass begins with, of a (n, 3, h, w) frame."""
        # Channels last: windows and taps gather whole pixels, whose channels are then adjacent in memory.
        return self.conv_first(frame.contiguous(memory_format=torch.channels_last))

    def alignment_of(self, name: str) -> nn.Module:
        """Return the alignment of a pass."""
        return self.implicit_warp[name] if isinstance(self.implicit_warp, nn.ModuleDict) else self.implicit_warp

    def _stream(self, clip: ClipFrames, store: StoreFactory, given: Flows | None) -> Iterator[Tensor]:
        """Run all passes over a clip and yield its frames, (n, 3, s·h, s·w) each (paper, section 3.1).

        One (n, C, h, w) feature per frame is all that is kept between passes. A pass reads feature i once, before it
        writes its output to the same slot (see :func:`propagate`), so that one store serves all passes and memory does
        not grow with their number. Outputs of the last pass are reconstructed at once, in its order (forward, as
        published), and their slots are freed.
        """
        height, width = (self.scale * side for side in clip.size)
        features = store(len(clip))
        for i, frame in enumerate(clip):
            features[i] = self.first_feature(frame)
        backward, forward = clip_flows(self.spynet, clip, store, given)
        size = clip.padded_size
        policy = self._policy(size, len(clip))
        again = recomputes_rest(policy)
        passes = self.propagation.passes
        layouts: WindowLayouts | None = None
        for name in passes:
            # A backward pass visits frames from the last to the first, so its neighbor is the next frame.
            toward_next = name.startswith('backward')
            flows, backbone = backward if toward_next else forward, self.swin_backbone[name]
            assert isinstance(backbone, FusionBackbone)
            layouts = layouts or backbone.layouts(size, self.conv_first.weight.device)  # the same for all passes
            # Position biases, masks and weights in the dtype of the computation: once per pass, not once per frame.
            fuse = partial(backbone, prepared=backbone.prepare(layouts, policy))
            align = self.alignment_of(name)
            for i, feature in propagate(features, flows, align, fuse, toward_next, again, self.propagation.order):
                if name != passes[-1]:
                    features[i] = feature
                    continue
                features.free(i)
                yield recompute(again, self.reconstruct, feature, clip[i])[..., :height, :width]

    def _policy(self, size: tuple[int, int, int], frames: int) -> Policy:
        """Choose what the backward pass recomputes for a clip of ``frames`` frames of size (n, h, w)."""
        self._chosen = choose_policy(
            self.use_checkpoint if torch.is_grad_enabled() else 'none',
            self.conv_first.weight.device,
            tokens=3 * math.prod(size),
            channels=self.embed_dim,
            calls=frames * len(self.propagation.passes),
            blocks=self.blocks,
            mlp_ratio=self.mlp_ratio,
        )
        return self._chosen

    def recompute_more(self) -> str | None:
        """Switch to the next policy after running out of memory, if the options leave the choice (``auto``).

        Returns:
            The new policy; None if there is no choice.
        """
        policy = next_policy(self._chosen) if self._automatic else None
        if policy is not None:
            self.use_checkpoint = policy
        return policy

    def reconstruct(self, feature: Tensor, frame: Tensor) -> Tensor:
        """Return the (n, 3, s·h, s·w) output for an (n, C, h, w) feature and its (n, 3, h, w) LR frame."""
        detail = reconstruct_detail(self, self.conv_before_upsample(feature), self.scale)
        return detail + upsample_bilinear(frame, self.scale)

    def layers_of_scale(self, state: Mapping[str, Tensor]) -> frozenset[str]:
        """Return the layers that start fresh from the weights of another scale: see :mod:`iart.archs.upsampler`."""
        return layers_of_scale(self, state)

    def released_extras(self) -> dict[str, Tensor]:
        """Return the tensors that only a released checkpoint has, by name: see :mod:`iart.archs.released`."""
        return released_extras(self)

    def from_released_name(self, name: str) -> str:
        """Return this network's name for the tensor ``name`` of a released checkpoint of IART or PSRT-recurrent."""
        return f'swin_backbone.{name.removeprefix("patch_align.")}' if name.startswith('patch_align.') else name


def _check(in_channels: int, is_low_res_input: bool) -> None:
    if in_channels != 3:
        raise ValueError(f'in_channels: got {in_channels}, expected 3 (the flow network takes RGB)')
    if not is_low_res_input:
        raise ValueError('is_low_res_input: got false, expected true: features have the size of the input')
