"""Inputs that graphs are exported and checked with."""

import torch
from torch import Tensor

from iart.export.graph import Graph
from iart.export.graphs import WindowGraph

Size = tuple[int, int]
"""Height and width of LR frames."""


def sample(
    graph: Graph, size: Size, channels: int, dtype: torch.dtype, *, seed: int, first: bool = False
) -> list[Tensor]:
    """Return inputs for a graph: smooth frames, features around 0, flows of a few pixels.

    Args:
        graph: the graph.
        size: size (h, w) of the LR frames.
        channels: width C of the features.
        dtype: data type of the features.
        seed: other inputs for another number.
        first: inputs of the first step of a pass, before which there are no frames.
    """
    draw, (h, w) = torch.Generator().manual_seed(seed), size
    inputs = []
    for name in graph.inputs:
        if name in ('frame', 'next_frame', 'frames'):
            count = graph.count if isinstance(graph, WindowGraph) else 1
            frames = torch.rand(1, 3 * count, h, w, generator=draw)
            five = isinstance(graph, WindowGraph) and graph.five
            inputs.append(frames.unflatten(1, (count, 3)) if five else frames)
        elif name in ('flow', 'flow_before'):
            inputs.append(4 * torch.rand(1, 2, h, w, generator=draw) - 2)
        elif name in ('has1', 'has2'):
            inputs.append(torch.tensor(not first))
        else:
            inputs.append(torch.randn(1, channels, h, w, generator=draw).to(dtype) / 2)
    return inputs


def difference(got: Tensor, expected: Tensor) -> float:
    """Return the largest difference, relative to the largest value where that is above 1."""
    expected = expected.float()
    return float((got.float() - expected).abs().max() / expected.abs().max().clamp(min=1))
