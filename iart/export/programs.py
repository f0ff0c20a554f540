"""``.pt2`` files of a network's graphs, as ``torch.export`` writes them, each run before it is kept."""

import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from iart.errors import UserError
from iart.export.graphs import Graph
from iart.export.onnx_graphs import MOST, Checked
from iart.export.samples import Size, difference, sample


def write_program(path: Path, graph: Graph, inputs: Sequence[torch.Tensor]) -> None:
    """Export a graph to a ``.pt2`` file for frames of one size.

    Raises:
        UserError: it cannot be exported; the message has the reason.
    """
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            torch.export.save(torch.export.export(graph, tuple(inputs)), path)
    except Exception as error:  # the exporter raises whatever it meets
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(f'export: {path.stem} cannot be exported ({type(error).__name__}: {reason[:200]})') from error


def check_program(
    path: Path, graph: Graph, reference: Graph, size: Size, channels: int, precision: str
) -> list[Checked]:
    """Load a ``.pt2`` file and run it; see :func:`iart.export.onnx_graphs.check_onnx`.

    Raises:
        UserError: it differs by more than is allowed.
    """
    module = torch.export.load(path).module()
    dtype = torch.float16 if precision == 'fp16' else torch.float32
    worst = Checked(path.stem, size, f'torch.export {torch.__version__}', -1.0, 0.0, 0.0)
    for seed, first in enumerate((False, True), start=1):
        inputs = sample(graph, size, channels, dtype, seed=seed, first=first)
        with torch.no_grad():
            began = time.perf_counter()
            got = module(*inputs)
            middle = time.perf_counter()
            expected = reference(*(x.float() if x.is_floating_point() else x for x in inputs))
            done = time.perf_counter()
        far = difference(got, expected)
        if not far <= worst.difference:
            worst = Checked(worst.graph, size, worst.runtime, far, middle - began, done - middle)
    if not worst.difference <= MOST[precision]:
        raise UserError(
            f'export: {path.stem} differs by {worst.difference:.1e} from torch, expected {MOST[precision]:.0e} or '
            'less; it is not kept'
        )
    return [worst]
