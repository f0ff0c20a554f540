"""Comparison of an exported graph with torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from iart.errors import UserError
from iart.export.graph import Graph
from iart.export.samples import Size, difference, sample
from iart.stopwatch import timed

TOLERANCES = {'fp32': 1e-4, 'fp16': 2e-2}
"""Largest difference from torch in float32, relative where values are above 1, by precision."""

Run = Callable[[Sequence[Tensor]], Tensor]
"""Runs an exported graph with its inputs."""


@dataclass(frozen=True)
class Checked:
    """One run of an exported graph beside torch.

    Args:
        graph: name of the graph.
        size: size (h, w) of the LR frames.
        runtime: the runtime that ran it.
        difference: the largest one, relative to the largest value where that is above 1.
        seconds: time of that run.
        torch_seconds: time of the same in torch.
    """

    graph: str
    size: Size
    runtime: str
    difference: float
    seconds: float
    torch_seconds: float


def check(
    name: str, runtime: str, run: Run, graph: Graph, reference: Graph, size: Size, channels: int, precision: str
) -> Checked:
    """Run an exported graph on the CPU, for the first step of a pass and for a later one.

    Args:
        name: name of the graph.
        runtime: name of the runtime.
        run: runs the exported graph.
        graph: what was exported.
        reference: the same in torch and float32.
        size: size (h, w) of the LR frames.
        channels: width C of the features.
        precision: ``fp32`` or ``fp16``.

    Returns:
        The worse of the two runs.

    Raises:
        UserError: it differs by more than :data:`TOLERANCES`.
    """
    dtype = torch.float16 if precision == 'fp16' else torch.float32
    rows = []
    for seed, first in enumerate((False, True), start=1):
        inputs = sample(graph, size, channels, dtype, seed=seed, first=first)
        with torch.no_grad():
            got, seconds = timed(partial(run, inputs))
            wide = [x.float() if x.is_floating_point() else x for x in inputs]
            expected, torch_seconds = timed(partial(reference, *wide))
        rows.append(Checked(name, size, runtime, difference(got, expected), seconds, torch_seconds))
    if wrong := [row for row in rows if not row.difference <= TOLERANCES[precision]]:  # NaN is not less than anything
        raise UserError(
            f'export: {name} at {size[1]}×{size[0]} differs by {wrong[0].difference:.1e} from torch in {runtime}, '
            f'expected {TOLERANCES[precision]:.0e} or less; it is not kept'
        )
    return max(rows, key=lambda row: row.difference)
