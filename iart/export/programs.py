"""Programs of ``torch.export``: what ONNX files are made from, and ``.pt2`` files."""

import inspect
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from iart.errors import DataError, UserError
from iart.export.graph import SMALLEST_OF_ANY, Graph
from iart.export.runtime_checks import Run

_DEFERRED = 'prefer_deferred_runtime_asserts_over_guards'
"""What is assumed of a size and cannot be proved for all of them does not stop the export."""


def takes_any_size() -> bool:
    """Return whether this torch can export graphs for frames of any size."""
    return _DEFERRED in inspect.signature(torch.export.export).parameters


def trace(name: str, graph: Graph, inputs: Sequence[Tensor], any_size: bool) -> ExportedProgram:
    """Return a graph as a program of ``torch.export``.

    Args:
        name: name of the graph.
        graph: in evaluation mode.
        inputs: see :func:`iart.export.samples.sample`.
        any_size: whether the program takes frames of any height and width, from :data:`SMALLEST_OF_ANY`.

    Raises:
        UserError: it cannot be exported; the message has the reason.
    """
    chosen: dict[str, Any] = {'strict': False}  # traces by running, as torch does by default from 2.7 on
    if any_size:
        if not takes_any_size():
            raise UserError(f'export: got torch {torch.__version__}, expected a newer one for --size any (tried: 2.14)')
        chosen |= {'dynamic_shapes': _any_height_and_width(graph, inputs), _DEFERRED: True}
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            program = torch.export.export(graph, tuple(inputs), **chosen)
    except Exception as error:  # the exporter raises whatever it meets
        raise not_exportable(name, error, any_size) from error
    if any_size:
        _drop_assertions(program)
    return program


def _drop_assertions(program: ExportedProgram) -> None:
    """Remove what was deferred: it holds for sizes like the traced one, such as "padding is needed". The command
    compares the results with the network's at two sizes."""
    for node in list(program.graph.nodes):
        if node.target is torch.ops.aten._assert_scalar.default:
            program.graph.erase_node(node)
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()


def _any_height_and_width(graph: Graph, inputs: Sequence[Tensor]) -> tuple[Any, ...]:
    sides = {-2: Dim('height', min=SMALLEST_OF_ANY), -1: Dim('width', min=SMALLEST_OF_ANY)}
    shapes = tuple({x.ndim + side: dim for side, dim in sides.items()} if x.ndim >= 4 else None for x in inputs)
    kinds = [parameter.kind for parameter in inspect.signature(graph.forward).parameters.values()]
    named = len(kinds) - kinds.count(inspect.Parameter.VAR_POSITIONAL)
    return shapes if named == len(kinds) else (*shapes[:named], shapes[named:])


def not_exportable(name: str, error: Exception, any_size: bool) -> UserError:
    """Return the message for what an exporter raised."""
    remedy = ', expected --size WIDTHxHEIGHT' if any_size else ''
    of_any = ' for frames of any size' if any_size else ''
    return UserError(f'export: {name} cannot be exported{of_any}{remedy} ({type(error).__name__}: {first_line(error)})')


def write_program(path: Path, graph: Graph, inputs: Sequence[Tensor], any_size: bool) -> None:
    """Export a graph to a ``.pt2`` file; see :func:`trace`."""
    torch.export.save(trace(path.stem, graph, inputs, any_size), path)


def load_program(path: Path) -> tuple[str, Run]:
    """Return the runtime's name and the function that runs a ``.pt2`` file.

    Raises:
        UserError: the file cannot be read. The function raises DataError for inputs that the program does not take.
    """
    try:
        module = torch.export.load(path).module()
    except Exception as error:  # of the archive, of pickle, or of the program's form
        raise UserError(
            f'{path}: torch.export cannot read it ({first_line(error)}), expected a program that  iart export  wrote'
        ) from error

    def run(inputs: Sequence[Tensor]) -> Tensor:
        try:
            result: Tensor = module(*inputs)
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:  # the program's checks of its inputs
            got = ', '.join(str(tuple(x.shape)) for x in inputs)
            raise DataError(
                f'{path}: got inputs of shapes {got}, expected those of the export ({first_line(error)})'
            ) from error
        return result

    return f'torch.export {torch.__version__}', run


def first_line(error: Exception) -> str:
    """Return the beginning of an exporter's or runtime's message, which may have many lines."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
