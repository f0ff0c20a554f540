"""Exported graphs that restore clips: ONNX files by ONNX Runtime, ``.pt2`` programs by torch."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iart.errors import DataError, UserError
from iart.export.graph_folder import MANIFEST
from iart.export.graphs import restore
from iart.export.onnx_graphs import load_onnx, require_onnx
from iart.export.programs import load_program


class ExportedGraph:
    """A graph that another runtime runs.

    Args:
        folder: folder that ``iart export`` wrote.
        name: name of the graph.
        facts: contents of its ``graphs.json``.
    """

    def __init__(self, folder: Path, name: str, facts: dict[str, Any]) -> None:
        self.inputs: tuple[str, ...] = tuple(facts['graphs'][name]['inputs'])
        path = folder / f'{name}.{facts["format"]}'
        load = load_onnx(path, self.inputs) if facts['format'] == 'onnx' else load_program(path)
        self._run = load[1]

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return the graph's output."""
        return self._run(inputs)


class ExportedNetwork:
    """A network in the graphs that ``iart export`` wrote: flow, steps and reconstruction.

    Args:
        folder: the folder.

    Raises:
        UserError: it is not such a folder, or has one graph of a window; ONNX Runtime is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.facts = folder, _facts(folder)
        if self.facts['format'] == 'onnx':
            require_onnx()
        self._graphs = {name: ExportedGraph(folder, name, self.facts) for name in self.facts['graphs']}

    @torch.no_grad()
    def __call__(self, clip: Tensor) -> Tensor:
        """Restore a clip on the CPU.

        Args:
            clip: (1, t, 3, h, w) float32 RGB in [0, 1].

        Returns:
            (1, t, 3, s·h, s·w) float32.

        Raises:
            DataError: the frames have another shape, or a size that the graphs do not take.
        """
        if clip.ndim != 5 or clip.shape[0] != 1 or clip.shape[2] != 3 or not clip.shape[1]:
            raise DataError(f'{self.folder}: got a clip of shape {tuple(clip.shape)}, expected (1, t, 3, h, w)')
        self._check_size(*clip.shape[-2:])
        dtype = torch.float16 if self.facts['precision'] == 'fp16' else torch.float32
        frames = restore(self._graphs, self.facts['passes'], self.facts['channels'], clip.unbind(1), dtype)
        return torch.stack(frames, dim=1)

    def _check_size(self, height: int, width: int) -> None:
        size: Sequence[int] | None = self.facts['size']
        smallest = self.facts['smallest'] or 0
        if (size is None or [height, width] == list(size)) and min(height, width) >= smallest:
            return
        expected = f'{smallest} pixels a side or more' if size is None else f'{size[1]}×{size[0]}, the exported size'
        raise DataError(f'{self.folder}: got frames of {width}×{height}, expected {expected}')


def _facts(folder: Path) -> dict[str, Any]:
    """Return the contents of ``graphs.json``."""
    try:
        facts: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding='utf-8'))
        window = facts['window']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{folder}: got no readable {MANIFEST}, expected a folder that  iart export  wrote') from error
    if window is not None:
        raise UserError(
            f'{folder}: got one graph of {window} frames, expected graphs of steps: export without --window'
        )
    return facts
