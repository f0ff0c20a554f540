"""ONNX files of a network's graphs, each run in ONNX Runtime against torch before it is kept."""

import importlib.util
import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from iart.errors import UserError
from iart.export.graphs import Graph
from iart.export.samples import Size, difference, sample

OPSET = 18  # from 20 on GridSample has another definition, which TensorRT 10.13 computes wrongly
MOST = {'fp32': 1e-4, 'fp16': 2e-2}
"""Largest difference to torch in float32, relative where values are above 1, by precision."""


@dataclass(frozen=True)
class Checked:
    """One run of an exported graph beside torch.

    Args:
        graph: name of the graph.
        size: size (h, w) of the LR frames.
        runtime: what ran it.
        difference: the largest one, relative to the largest value where that is above 1.
        seconds: that a run took.
        torch_seconds: that torch took.
    """

    graph: str
    size: Size
    runtime: str
    difference: float
    seconds: float
    torch_seconds: float


def require_onnx() -> None:
    """Raise UserError unless the packages of the extra ``[export]`` are installed."""
    missing = [name for name in ('onnx', 'onnxscript', 'onnxruntime') if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f'export: {", ".join(missing)} is not installed, expected  pip install "iart[export]"')


def write_onnx(path: Path, graph: Graph, inputs: Sequence[torch.Tensor]) -> None:
    """Export a graph to an ONNX file for frames of one size.

    Args:
        path: the file.
        graph: in evaluation mode.
        inputs: see :func:`iart.export.samples.sample`.

    Raises:
        UserError: the graph cannot be exported; the message names the graph and the reason.
    """
    quiet = logging.getLogger('torch.onnx')
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            program: Any = torch.onnx.export(
                graph,
                tuple(inputs),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(graph.inputs),
                output_names=[graph.output],
                verbose=False,
            )
    except Exception as error:  # the exporter raises whatever it meets
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(f'export: {path.stem} cannot be exported ({type(error).__name__}: {reason[:200]})') from error
    finally:
        quiet.setLevel(level)
    program.save(path)


def check_onnx(path: Path, graph: Graph, reference: Graph, size: Size, channels: int, precision: str) -> list[Checked]:
    """Run an ONNX file in ONNX Runtime on the CPU, for the first step of a pass and a later one.

    Args:
        path: the file.
        graph: what was exported.
        reference: the same in float32.
        size: of LR frames.
        channels: width C of the features.
        precision: ``fp32`` or ``fp16``.

    Returns:
        The worse of the two runs.

    Raises:
        UserError: it differs by more than :data:`MOST`.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, settings, providers=['CPUExecutionProvider'])
    dtype = torch.float16 if precision == 'fp16' else torch.float32
    worst = Checked(path.stem, size, f'ONNX Runtime {onnxruntime.__version__}', -1.0, 0.0, 0.0)
    for seed, first in enumerate((False, True), start=1):
        inputs = sample(graph, size, channels, dtype, seed=seed, first=first)
        feed = {name: x.numpy() for name, x in zip(graph.inputs, inputs, strict=True)}
        began = time.perf_counter()
        (got,) = session.run(None, feed)
        middle = time.perf_counter()
        with torch.no_grad():
            expected = reference(*(x.float() if x.is_floating_point() else x for x in inputs))
        done = time.perf_counter()
        far = difference(torch.from_numpy(got), expected)
        if not far <= worst.difference:
            worst = Checked(worst.graph, size, worst.runtime, far, middle - began, done - middle)
    if not worst.difference <= MOST[precision]:
        raise UserError(
            f'export: {path.stem} at {size[1]}×{size[0]} differs by {worst.difference:.1e} from torch in ONNX '
            f'Runtime, expected {MOST[precision]:.0e} or less; it is not kept'
        )
    return [worst]
