"""Measure the speed of iart's PSNR and SSIM relative to BasicSR's, on one core.

    python scripts/benchmark_metrics.py [--height 720 --width 1280 --repeats 9]

Both are timed in turn on the same pair of frames; medians, their ratio and the difference of the results are printed.
"""

import argparse
import os
from collections.abc import Callable
from functools import partial
from typing import Any

for name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'):
    os.environ[name] = '1'

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from iart import log  # noqa: E402
from iart.registry import METRIC_REGISTRY, find  # noqa: E402
from iart.stopwatch import in_turn  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--height', type=int, default=720)
    parser.add_argument('--width', type=int, default=1280)
    parser.add_argument('--repeats', type=int, default=9)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    noise = np.random.default_rng(0).integers(0, 256, (arguments.height, arguments.width, 3), dtype=np.uint8)
    frame = cv2.GaussianBlur(noise, (0, 0), 1.0)
    other = cv2.GaussianBlur(frame, (0, 0), 1.0)
    rows = []
    for metric in ('calculate_psnr', 'calculate_ssim'):
        mine = find(METRIC_REGISTRY, metric)
        theirs = METRIC_REGISTRY.get(metric)
        for luma in (False, True):
            ours_ms, theirs_ms, results = compare(mine, theirs, frame, other, luma, arguments.repeats)
            channel = 'Y' if luma else 'RGB'
            difference = abs(results[0] - results[1])
            rows.append(
                [
                    f'{metric} {channel}',
                    f'{theirs_ms:.1f}',
                    f'{ours_ms:.1f}',
                    f'{theirs_ms / ours_ms:.1f}',
                    f'{difference:.1e}',
                ]
            )
    log.table(
        f'{arguments.width}x{arguments.height}, median of {arguments.repeats}',
        ['metric', 'BasicSR ms', 'iart ms', 'ratio', 'difference'],
        rows,
    )


def compare(
    mine: Callable[..., float], theirs: Callable[..., float], frame: Any, other: Any, luma: bool, repeats: int
) -> tuple[float, float, tuple[float, float]]:
    """Return the median milliseconds of both, measured in turn, and both results."""
    runs = [partial(metric, frame, other, crop_border=0, test_y_channel=luma) for metric in (mine, theirs)]
    ours, basicsr = in_turn(runs, repeats)
    return 1e3 * ours, 1e3 * basicsr, (runs[0](), runs[1]())


if __name__ == '__main__':
    main()
