"""Losses of one process with batch 4 and of two processes with batch 2, side by side:  python
tests/faults/same_losses.py
"""

import tempfile
from pathlib import Path
from typing import Any

from kill_run import finish
from running import make_data, outcome

_CHANGES: dict[str, Any] = {
    'network_g__drop_path_rate': 0,
    'network_g__use_checkpoint': True,
    'train__accumulate': 1,
    'train__fix_flow': 10,
    'train__total_iter': 20,
    'val__val_freq': 20,
}


def losses(root: Path, processes: int, batch: int) -> dict[int, float]:
    data = make_data(root)
    codes = finish(data, processes, **_CHANGES, datasets__train__batch_size_per_gpu=batch)
    assert codes == [0] * processes, (data / 'output0.txt').read_text()
    return {
        int(step): float(value) for step, name, value in outcome(data, 20)['metrics.csv'][1:] if name == 'train/loss'
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, two = losses(Path(folder) / 'one', 1, 4), losses(Path(folder) / 'two', 2, 2)
    print('| iteration | 1 × batch 4 | 2 × batch 2 | difference, relative |\n|---|---|---|---|')
    for step in one:
        print(f'| {step} | {one[step]:.8f} | {two[step]:.8f} | {abs(two[step] / one[step] - 1):.1e} |')


if __name__ == '__main__':
    main()
