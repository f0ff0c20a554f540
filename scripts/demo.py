"""The whole way on a small real clip, on a CPU, in a few minutes: prepare frames, train, score against bicubic, look.

python scripts/demo.py [--iterations N] [--device cpu]        (bash scripts/demo.sh sets everything up first)
"""

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from prepare_demo import ROOT, prepare

from iart import device as devices
from iart import log
from iart.errors import EXIT_USER_ERROR, UserError
from iart.image import read_image
from iart.options import load
from iart.reporting.comparison import comparison
from iart.scoring.report import SetReport
from iart.scoring.run_test import run_test
from iart.training.trainer import Trainer

TRAIN = 'options/demo/IART_demo.yml'
TEST = 'options/demo/IART_demo_test.yml'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0] if __doc__ else None)
    parser.add_argument('--iterations', type=int, help='length of the training; default: what the options say')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:N or mps')
    arguments = parser.parse_args()
    os.chdir(ROOT)  # the options name folders of the repository
    log.setup()
    try:
        run(arguments.iterations, arguments.device)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)


def run(iterations: int | None, device_name: str) -> None:
    """Prepare, train, score, compare."""
    began = time.monotonic()
    device = devices.choose(device_name)
    log.logger.info('1/4 frames: GT and LR from the bundled clip')
    prepare()
    log.logger.info('2/4 training')
    options = load(TRAIN, [f'train:total_iter={iterations}'] if iterations else [])
    Trainer(options, device=device).fit()
    log.setup()  # training wrote to its own log file
    log.logger.info('3/4 scoring: bicubic, then the trained network')
    test = load(TEST)
    bicubic = run_test(test, device=device, save_frames=True, baseline='bicubic')
    trained = run_test(test, device=device, save_frames=True)
    log.logger.info('4/4 picture')
    picture = Path(test.path.results_root) / test.name / 'comparison.png'
    compare(picture, Path(test.path.results_root), test.name, bicubic[0], trained[0])
    rows = [
        [name, f'{r.total("psnr"):.2f}', f'{r.total("ssim"):.4f}']
        for name, r in (('bicubic', bicubic[0].scores), ('IART', trained[0].scores))
    ]
    log.table(f'Held-out clip, {len(bicubic[0].scores.clips[0].frames)} frames, RGB', ['', 'PSNR (dB)', 'SSIM'], rows)
    log.logger.info(f'weights, log, metrics:  {Path(options.path.experiments_root) / options.name}')
    log.logger.info(f'scores and frames:      {picture.parent}')
    log.logger.info(f'comparison picture:     {picture}')
    log.logger.info(f'done in {log.duration(time.monotonic() - began)}')


def compare(picture: Path, results: Path, name: str, bicubic: SetReport, trained: SetReport) -> None:
    """One picture of the middle frame: LR, bicubic, IART, GT."""
    clip = trained.scores.clips[0]
    middle = len(clip.frames) // 2
    file = f'{clip.name}/{clip.frames[middle]}.png'
    frames = Path('datasets/demo/frames/val')
    columns = {
        'LR': read_image(frames / 'BIx4' / file),
        'bicubic': read_image(results / f'{name}_bicubic' / 'visualization' / 'demo' / file),
        'IART': read_image(results / name / 'visualization' / 'demo' / file),
        'GT': read_image(frames / 'GT' / file),
    }
    scores: dict[str, Mapping[str, float]] = {
        column: {
            metric: value
            for metric in report.scores.metrics
            if (value := report.scores.clips[0].values[metric][middle]) is not None
        }
        for column, report in (('bicubic', bicubic), ('IART', trained))
    }
    comparison(picture, columns, scores, title=f'Frame {clip.frames[middle]} of the held-out clip, ×4')


if __name__ == '__main__':
    main()
