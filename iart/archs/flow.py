"""Optical flow between neighboring frames: SPyNet from BasicSR, its weights, other estimators, and the mirror short
cut.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iart import log
from iart.registry import FLOW_REGISTRY, SMALLEST_SIDE, build, spynet_class
from iart.weights import load_weights


def build_spynet(path: str | Path | None) -> nn.Module:
    """SPyNet with the weights of a file, or one that starts with zero flow.

    Args:
        path: ``.pth`` (key ``params``) or ``.safetensors``; None to start from scratch.

    Raises:
        WeightsError: the file is missing or does not fit.
    """
    spynet = spynet_class()()  # its own load_path is not used: our loader checks every name
    if path is not None:
        load_weights(spynet, path, optional=('mean', 'std'))
        return spynet
    # Random weights would send the alignment to random places; no motion is a better guess to learn from.
    for level in spynet.basic_module:
        nn.init.zeros_(level.basic_module[-1].weight)
        nn.init.zeros_(level.basic_module[-1].bias)
    return spynet


def build_flow(section: Mapping[str, Any] | None, spynet_path: str | None) -> nn.Module:
    """Build what a network gets its flow from: called with (b, 3, h, w) frames (from, to), it returns (b, 2, h, w)
    pixels.

    Args:
        section: ``network_g.flow``: ``{'type': name, ...}`` of :mod:`iart.archs.optical_flow`; None for SPyNet.
        spynet_path: weights of SPyNet; no effect on other types.

    Raises:
        OptionsError: no such type, or arguments that do not fit it.
        WeightsError: weights are missing or do not fit.
    """
    section = dict(section or {'type': 'spynet'})
    if section.get('type') == 'spynet':
        section.setdefault('path', spynet_path)
    elif spynet_path is not None:
        log.once(f'network_g.spynet_path has no effect with network_g.flow.type {section.get("type")}')
    return build(FLOW_REGISTRY, section, key='network_g.flow')


def comes_with_clip(flow: nn.Module | None) -> bool:
    """Return whether flow is delivered with the frames (``flow: {type: gt}``) and nothing estimates it."""
    return bool(getattr(flow, 'comes_with_clip', False))


def freeze_unreached(flow: nn.Module, align: nn.Module) -> None:
    """Freeze a flow estimator that gets no gradient: it cannot be trained, and data parallel training would wait for
    its gradients.

    Args:
        flow: the estimator.
        align: the network's alignment, or several in one module; whether one passes a gradient to the flow is its
            ``trains_flow``, which is true where an alignment does not say.
    """
    aligns = align.values() if isinstance(align, nn.ModuleDict) else [align]
    if not any(getattr(module, 'trains_flow', True) for module in aligns):
        flow.requires_grad_(False)


def is_mirrored(lq: Tensor) -> bool:
    """Whether the second half of (n, t, c, h, w) is the first half reversed in time, to the bit."""
    t = lq.shape[1]
    return t % 2 == 0 and torch.equal(lq[:, : t // 2], lq[:, t // 2 :].flip(1))


def neighbor_flows(spynet: nn.Module, lq: Tensor) -> tuple[Tensor, Tensor]:
    """Flows to the next and to the previous frame, in float32 under any autocast.

    Args:
        spynet: called with (b, 3, h, w) pairs (from, to).
        lq: (n, t, 3, h, w), t ≥ 2.

    Returns:
        backward: (n, t-1, 2, h, w) pixels; ``backward[:, i]`` leads from frame i to i+1;
        forward: the same shape; ``forward[:, i]`` leads from frame i+1 to i.
    """
    backward = pair_flows(spynet, lq[:, :-1], lq[:, 1:])
    return backward, backward.flip(1) if is_mirrored(lq) else pair_flows(spynet, lq[:, 1:], lq[:, :-1])


def pair_flows(spynet: nn.Module, start: Tensor, end: Tensor) -> Tensor:
    """Flows from one frame to the other of (n, p, 3, h, w) pairs, all at once: (n, p, 2, h, w) pixels, float32 under
    any autocast.
    """
    n, pairs, _, h, w = start.shape
    with torch.autocast(start.device.type, enabled=False):
        start, end = (pad_to(frames.float(), SMALLEST_SIDE).flatten(0, 1) for frames in (start, end))
        return spynet(start, end)[..., :h, :w].unflatten(0, (n, pairs))


def pad_to(lq: Tensor, smallest: int) -> Tensor:
    """Grow (n, t, c, h, w) frames at the bottom and right to at least ``smallest`` pixels a side.

    By reflection as far as the frame goes, then by repeating what there is; from 1 pixel up.
    """
    h, w = lq.shape[-2:]
    rows, columns = _reflected(h, max(h, smallest), lq.device), _reflected(w, max(w, smallest), lq.device)
    if len(rows) > h:
        lq = lq.index_select(-2, rows)
    return lq.index_select(-1, columns) if len(columns) > w else lq


def _reflected(size: int, wanted: int, device: torch.device) -> Tensor:
    """0 .. wanted−1 folded into 0 .. size−1 without repeating the edge."""
    period = max(2 * size - 2, 1)
    index = torch.arange(wanted, device=device) % period
    return torch.minimum(index, period - index) if size > 1 else torch.zeros_like(index)


def upsample(frames: Tensor, scale: int = 4) -> Tensor:
    """Bilinear ×scale of (n, c, h, w), the base that the network adds its detail to; at ×1 the frames themselves."""
    if scale == 1:
        return frames
    return F.interpolate(frames, scale_factor=scale, mode='bilinear', align_corners=False)
