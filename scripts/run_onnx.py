"""Restore a clip with the graphs that ``iart export`` wrote, with NumPy and ONNX Runtime alone.

Usage: ``python scripts/run_onnx.py GRAPHS IN.npy OUT.npy``; IN: (t, 3, h, w) float32 RGB in [0, 1], OUT: (t, 3, s·h,
s·w).
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


class Graphs:
    """The graphs in a folder; ``providers`` as for onnxruntime.InferenceSession."""

    def __init__(self, folder: Path, providers: tuple[str, ...] = ('CPUExecutionProvider',)) -> None:
        self.facts = json.loads((folder / 'graphs.json').read_text(encoding='utf-8'))
        self.sessions = {
            name: onnxruntime.InferenceSession(folder / f'{name}.onnx', providers=list(providers))
            for name in self.facts['graphs']
        }

    def run(self, name: str, values: dict[str, Any]) -> Any:
        """Run a graph with the values that its inputs name."""
        return self.sessions[name].run(None, {key: values[key] for key in self.facts['graphs'][name]['inputs']})[0]

    def restore(self, frames: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Restore t frames, (t, 3, h, w)."""
        t, _, h, w = frames.shape
        size, smallest = self.facts['size'], self.facts['smallest'] or 0
        if (size or [h, w]) != [h, w] or min(h, w) < smallest:
            expected = f'{size[1]}×{size[0]}' if size else f'{smallest} pixels a side or more'
            raise SystemExit(f'got frames of {w}×{h}, expected {expected}')
        dtype = np.float16 if self.facts['precision'] == 'fp16' else np.float32
        nothing, still = np.zeros((1, self.facts['channels'], h, w), dtype), np.zeros((1, 2, h, w), np.float32)
        values: list[dict[str, Any]] = [{'frame': frame[None]} for frame in frames]
        flows: dict[tuple[int, int], Any] = {}
        for name in self.facts['passes']:
            ahead = 1 if name.startswith('backward') else -1  # the frame that this pass has been at before
            state = {'source1': nothing, 'source2': nothing, 'flow': still}
            for count, i in enumerate(range(t)[::-ahead]):
                if count and (i, i + ahead) not in flows:
                    pair = {'frame': values[i]['frame'], 'next_frame': values[i + ahead]['frame']}
                    flows[i, i + ahead] = self.run('flow', pair)
                flow = flows[i, i + ahead] if count else still
                given = {**values[i], **state, 'flow_before': state['flow'], 'flow': flow}
                given |= {'has1': np.array(count > 0), 'has2': np.array(count > 1)}
                made = self.run(f'step_{name}', given)
                values[i] |= {name: made, 'feature': made}
                state = {'source1': made, 'source2': state['source1'], 'flow': flow}
        return np.concatenate([self.run('reconstruct', one) for one in values])


if __name__ == '__main__':
    graphs, source, target = map(Path, sys.argv[1:])
    np.save(target, Graphs(graphs).restore(np.load(source)))
