"""Trained networks, and what their alignments get: the features on which an alignment is to be measured."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from iart.analysis.known_flow import Pair
from iart.archs.builder import build_network
from iart.archs.recognize import network_section
from iart.errors import WeightsError, listing
from iart.options import load
from iart.registry import ALIGNMENT_REGISTRY, ours
from iart.weights import load_weights

NETWORKS = ('AlignmentStudyNet', 'IABasicVSR', 'IART')


class Inputs(NamedTuple):
    """What an alignment gets for a scene without motion."""

    source: Tensor
    """(n, C, h, w) feature of the neighboring frame."""
    current: Tensor
    """(n, C, h, w) feature of the current frame, which an alignment by attention compares with the source."""


class TrainedNetwork:
    """A trained network and its alignment.

    Args:
        path: weights of one of ``NETWORKS``. Beside the ``models`` folder of a training run, its options are used;
            elsewhere those stored in the file, or what the shapes of the weights determine.

    Raises:
        WeightsError: the file is missing, is of another network, or has an alignment of two neighbors at once.
    """

    def __init__(self, path: Path) -> None:
        in_a_run = path.parent.name == 'models'
        self.label = path.parent.parent.name if in_a_run else path.stem
        options = path.parent.parent / 'options.yml'
        section = load(options).network_g if in_a_run and options.is_file() else network_section(path)
        kind = section['type'] if section else 'an unknown network'
        if section is None or kind not in NETWORKS:
            raise WeightsError(f'--weights: {path}: got weights of {kind}, expected {listing(NETWORKS)}')
        self.network = build_network(section).eval()
        load_weights(self.network, path)
        self.align = alignment_of(self.network)
        if getattr(self.align, 'joint', False):
            raise WeightsError(
                f'--weights: {path}: got an alignment that takes both neighbors at once, expected one of a single '
                'neighbor'
            )

    def pairs(self, dataset: Any) -> Iterator[Pair]:
        """Yield neighboring frames of a rendered set with their exact flow, as the alignment gets them.

        Args:
            dataset: a :class:`iart.data.exact_flow_dataset.SyntheticFlowTestDataset`.
        """
        for lq, flows, hidden in _clips(dataset):
            sources, currents = (feature.split(1) for feature in inputs_of(self.network, lq.unbind()))
            for i, (flow, unseen) in enumerate(zip(flows, hidden, strict=True)):
                yield Pair(sources[i + 1], currents[i], flow[None], unseen, sources[i])


@torch.no_grad()
def inputs_of(network: nn.Module, frames: Sequence[Tensor]) -> Inputs:
    """Return what a network's alignment gets when each frame is followed by itself.

    In a recurrent network this is the first call of its first pass: the source has not been propagated yet, so that it
    depends on one frame only, as the current feature does.

    Args:
        network: one of ``NETWORKS``.
        frames: n frames (3, h, w), RGB in [0, 1].
    """
    align = alignment_of(network)
    lq = torch.stack(list(frames))[:, None].expand(-1, 2, -1, -1, -1)
    still = lq.new_zeros(len(lq), 1, 2, *lq.shape[-2:])
    prepared: list[tuple[Any, Tensor]] = []
    prepare = getattr(align, 'prepare', None)

    def keep_source(source: Tensor) -> Any:
        assert prepare is not None
        prepared.append((prepare(source), source))
        return prepared[-1][0]

    def stop(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        raise _FirstCallError(*arguments[:2])

    hook = align.register_forward_pre_hook(stop)
    if prepare is not None:
        align.prepare = keep_source  # type: ignore[assignment]  # the network may prepare the source itself
    try:
        network(lq, (still, still))
    except _FirstCallError as call:
        source = next((raw for ready, raw in prepared if ready is call.source), call.source)
        return Inputs(source, call.current)
    finally:
        hook.remove()
        if prepare is not None:
            del align.prepare
    raise AssertionError('a network aligns when it gets two frames')


def alignment_of(network: nn.Module) -> nn.Module:
    """Return a network's alignment; that of the first pass, where passes have their own."""
    names = ours(ALIGNMENT_REGISTRY)
    return next(module for module in network.modules() if type(module).__name__ in names)


def distinct(networks: Sequence[TrainedNetwork]) -> dict[str, TrainedNetwork]:
    """Return networks by their labels, with numbers for those of the same label."""
    named: dict[str, TrainedNetwork] = {}
    for network in networks:
        count = sum(other.label == network.label for other in named.values())
        named[f'{network.label}_{count + 1}' if count else network.label] = network
    return named


class _FirstCallError(Exception):
    """Leaves a network when its alignment is called for the first time."""

    def __init__(self, source: Any, current: Tensor) -> None:
        super().__init__()
        self.source, self.current = source, current


def image_pairs(dataset: Any) -> Iterator[Pair]:
    """Yield neighboring LR frames of a rendered set with their exact flow, for alignments without parameters."""
    for lq, flows, hidden in _clips(dataset):
        for i, (flow, unseen) in enumerate(zip(flows, hidden, strict=True)):
            yield Pair(lq[i + 1 : i + 2], lq[i : i + 1], flow[None], unseen, lq[i : i + 1])


def _clips(dataset: Any) -> Iterator[tuple[Tensor, Tensor, Any]]:
    """Yield (t, 3, h, w) frames, (t − 1, 2, h, w) flows to the next one, and (t − 1, h, w) where it is hidden."""
    for number, clip in enumerate(dataset.clips):
        flows = torch.from_numpy(dataset.read_flows(number)[0].copy())
        yield dataset[number]['lq'], flows, np.array(dataset.store.array(clip.name, 'hidden')[0])
