"""RealVSR: a cleaning module before any network of the registry. Around BasicVSR it is RealBasicVSR."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from iart.archs.builder import build_network
from iart.archs.clip_frames import Clip, ClipFrames
from iart.archs.recompute_policy import recompute
from iart.archs.stores import Store, StoreFactory, stores, streams
from iart.registry import ARCH_REGISTRY, SUFFIX, residual_blocks_class

_MOST_PASSES = 3
_LEVELS = 255
# mmagic's names → BasicSR's. A layer of SPyNet there is a module of convolution and activation.
_RENAMED = (
    (r'^basicvsr\.', 'network.'),
    (r'\b(backward|forward)_resblocks\.', r'\1_trunk.'),
    (r'\bupsample([12])\.upsample_conv\.', r'upconv\1.'),
)
_FLOW_LAYER = re.compile(r'(\.basic_module\.\d+\.basic_module\.)(\d+)\.conv\.')
_DEFAULT = {'type': 'BasicVSR', 'num_feat': 64, 'num_block': 20}
_OURS: dict[str, dict[str, Any]] = {
    'BasicVSR': {'num_block': 15, 'num_extract_block': 0, 'alignment': {'type': 'FlowWarpAlignment'}},
}


@ARCH_REGISTRY.register(suffix=SUFFIX)
class RealVSR(nn.Module):
    """Clean the frames of a clip, then restore them (RealBasicVSR, Chan et al., CVPR 2022, section 3).

    (n, t, 3, h, w) RGB in [0, 1] → (n, t, 3, s·h, s·w). The cleaning module adds a residue to each frame. In evaluation
    mode it is applied again, at most three times, until the mean magnitude of the residues of a clip is below a
    threshold (dynamic refinement); in training once. Weights of mmagic's RealBasicVSR load: their names are translated.

    Args:
        network: ``{'type': name, ...}`` of the network that restores the cleaned frames; default RealBasicVSR's: a
            ``BasicVSR`` with 20 blocks. ``BasicVSR`` is built as an ``IABasicVSR`` with plain warping, which gives the
            same bits and restores clips of any length.
        num_cleaning_feat: width of the cleaning module.
        num_cleaning_block: its residual blocks.
        refine_threshold: threshold of the dynamic refinement, in gray levels; published: 1.5 for the model trained
            without, 5 for the one trained with a GAN loss. 255 always cleans once.
        use_checkpoint: recompute the cleaning module in the backward pass; the network has its own option.
        cpu_cache_length: a clip longer than this keeps its cleaned frames in host memory while a GPU computes.

    Raises:
        ValueError: a size does not fit.
        OptionsError: the network cannot be built.
    """

    def __init__(
        self,
        *,
        network: Mapping[str, Any] | None = None,
        num_cleaning_feat: int = 64,
        num_cleaning_block: int = 20,
        refine_threshold: float = 5.0,
        use_checkpoint: bool = False,
        cpu_cache_length: int = 100,
    ) -> None:
        super().__init__()
        if num_cleaning_feat < 1 or num_cleaning_block < 0:
            raise ValueError(
                f'num_cleaning_feat, num_cleaning_block: got {num_cleaning_feat}, {num_cleaning_block}, expected 1 or '
                'more and 0 or more'
            )
        if refine_threshold < 0:
            raise ValueError(f'refine_threshold: got {refine_threshold}, expected 0 or more')
        self.refine_threshold, self.use_checkpoint = refine_threshold, use_checkpoint
        self.cpu_cache_length = cpu_cache_length
        self.image_cleaning = nn.Sequential(
            residual_blocks_class()(3, num_cleaning_feat, num_cleaning_block),
            nn.Conv2d(num_cleaning_feat, 3, 3, padding=1),
        )
        self.network = build_network(streaming_section(network or _DEFAULT), key='network_g.network')
        self.scale = getattr(self.network, 'scale', 4)
        if not streams(self.network):
            self.frames = None  # type: ignore[assignment,method-assign]  # callers then restore whole clips

    @property
    def spynet(self) -> nn.Module | None:
        """The flow network of the inner network, if it has one."""
        return getattr(self.network, 'spynet', None)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore a clip: (n, t, 3, h, w) → (n, t, 3, s·h, s·w)."""
        if not self.training and streams(self):
            return torch.stack(list(self.frames(lq)), dim=1)
        return self.restore(self.clean(lq))

    def restore(self, cleaned: Tensor) -> Tensor:
        """Restore cleaned frames: (n, t, 3, h, w) → (n, t, 3, s·h, s·w)."""
        restored: Tensor = self.network(cleaned)
        return restored

    def clean(self, lq: Tensor) -> Tensor:
        """Return the cleaned (n, t, 3, h, w) frames; in evaluation mode with dynamic refinement."""
        for remaining in reversed(range(self._most_passes())):
            residue = recompute(self.use_checkpoint, self.image_cleaning, lq.flatten(0, 1)).unflatten(0, lq.shape[:2])
            lq = lq + residue
            if remaining and self._is_clean(residue.abs().mean()):
                break
        return lq

    def frames(self, lq: Clip, store: StoreFactory | None = None) -> Iterator[Tensor]:
        """Restore a clip frame by frame, as :meth:`iart.archs.iart_arch.IART.frames`; the cleaned frames are stored.

        Yields:
            t times (n, 3, s·h, s·w).

        Raises:
            ValueError: ``lq`` is neither a clip nor frames.
        """
        device = next(self.image_cleaning.parameters()).device
        clip = ClipFrames(lq, device, 1)
        if store is not None:
            yield from self._stream(clip, store)
            return
        outside = len(clip) > self.cpu_cache_length and not torch.is_grad_enabled()
        with stores('host' if outside else 'device', device) as store:
            yield from self._stream(clip, store)

    def _stream(self, clip: ClipFrames, store: StoreFactory) -> Iterator[Tensor]:
        cleaned = store(len(clip))
        source: ClipFrames | Store = clip
        for remaining in reversed(range(self._most_passes())):
            magnitude = clip[0].new_zeros(())
            for i in range(len(clip)):
                frame = source[i]
                residue = recompute(self.use_checkpoint, self.image_cleaning, frame)
                cleaned[i] = frame + residue
                magnitude = magnitude + residue.abs().mean().float()
            source = cleaned
            if remaining and self._is_clean(magnitude / len(clip)):
                break
        yield from self.network.frames(_Cleaned(cleaned), store)  # type: ignore[operator]

    def _most_passes(self) -> int:
        """Return how often frames are cleaned at most; once needs no look at the residues, which waits for a GPU."""
        return 1 if self.training or self.refine_threshold >= _LEVELS else _MOST_PASSES

    def _is_clean(self, magnitude: Tensor) -> bool:
        return bool(magnitude < self.refine_threshold / _LEVELS)

    def recompute_more(self) -> str | None:
        """Let the network recompute more in the backward pass; None where it cannot."""
        policy: Callable[[], str | None] = getattr(self.network, 'recompute_more', lambda: None)
        return policy()

    def from_released_name(self, name: str) -> str:
        """Translate a parameter's name of mmagic's RealBasicVSR, and of the inner network's released weights."""
        name = translated(name)
        inner: Callable[[str], str] = getattr(self.network, 'from_released_name', str)
        if name.startswith('network.'):
            return 'network.' + inner(name.removeprefix('network.'))
        return name

    def released_extras(self) -> dict[str, Tensor]:
        """Return what a released checkpoint of the inner network has beside its weights, under this one's names."""
        extras: Callable[[], Mapping[str, Tensor]] = getattr(self.network, 'released_extras', dict)
        return {f'network.{name}': tensor for name, tensor in extras().items()}

    def layers_of_scale(self, state: Mapping[str, Tensor]) -> frozenset[str]:
        """Return the layers that start fresh from the weights of another scale."""
        layers: Callable[[Mapping[str, Tensor]], frozenset[str]] = getattr(
            self.network, 'layers_of_scale', lambda _: frozenset()
        )
        inner = {k.removeprefix('network.'): t for k, t in state.items() if k.startswith('network.')}
        return frozenset(f'network.{name}' for name in layers(inner)) if inner else frozenset()


class _Cleaned:
    """A store of frames as a clip."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, index: int) -> Tensor:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._store[index]


def translated(name: str) -> str:
    """Return our name for a parameter of mmagic's RealBasicVSR; other names stay as they are."""
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return _FLOW_LAYER.sub(lambda match: f'{match[1]}{2 * int(match[2])}.', name)


def streaming_section(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section of a network with the same weights and outputs that restores frame by frame, if there is one.

    Args:
        section: ``{'type': name, ...}``.
    """
    if section.get('type') not in _OURS:
        return dict(section)
    return {**_OURS[section['type']], **section, 'type': 'IABasicVSR'}
