"""Measure the speed of iart's bicubic degradation relative to BasicSR's ``imresize``, on one core.

    python scripts/benchmark_degradation.py [--height 720 --width 1280 --repeats 15]

Two jobs, each timed in turn with the reference: a float frame, and an 8-bit frame to an 8-bit frame, as data sets need
it.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch

from iart import log
from iart.ops.degradation import degrade, degrade_uint8
from iart.registry import matlab_imresize
from iart.stopwatch import in_turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--height', type=int, default=720)
    parser.add_argument('--width', type=int, default=1280)
    parser.add_argument('--repeats', type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    frame = np.random.default_rng(0).integers(0, 256, (arguments.height, arguments.width, 3), dtype=np.uint8)
    values = frame.astype(np.float32) / 255
    tensor = torch.from_numpy(values).permute(2, 0, 1).contiguous()

    def theirs_uint8() -> np.ndarray:
        return np.clip((matlab_imresize(frame.astype(np.float32) / 255, 0.25) * 255).round(), 0, 255).astype(np.uint8)

    jobs: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
        ('BI, float', lambda: degrade(tensor), lambda: matlab_imresize(values, 0.25)),
        ('BI, 8 bit', lambda: degrade_uint8(frame), theirs_uint8),
        ('BD, 8 bit (reference: BI)', lambda: degrade_uint8(frame, 'BD'), theirs_uint8),
    ]
    rows = []
    for name, mine, theirs in jobs:
        ours, basicsr = in_turn([mine, theirs], arguments.repeats)
        rows.append([name, f'{1e3 * basicsr:.1f}', f'{1e3 * ours:.1f}', f'{basicsr / ours:.1f}'])
    log.table(
        f'{arguments.width}x{arguments.height} by 4, median of {arguments.repeats}',
        ['job', 'BasicSR ms', 'iart ms', 'ratio'],
        rows,
    )


if __name__ == '__main__':
    main()
