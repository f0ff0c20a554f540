"""Restoration of frames as they arrive: a network whose passes all run forward keeps a state of constant size.

The offline way (``IART.frames`` without gradients) takes these steps as well, so that both give the same bits.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from iart.archs.clip_frames import ClipFrames, Flows, given_flows
from iart.archs.flow import pair_flows
from iart.archs.fusion_backbone import Prepared
from iart.archs.propagation import aligned_frames, second_flow, source_of


@dataclass(frozen=True)
class CausalState:
    """What a causal network needs of the frames before, to restore the next one. The caller keeps it.

    It belongs to one stream of frames of one size, to the weights, the device and the precision of its first frame.
    Without one (None) a stream begins, or a shot: nothing of the frames before reaches the next one.

    Args:
        frame: (n, 3, h, w) the LR frame before, padded.
        flow: (n, 2, h, w) from that frame to the one before it; None after the first frame.
        sources: for each pass its last outputs, newest first, ready to be aligned.
        prepared: for each pass what its backbone needs beside its input; empty without backbones.
    """

    frame: Tensor
    flow: Tensor | None
    sources: Sequence[Sequence[Any]]
    prepared: Sequence[Prepared]


def advance(
    network: Any, frame: Tensor, state: CausalState | None, flow: Tensor | None = None
) -> tuple[Tensor, CausalState]:
    """Restore the next frame.

    Args:
        network: an :class:`~iart.archs.iart_arch.IART`.
        frame: (n, 3, h, w), large enough for the windows.
        state: state after the previous frame; None for the first frame.
        flow: (n, 2, h, w) to the frame before; None: the network estimates it.

    Returns:
        (n, 3, s·h, s·w), and the state for the next frame.

    Raises:
        ValueError: a pass runs backward, or the frame is not of the size of the one before.
    """
    propagation = network.propagation
    check_causal_step(propagation, frame, state)
    feature = network.first_feature(frame)
    far = None
    if state is None:
        flow = None
    elif flow is None:
        flow = pair_flows(network.spynet, frame[:, None], state.frame[:, None])[:, 0]
    if flow is not None and state is not None and state.flow is not None and propagation.order == 2:
        far = second_flow(flow, state.flow)
    sources = []
    prepared = _prepare(network, frame) if state is None else state.prepared
    for number, name in enumerate(propagation.passes):
        align, before = network.alignment_of(name), () if state is None else state.sources[number]
        fuse = partial(network.swin_backbone[name], prepared=prepared[number])
        feature = fuse(aligned_frames(feature, before, flow, far, align, propagation.order))
        sources.append((source_of(align)(feature), *before[: propagation.order - 1]))
    return network.reconstruct(feature, frame), CausalState(frame, flow, sources, prepared)


def check_causal_step(propagation: Any, frame: Tensor, state: CausalState | None) -> None:
    """Raise ValueError unless all passes run forward and the frame has the size of the one before."""
    if not propagation.causal:
        raise ValueError(
            f'propagation.passes: got {list(propagation.passes)}, expected names that all begin with forward, as a '
            'network needs that restores each frame when it comes'
        )
    if state is not None and state.frame.shape != frame.shape:
        raise ValueError(f'got a frame of shape {tuple(frame.shape)}, expected {tuple(state.frame.shape)} as before')


def causal_frames(
    network: Any, clip: ClipFrames, flows: Flows | None, step: Callable[..., tuple[Tensor, CausalState]] = advance
) -> Iterator[Tensor]:
    """Yield all frames of a clip, (n, 3, s·h, s·w), one step each.

    Args:
        network: a causal network.
        clip: the frames.
        flows: as for ``IART.frames``; those to the frame before are used.
        step: restores a frame, as :func:`advance` does.
    """
    height, width = (network.scale * side for side in clip.size)
    given = given_flows(network.spynet, clip, flows)
    state: CausalState | None = None
    for i, frame in enumerate(clip):
        sr, state = step(network, frame, state, given[1][i - 1] if given and i else None)
        yield sr[..., :height, :width]


def _prepare(network: Any, frame: Tensor) -> list[Prepared]:
    backbones: list[Any] = [network.swin_backbone[name] for name in network.propagation.passes]
    n, _, h, w = frame.shape
    layouts = backbones[0].layouts((n, h, w), frame.device)  # the same for all passes
    return [backbone.prepare(layouts) for backbone in backbones]


def is_causal(network: nn.Module) -> bool:
    """Return whether a network restores frames as they arrive, by ``step(frame, state)``."""
    return bool(getattr(getattr(network, 'propagation', None), 'causal', False))
