"""Computes the flows that a training set keeps on disk, before training starts."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from iart import distributed, log
from iart.archs.flow import build_spynet, pair_flows
from iart.data.flow_cache import FlowCache
from iart.data.pairs import ClipInfo
from iart.errors import UserError
from iart.image import to_tensor

_PIXELS_AT_ONCE = 2**18  # of frames that the flow network sees in one call


def fill_flow_cache(dataset: Any, device: torch.device) -> None:
    """Compute the flows that are not in the data set's cache; the main process does it, the others wait.

    Args:
        dataset: a training set; nothing happens for one without ``flow_cache``.
        device: where to compute.

    Raises:
        UserError: weights or frames cannot be read, or the cache cannot be written; on every rank.
    """
    if getattr(dataset, 'flows', None) is None:
        return
    problem = None
    if distributed.is_main():
        try:
            _fill(dataset, dataset.flows, device)
        except UserError as error:
            problem = error
    problem = distributed.from_main(problem)
    if problem is not None:
        raise problem


def _fill(dataset: Any, cache: FlowCache, device: torch.device) -> None:
    missing = list(cache.missing(dataset.clips, dataset.interval_list))
    if not missing:
        return
    spynet = build_spynet(dataset.flow_cache['spynet_path']).to(device).eval()
    total = sum(len(clip.frames) - step for clip, step in missing)
    with log.Bar('flows of the training set', total, unit='pair') as bar, torch.inference_mode():
        for clip, step in missing:
            directions: list[list[torch.Tensor]] = [[], []]
            for there, back in _flows(spynet, dataset, clip, step, device):
                directions[0].append(there)
                directions[1].append(back)
                bar.advance(len(there))
            cache.write(clip, step, torch.stack([torch.cat(flows) for flows in directions]).numpy())


def _flows(
    spynet: torch.nn.Module, dataset: Any, clip: ClipInfo, step: int, device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the flows between frames ``step`` apart, and back: (pairs, 2, h, w) each, a few pairs at a time."""
    frames = [dataset.lq.read(clip.name, frame) for frame in clip.frames]
    pairs = len(frames) - step
    at_once = max(1, _PIXELS_AT_ONCE // (clip.size[0] * clip.size[1]))
    for start in range(0, pairs, at_once):
        stop = min(start + at_once, pairs)
        early, late = (to_tensor(np.stack(frames[start + s : stop + s])).unsqueeze(0).to(device) for s in (0, step))
        yield pair_flows(spynet, early, late)[0].cpu(), pair_flows(spynet, late, early)[0].cpu()
