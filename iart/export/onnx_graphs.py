"""ONNX files of a network's graphs, and ONNX Runtime to check them with."""

import importlib.util
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iart.errors import UserError
from iart.export.graph import Graph
from iart.export.programs import first_line, not_exportable, trace
from iart.export.runtime_checks import Run

OPSET = 18  # from 20 on GridSample has another definition, which TensorRT 10.13 computes wrongly


def require_onnx() -> None:
    """Raise UserError unless the packages of the extra ``[export]`` are installed."""
    missing = [name for name in ('onnx', 'onnxscript', 'onnxruntime') if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f'export: {", ".join(missing)} is not installed, expected  pip install "iart[export]"')


def write_onnx(path: Path, graph: Graph, inputs: Sequence[Tensor], any_size: bool) -> None:
    """Export a graph to an ONNX file.

    Args:
        path: the file.
        graph: in evaluation mode.
        inputs: see :func:`iart.export.samples.sample`.
        any_size: whether it takes frames of any height and width: see :func:`iart.export.programs.trace`.

    Raises:
        UserError: the graph cannot be exported; the message names the graph and the reason.
    """
    traced = trace(path.stem, graph, inputs, any_size)
    quiet = logging.getLogger('torch.onnx')
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            program: Any = torch.onnx.export(
                traced,
                tuple(inputs),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(graph.inputs),
                output_names=[graph.output],
                verbose=False,
            )
    except Exception as error:  # the exporter raises whatever it meets
        raise not_exportable(path.stem, error, any_size) from error
    finally:
        quiet.setLevel(level)
    program.save(path)


def load_onnx(path: Path, names: Sequence[str]) -> tuple[str, Run]:
    """Return the runtime's name and the function that runs an ONNX file in it, on the CPU.

    Args:
        path: the file.
        names: names of the graph's inputs.

    Raises:
        UserError: ONNX Runtime cannot read the file.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, settings, providers=['CPUExecutionProvider'])
    except Exception as error:  # the runtime has an exception of its own for each kind of failure
        raise UserError(
            f'{path}: ONNX Runtime cannot read it ({first_line(error)}), expected a graph that iart export wrote'
        ) from error

    def run(inputs: Sequence[Tensor]) -> Tensor:
        feed = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, feed)[0])

    return f'ONNX Runtime {onnxruntime.__version__}', run
