"""BasicSR's BasicVSR with any alignment: with the implicit one it is the paper's IA-CNN (table 2)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iart.archs.causal import CausalState, causal_frames, check_causal_step
from iart.archs.clip_frames import Clip, ClipFrames, Flows, clip_flows
from iart.archs.flow import build_flow, freeze_unreached, pair_flows
from iart.archs.recompute_policy import recompute
from iart.archs.stores import StoreFactory, stores
from iart.archs.upsampler import (
    SCALE,
    WIDTH,
    Scale,
    check_scale,
    layers_of_scale,
    reconstruct_detail,
    upsample_bilinear,
    upsampling_layers,
    width_after,
)
from iart.ops.warp import flow_warp
from iart.registry import ALIGNMENT_REGISTRY, ARCH_REGISTRY, SUFFIX, build, residual_blocks_class

SMALLEST_SIDE = 1  # the trunks take any frame; SPyNet pads its input itself


@dataclass(frozen=True)
class OneNeighborPropagation:
    """The propagation passes of a network that aligns one neighbor.

    Args:
        passes: ``backward`` and ``forward``; or ``forward`` alone: a causal network, which needs no later frame.

    Raises:
        ValueError: other names, or another order.
    """

    passes: Sequence[str] = ('backward', 'forward')

    def __post_init__(self) -> None:
        if tuple(self.passes) not in (('backward', 'forward'), ('forward',)):
            raise ValueError(
                f'propagation.passes: got {list(self.passes)}, expected [backward, forward], or [forward] for a causal '
                'network'
            )

    @property
    def causal(self) -> bool:
        """Whether all passes run forward: a frame then depends on no later one."""
        return tuple(self.passes) == ('forward',)


@ARCH_REGISTRY.register(suffix=SUFFIX)
class IABasicVSR(nn.Module):
    """BasicVSR with a registered alignment instead of the flow warp.

    (n, t, 3, h, w) RGB in [0, 1] → (n, t, 3, s·h, s·w). A backward pass is followed by a forward pass; in each, the
    trunk takes the current frame and the aligned feature of the neighbor. An alignment by attention computes its
    queries from a feature of the current frame, which BasicVSR lacks. Here a feature extractor provides it: with 30
    blocks and SPyNet the network has 8,521,263 parameters, the paper's 8.5 M. Without an extractor (0 blocks)
    queries come from the neighbor's feature, warped bilinearly; with 45 blocks per trunk that network has 8,519,471
    parameters.

    With ``num_extract_block: 0`` and ``FlowWarpAlignment`` this is BasicSR's BasicVSR: bit-exact, with the same names.

    Args:
        num_feat: width C of the features.
        num_block: residual blocks of each trunk.
        num_extract_block: residual blocks of the feature extractor; 0 for none.
        trunk_input: the trunks' input from the current frame: the ``image`` itself, or the extracted ``feature``.
        head: ``basicvsr``: at ×4, two PixelShuffles by 2 and two convolutions at the output's size; ``pixelshuffle``:
            all convolutions at the input's size, then one PixelShuffle, which takes a fraction of the time;
            ``pixelshuffle4`` is its older name.
        alignment: ``{'type': name, ...}`` of a registered alignment, shared by both passes; default implicit, 2×2 taps.
        num_heads: attention heads of the alignment.
        use_checkpoint: recompute trunks, alignment and head in the backward pass: less memory, more time.
        flow: ``{'type': name, ...}``, the source of the flow: see :mod:`iart.archs.optical_flow`; default SPyNet.
        spynet_path: weight file of SPyNet; None for zero flow at the start.
        cpu_cache_length: a clip longer than this keeps its features in host memory while a GPU computes.
        scale: output pixels per input pixel along a side, s: 4, 3, 2, or 1 for restoration at the input's size.
        propagation: ``{'passes': [forward]}`` for a causal network: see :class:`OneNeighborPropagation`.

    Raises:
        ValueError: a size does not fit; the message names the argument.
        WeightsError: ``spynet_path`` is missing or does not fit.
    """

    scale: int = SCALE  # the default; that of the options must be the same

    def __init__(
        self,
        *,
        num_feat: int = 64,
        num_block: int = 30,
        num_extract_block: int = 30,
        trunk_input: Literal['image', 'feature'] = 'image',
        head: Literal['basicvsr', 'pixelshuffle', 'pixelshuffle4'] = 'basicvsr',
        alignment: Mapping[str, Any] | None = None,
        num_heads: int = 8,
        use_checkpoint: bool = False,
        flow: Mapping[str, Any] | None = None,
        spynet_path: str | None = None,
        cpu_cache_length: int = 100,
        scale: Scale = SCALE,
        propagation: OneNeighborPropagation | None = None,
    ) -> None:
        super().__init__()
        check_scale(scale)
        self.scale = scale
        self.propagation = propagation or OneNeighborPropagation()
        _check(num_feat, num_block, num_extract_block, trunk_input)
        self.num_feat, self.head, self.trunk_input = num_feat, head, trunk_input
        self.use_checkpoint, self.cpu_cache_length = use_checkpoint, cpu_cache_length
        blocks = residual_blocks_class()
        self.spynet = build_flow(flow, spynet_path)
        self.extractor = blocks(3, num_feat, num_extract_block) if num_extract_block else None
        self.alignment = build(
            ALIGNMENT_REGISTRY,
            alignment or {'type': 'ImplicitAlignment'},
            key='network_g.alignment',
            channels=num_feat,
            num_heads=num_heads,
        )
        if getattr(self.alignment, 'joint', False):
            raise ValueError(
                'alignment: got one that aligns two neighbors jointly, expected one that aligns a single neighbor'
            )
        freeze_unreached(self.spynet, self.alignment)
        inputs = num_feat + (3 if trunk_input == 'image' else num_feat)
        for name in self.propagation.passes:
            self.add_module(f'{name}_trunk', blocks(inputs, num_feat, num_block))
        self.fusion = nn.Conv2d(num_feat * len(self.propagation.passes), num_feat, 1)
        if head == 'basicvsr':
            for name, layer in upsampling_layers(scale, num_feat):
                self.add_module(name, layer)
            self.conv_hr = nn.Conv2d(width_after(scale, num_feat), WIDTH, 3, padding=1)
            self.conv_last = nn.Conv2d(WIDTH, 3, 3, padding=1)
        else:
            self.conv_hr = nn.Conv2d(num_feat, num_feat, 3, padding=1)
            self.conv_last = nn.Conv2d(num_feat, 3 * scale**2, 3, padding=1)

    def forward(self, lq: Tensor, flows: Flows | None = None) -> Tensor:
        """Restore a clip: (n, t, 3, h, w) → (n, t, 3, s·h, s·w).

        Args:
            lq: (n, t, 3, h, w) LR clip, RGB in [0, 1].
            flows: (backward, forward) of (n, t-1, 2, h, w) in pixels to use instead of the flow network's; see
                :func:`clip_flows`.
        """
        return torch.stack(list(self.frames(lq, flows=flows)), dim=1)

    def frames(self, lq: Clip, store: StoreFactory | None = None, flows: Flows | None = None) -> Iterator[Tensor]:
        """Restore a clip frame by frame, as :meth:`iart.archs.iart_arch.IART.frames`.

        Yields:
            t times (n, 3, s·h, s·w).

        Raises:
            ValueError: ``lq`` is neither a clip nor frames.
        """
        device = self.fusion.weight.device
        clip = ClipFrames(lq, device, SMALLEST_SIDE)
        if self.propagation.causal and not torch.is_grad_enabled():
            yield from causal_frames(self, clip, flows, IABasicVSR.step)
            return
        if store is not None:
            yield from self._stream(clip, store, flows)
            return
        outside = len(clip) > self.cpu_cache_length and not torch.is_grad_enabled()
        with stores('host' if outside else 'device', device) as store:
            yield from self._stream(clip, store, flows)

    def _stream(self, clip: ClipFrames, store: StoreFactory, flows: Flows | None) -> Iterator[Tensor]:
        backward, forward = clip_flows(self.spynet, clip, store, flows)
        t = len(clip)
        features, extracted = store(t), store(t)
        feature = None
        for i in range(t - 1, -1, -1) if not self.propagation.causal else ():
            frame = clip[i]
            current = self._extract(frame)
            if current is not None:
                extracted[i] = current
            flow = backward[i] if i < t - 1 else None
            feature = self._propagate(self.get_submodule('backward_trunk'), feature, frame, current, flow)
            features[i] = feature
        feature = None
        for i in range(t):
            frame = clip[i]
            before = () if self.propagation.causal else (features[i],)
            if self.propagation.causal:
                current = self._extract(frame)
            else:
                current = None if self.extractor is None else extracted[i]
            flow = forward[i - 1] if i else None
            feature = self._propagate(self.get_submodule('forward_trunk'), feature, frame, current, flow)
            yield recompute(self.use_checkpoint, self.reconstruct, *before, feature, frame)
            features.free(i)
            extracted.free(i)

    def step(
        self, frame: Tensor, state: CausalState | None = None, flow: Tensor | None = None
    ) -> tuple[Tensor, CausalState]:
        """Restore the next frame of a stream, for causal networks; see :meth:`iart.archs.iart_arch.IART.step`.

        Args:
            frame: (n, 3, h, w) RGB in [0, 1], on the network's device.
            state: what the call for the frame before returned; None for the first frame of a stream or of a shot.
            flow: (n, 2, h, w) from this frame to the one before, to use in place of the estimator's.

        Returns:
            (n, 3, s·h, s·w), bit-exact with :meth:`frames`, and the state for the next call.

        Raises:
            ValueError: a pass runs backward, or the frame has another size than those before it.
        """
        check_causal_step(self.propagation, frame, state)
        feature = None
        if state is not None:
            feature = state.sources[0][0]
            flow = pair_flows(self.spynet, frame[:, None], state.frame[:, None])[:, 0] if flow is None else flow
        feature = self._propagate(self.get_submodule('forward_trunk'), feature, frame, self._extract(frame), flow)
        return self.reconstruct(feature, frame), CausalState(frame, None, [[feature]], ())

    def _extract(self, frame: Tensor) -> Tensor | None:
        return None if self.extractor is None else recompute(self.use_checkpoint, self.extractor, frame)

    def _propagate(
        self, trunk: nn.Module, feature: Tensor | None, frame: Tensor, current: Tensor | None, flow: Tensor | None
    ) -> Tensor:
        """Run a trunk on the frame, or its feature ``current``, and the neighbor's aligned (n, C, h, w) feature."""
        n, _, h, w = frame.shape
        if feature is None:
            aligned = frame.new_zeros(n, self.num_feat, h, w)
        else:
            assert flow is not None
            query = flow_warp(feature, flow) if current is None else current
            aligned = recompute(self.use_checkpoint, self.alignment, feature, query, flow)
        first = frame if self.trunk_input == 'image' or current is None else current
        return recompute(self.use_checkpoint, trunk, torch.cat([first, aligned], dim=1))

    def trunk_step(self, trunk: nn.Module, frame: Tensor, source: Tensor, flow: Tensor, has_source: Tensor) -> Tensor:
        """Compute a trunk's (n, C, h, w) feature of a frame, with or without a frame before it: for exported graphs.

        Args:
            trunk: the backward or the forward one.
            frame: (n, 3, h, w).
            source: (n, C, h, w) feature of the frame before in the pass.
            flow: (n, 2, h, w) to that frame.
            has_source: bool, (); false: there is none.
        """
        current = self._extract(frame)
        query = flow_warp(source, flow) if current is None else current
        aligned = torch.where(has_source, self.alignment(source, query, flow), torch.zeros_like(source))
        first = frame if self.trunk_input == 'image' or current is None else current
        return trunk(torch.cat([first, aligned], dim=1))  # type: ignore[no-any-return]

    def reconstruct(self, *features_and_frame: Tensor) -> Tensor:
        """Return the (n, 3, s·h, s·w) output for each pass's (n, C, h, w) feature and the (n, 3, h, w) frame."""
        *features, frame = features_and_frame
        x = F.leaky_relu(self.fusion(torch.cat(features, dim=1)), 0.1)
        if self.head == 'basicvsr':
            x = reconstruct_detail(self, x, self.scale)
        else:
            x = F.pixel_shuffle(self.conv_last(F.leaky_relu(self.conv_hr(x), 0.1)), self.scale)
        return x + upsample_bilinear(frame, self.scale)

    def compile_parts(self, **arguments: Any) -> None:
        """Compile alignment, trunks and feature extractor; arguments as for :func:`torch.compile`."""
        trunks = (self.get_submodule(f'{name}_trunk') for name in self.propagation.passes)
        for part in (self.alignment, *trunks, self.extractor):
            if part is not None:
                part.compile(**arguments)

    def layers_of_scale(self, state: Mapping[str, Tensor]) -> frozenset[str]:
        """Return the layers that start fresh from the weights of another scale: see :mod:`iart.archs.upsampler`."""
        return layers_of_scale(self, state)


def _check(num_feat: int, num_block: int, num_extract_block: int, trunk_input: str) -> None:
    for name, value, least in (
        ('num_feat', num_feat, 1),
        ('num_block', num_block, 0),
        ('num_extract_block', num_extract_block, 0),
    ):
        if value < least:
            raise ValueError(f'{name}: got {value}, expected {least} or more')
    if trunk_input == 'feature' and not num_extract_block:
        raise ValueError(
            'trunk_input: got feature with num_extract_block 0, expected image, or at least 1 block that extracts '
            'a feature'
        )
