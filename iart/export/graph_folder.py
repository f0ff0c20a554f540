"""``iart export``: from a weight file to a folder of graphs."""

import copy
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from iart.archs.builder import build_network
from iart.archs.recognize import require_section
from iart.errors import SettingError, UserError
from iart.export.flow_graphs import AnySizeFlowGraph
from iart.export.graph import SMALLEST_OF_ANY, SMALLEST_SIDE, Graph
from iart.export.graphs import ClipGraphs, WindowGraph
from iart.export.onnx_graphs import OPSET, load_onnx, require_onnx, write_onnx
from iart.export.programs import load_program, write_program
from iart.export.runtime_checks import TOLERANCES, Checked, check
from iart.export.samples import Size, sample
from iart.files import folder_written_atomically, named_errors
from iart.log import logger, table
from iart.version import __version__
from iart.weights import load_weights

MANIFEST = 'graphs.json'
# Graphs for any size are traced at one size and checked at two others: of whole windows, and of no whole window.
_TRACED, _CHECKED = (70, 101), ((64, 96), (83, 69))
_SECOND = ((20, 28), (28, 20))  # a graph for one size is also made and checked for the first of these that differs


@dataclass(frozen=True)
class ExportOptions:
    """What to export.

    Args:
        format: ``onnx`` or ``pt2``.
        size: (h, w) of the LR frames, the only one that a graph takes; None: any, from 64 pixels a side.
        window: number of frames of a graph without state; None: graphs of steps.
        middle: the window's graph gives its middle frame only.
        five: the window's graph takes (1, T, 3, h, w) instead of (1, T·3, h, w).
        half: weights and features in float16; flows, frames and the network of flow stay in float32.

    Raises:
        SettingError: values that do not go together.
    """

    format: Literal['onnx', 'pt2'] = 'onnx'
    size: Size | None = (180, 320)
    window: int | None = None
    middle: bool = False
    five: bool = False
    half: bool = False

    def __post_init__(self) -> None:
        if self.size is not None and min(self.size) < SMALLEST_SIDE:
            height, width = self.size
            raise SettingError('size', f'got {width}x{height}, expected {SMALLEST_SIDE} pixels a side or more')
        if self.window is not None and self.window < 1:
            raise SettingError('window', f'got {self.window}, expected 1 frame or more')
        if self.window is None and (self.middle or self.five):
            raise SettingError('middle' if self.middle else 'five', 'got it without --window, expected both')


def export(file: Path, out: Path, options: ExportOptions, key: str = 'params') -> list[Checked]:
    """Export a network to a folder, which appears once every graph in it has been run and compared with torch.

    Args:
        file: the weights.
        out: the folder to create.
        options: what to export.
        key: entry of a ``.pth`` that holds the weights.

    Returns:
        One comparison with torch per graph and size.

    Raises:
        UserError: the folder exists, packages are missing, a graph cannot be exported or differs from torch.
    """
    if out.exists():
        raise UserError(f'{out}: exists already, expected the name of a folder to create')
    if options.format == 'onnx':
        require_onnx()
    section = exportable_section(file, key)
    network = build_network(section)
    load_weights(network, file, key)
    with named_errors(out), folder_written_atomically(out) as folder:
        rows = write_graphs(network, folder, options)
        written = {**_facts(network, section, options), 'checked': [vars(row) for row in rows]}
        (folder / MANIFEST).write_text(json.dumps(written, indent=1) + '\n', encoding='utf-8')
    _show(rows)
    logger.info(f'wrote {out}: {len({row.graph for row in rows})} graphs of {section["type"]}, {MANIFEST}')
    return rows


def exportable_section(file: Path, key: str) -> dict[str, Any]:
    """Return the ``network_g`` section of a weight file; BasicSR's BasicVSR as the IABasicVSR that it equals."""
    section = require_section(file, key)
    if section['type'] == 'BasicVSR':
        warp = {'num_extract_block': 0, 'alignment': {'type': 'FlowWarpAlignment'}}
        section = {**section, 'type': 'IABasicVSR', **warp}
    return section


def write_graphs(network: nn.Module, folder: Path, options: ExportOptions) -> list[Checked]:
    """Write every graph into a folder and run it at two sizes; see :func:`export`.

    A graph for any size is run at both. One for a single size is written and run for the second, too, but not kept.
    """
    reference = ClipGraphs(network.eval())
    graphs = ClipGraphs(copy.deepcopy(network).half() if options.half else network)
    graphs.flow = reference.flow if options.size else AnySizeFlowGraph(network)
    if options.size is None:
        return _write(graphs, reference, folder, options, _TRACED, _CHECKED)
    rows = _write(graphs, reference, folder, options, options.size, [options.size])
    second = next(size for size in _SECOND if size != options.size)
    with tempfile.TemporaryDirectory(dir=folder) as other:
        rows += _write(graphs, reference, Path(other), options, second, [second])
    return rows


def _write(
    graphs: ClipGraphs, reference: ClipGraphs, folder: Path, options: ExportOptions, traced: Size, sizes: Sequence[Size]
) -> list[Checked]:
    """Write the graphs with inputs of one size and run them at ``sizes``."""
    precision, dtype = ('fp16', torch.float16) if options.half else ('fp32', torch.float32)
    parts, references = _parts(graphs, options), _parts(reference, options)
    rows: list[Checked] = []
    for name, graph in parts.items():
        logger.info(f'{name}, {f"{traced[1]}×{traced[0]}" if options.size else "any size"}: exporting')
        inputs = sample(graph.eval(), traced, graphs.channels, dtype, seed=0)
        path = folder / f'{name}.{options.format}'
        if options.format == 'onnx':
            write_onnx(path, graph, inputs, options.size is None)
            runtime, run = load_onnx(path, graph.inputs)
        else:
            write_program(path, graph, inputs, options.size is None)
            runtime, run = load_program(path)
        for size in sizes:
            rows.append(check(name, runtime, run, graph, references[name], size, graphs.channels, precision))
            logger.info(f'{name} at {size[1]}×{size[0]}: largest difference {rows[-1].difference:.1e} in {runtime}')
    return rows


def _parts(graphs: ClipGraphs, options: ExportOptions) -> dict[str, Graph]:
    if options.window is None:
        return graphs.parts()
    return {'window': WindowGraph(graphs, options.window, middle=options.middle, five=options.five)}


def _facts(network: nn.Module, section: dict[str, Any], options: ExportOptions) -> dict[str, Any]:
    graphs = ClipGraphs(network)
    return {
        'iart': __version__,
        'format': options.format,
        'opset': OPSET if options.format == 'onnx' else None,
        'precision': 'fp16' if options.half else 'fp32',
        'size': options.size,
        'smallest': SMALLEST_OF_ANY if options.size is None else None,
        'scale': graphs.scale,
        'channels': graphs.channels,
        'passes': graphs.passes,
        'window': options.window,
        'tolerance': TOLERANCES['fp16' if options.half else 'fp32'],
        'graphs': {
            name: {'inputs': graph.inputs, 'output': graph.output} for name, graph in _parts(graphs, options).items()
        },
        'network_g': section,
    }


def _show(rows: list[Checked]) -> None:
    table(
        'Exported graphs beside torch',
        ['graph', 'size', 'runtime', 'largest difference', 'time', 'torch'],
        (
            (
                r.graph,
                f'{r.size[1]}×{r.size[0]}',
                r.runtime,
                f'{r.difference:.1e}',
                f'{r.seconds:.3f} s',
                f'{r.torch_seconds:.3f} s',
            )
            for r in rows
        ),
    )
