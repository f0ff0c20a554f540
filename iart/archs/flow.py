"""Optical flow between neighboring frames: BasicSR's SPyNet, its weights, other estimators, mirrored clips."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from iart import log
from iart.registry import FLOW_REGISTRY, SMALLEST_SIDE, build, spynet_class
from iart.weights import load_weights


def build_spynet(path: str | Path | None) -> nn.Module:
    """Build SPyNet with the weights of a file, or one that starts with zero flow.

    Args:
        path: a ``.pth`` (key ``params``) or ``.safetensors`` file; None for zero flow.

    Raises:
        WeightsError: the file is missing or does not fit.
    """
    spynet = spynet_class()()  # its own load_path is not used: our loader checks every name
    if path is not None:
        load_weights(spynet, path, optional=('mean', 'std'))
        return spynet
    # Random weights would send the alignment to random positions; no motion is a better start for training.
    for level in spynet.basic_module:
        nn.init.zeros_(level.basic_module[-1].weight)
        nn.init.zeros_(level.basic_module[-1].bias)
    return spynet


def build_flow(section: Mapping[str, Any] | None, spynet_path: str | None) -> nn.Module:
    """Build the flow estimator of a network: (b, 3, h, w) frames (from, to) → (b, 2, h, w) flow in pixels.

    Args:
        section: ``network_g.flow``: ``{'type': name, ...}`` of :mod:`iart.archs.optical_flow`; None for SPyNet.
        spynet_path: weight file of SPyNet; no effect on other types.

    Raises:
        OptionsError: there is no such type, or its arguments do not fit.
        WeightsError: weights are missing or do not fit.
    """
    section = dict(section or {'type': 'spynet'})
    if section.get('type') == 'spynet':
        section.setdefault('path', spynet_path)
    elif spynet_path is not None:
        log.once(f'network_g.spynet_path has no effect with network_g.flow.type {section.get("type")}')
    return build(FLOW_REGISTRY, section, key='network_g.flow')


def comes_with_clip(flow: nn.Module | None) -> bool:
    """Return whether the flow comes with the frames (``flow: {type: gt}``) instead of being estimated."""
    return bool(getattr(flow, 'comes_with_clip', False))


def freeze_unreached(flow: nn.Module, align: nn.Module) -> None:
    """Freeze a flow estimator that no gradient reaches; data parallel training would wait for its gradients.

    Args:
        flow: the estimator.
        align: the network's alignment, or a ``ModuleDict`` of several; its attribute ``trains_flow`` (default true)
            is whether it passes a gradient to the flow.
    """
    aligns = align.values() if isinstance(align, nn.ModuleDict) else [align]
    if not any(getattr(module, 'trains_flow', True) for module in aligns):
        flow.requires_grad_(False)


_known: Iterator[bool] | None = None  # answers of is_mirrored


@contextmanager
def known_mirrored(answers: Iterable[bool]) -> Iterator[None]:
    """Let the next calls of :func:`is_mirrored` give these answers instead of asking the device for them."""
    global _known
    _known = iter(answers)
    try:
        yield
    finally:
        _known = None


def is_mirrored(lq: Tensor) -> bool:
    """Return whether the second half of (n, t, c, h, w) is bit-exactly the first half reversed in time."""
    if _known is not None:
        return next(_known)
    t = lq.shape[1]
    return t % 2 == 0 and torch.equal(lq[:, : t // 2], lq[:, t // 2 :].flip(1))


def neighbor_flows(spynet: nn.Module, lq: Tensor) -> tuple[Tensor, Tensor]:
    """Return the flows to the next and to the previous frame, in float32 under any autocast.

    Args:
        spynet: the flow network, called with (b, 3, h, w) frames (from, to).
        lq: (n, t, 3, h, w) frames, t ≥ 2.

    Returns:
        backward: (n, t-1, 2, h, w) pixels; ``backward[:, i]`` leads from frame i to i+1;
        forward: the same shape; ``forward[:, i]`` leads from frame i+1 to i.
    """
    backward = pair_flows(spynet, lq[:, :-1], lq[:, 1:])
    return backward, backward.flip(1) if is_mirrored(lq) else pair_flows(spynet, lq[:, 1:], lq[:, :-1])


def pair_flows(spynet: nn.Module, start: Tensor, end: Tensor) -> Tensor:
    """Return the flows of p pairs of frames in one call, in float32 under any autocast.

    Args:
        spynet: the flow network, called with (b, 3, h, w) frames (from, to).
        start, end: (n, p, 3, h, w) frames.

    Returns:
        (n, p, 2, h, w) flows from ``start`` to ``end`` in pixels.
    """
    n, pairs, _, h, w = start.shape
    with torch.autocast(start.device.type, enabled=False):
        start, end = (pad_to(frames.float(), SMALLEST_SIDE).flatten(0, 1) for frames in (start, end))
        return spynet(start, end)[..., :h, :w].unflatten(0, (n, pairs))


def pad_to(lq: Tensor, smallest: int) -> Tensor:
    """Pad (n, t, c, h, w) frames at the bottom and right to at least ``smallest`` pixels a side.

    The frame is reflected as often as needed, from 1 pixel up.
    """
    h, w = lq.shape[-2:]
    if h >= smallest and w >= smallest:
        return lq
    rows, columns = _reflected(h, max(h, smallest), lq.device), _reflected(w, max(w, smallest), lq.device)
    if len(rows) > h:
        lq = lq.index_select(-2, rows)
    return lq.index_select(-1, columns) if len(columns) > w else lq


def _reflected(size: int, padded: int, device: torch.device) -> Tensor:
    """Return the indices 0 .. padded−1 folded into 0 .. size−1 by reflection that does not repeat the edge."""
    period = max(2 * size - 2, 1)
    index = torch.arange(padded, device=device) % period
    return torch.minimum(index, period - index) if size > 1 else torch.zeros_like(index)
