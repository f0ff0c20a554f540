"""Restore a clip with the graphs of ``iart export``, by NumPy and ONNX Runtime alone.

Usage: ``python scripts/run_onnx.py GRAPHS IN.npy OUT.npy``, where IN contains (t, 3, h, w) float32 RGB in [0, 1] of
the exported size and OUT will contain (t, 3, s·h, s·w).
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Clip = list[np.ndarray[Any, Any]]


class Graphs:
    """The graphs in a folder; ``providers`` as for onnxruntime.InferenceSession."""

    def __init__(self, folder: Path, providers: tuple[str, ...] = ('CPUExecutionProvider',)) -> None:
        self.facts = json.loads((folder / 'graphs.json').read_text(encoding='utf-8'))
        self.sessions = {
            name: onnxruntime.InferenceSession(folder / f'{name}.onnx', providers=list(providers))
            for name in self.facts['graphs']
        }

    def run(self, name: str, values: dict[str, Any]) -> Any:
        """Run a graph with the values of its inputs."""
        inputs = self.facts['graphs'][name]['inputs']
        return self.sessions[name].run(None, {key: values[key] for key in inputs})[0]

    def restore(self, frames: Clip) -> Clip:
        """Restore t frames (1, 3, h, w) float32."""
        facts, t = self.facts, len(frames)
        _, _, h, w = frames[0].shape
        kind = np.float16 if facts['precision'] == 'fp16' else np.float32
        nothing, still = np.zeros((1, facts['channels'], h, w), kind), np.zeros((1, 2, h, w), np.float32)
        states: list[dict[str, Any]] = [{'frame': frame} for frame in frames]
        for name in facts['passes']:
            state = {'source1': nothing, 'source2': nothing, 'flow': still}
            order = range(t - 1, -1, -1) if name.startswith('backward') else range(t)
            for count, i in enumerate(order):
                flow = self.flow(states, i, i + (1 if name.startswith('backward') else -1)) if count else still
                given = {**state, **states[i], 'flow_before': state['flow'], 'flow': flow}
                given |= {'has1': np.array(count > 0), 'has2': np.array(count > 1)}
                made = self.run(f'step_{name}', given)
                states[i] |= {name: made, 'feature': made}
                state = {'source1': made, 'source2': state['source1'], 'flow': flow}
        return [self.run('reconstruct', values) for values in states]

    def flow(self, states: list[dict[str, Any]], start: int, end: int) -> Any:
        """Return the flow between two frames, computed once."""
        key = f'flow to {end}'
        if key not in states[start]:
            states[start][key] = self.run('flow', {'frame': states[start]['frame'], 'next_frame': states[end]['frame']})
        return states[start][key]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ('graphs', 'input', 'output'):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    restored = Graphs(arguments.graphs).restore([frame[None] for frame in np.load(arguments.input)])
    np.save(arguments.output, np.concatenate(restored))


if __name__ == '__main__':
    main()
