"""The whole way on a small real clip, on a CPU, in minutes: frames, scores, a video, a short training, a picture."""

import json
import shutil
import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from iart import log
from iart.archs.recognize import require_section
from iart.demo.bundled_clip import prepare
from iart.errors import DataError
from iart.files import require_writable
from iart.image import read_image
from iart.options import Options, load, resolve
from iart.reporting.comparison import comparison
from iart.scoring.run_test import results_folder, run_test
from iart.scoring.set_report import SetReport
from iart.shipped import ROOT
from iart.training.dry_run import DryRun, Load
from iart.training.trainer import Trainer
from iart.upscaling.job import run as run_jobs
from iart.upscaling.networks import find
from iart.upscaling.networks import load as load_network
from iart.upscaling.sources import find_jobs
from iart.upscaling.upscale_options import DEFAULT_WEIGHTS, UpscaleOptions

_TRAINING = ROOT / 'options' / 'demo' / 'IART_demo.yml'
_SHOWN = ('060', '078')  # clips without a gap between them: the part of the film that becomes a video
_SET = 'demo'
_MOST_SECONDS = 45  # of the training, where its length is not given
_FEWEST, _MOST = 4, 100  # iterations, likewise


def run(out: Path, iterations: int | None, device: torch.device) -> Path:
    """Run the demo; what an earlier one left in the folder is used again or replaced, its training renamed.

    Args:
        out: folder for everything that is written.
        iterations: length of the training; 0 trains nothing; None for as many as take 45 seconds, up to 100.
        device: where to compute.

    Returns:
        The comparison picture.

    Raises:
        DataError: the folder cannot be written, or holds something else.
    """
    began = time.monotonic()
    require_writable(out, 'iart demo --output FOLDER')
    log.logger.info('1/5 frames: GT and LR from the bundled clip')
    frames = prepare(out / 'frames')
    log.logger.info('2/5 scores on the held-out frames: bicubic, then the network that comes with iart')
    weights = find(DEFAULT_WEIGHTS)
    shipped = _scoring(DEFAULT_WEIGHTS, require_section(weights), frames, out)
    results = {
        'bicubic': (_score(shipped, device, baseline='bicubic'), results_folder(shipped, 'bicubic')),
        DEFAULT_WEIGHTS: (_score(shipped, device, weights=weights), results_folder(shipped)),
    }
    log.logger.info('3/5 a video, bicubic on the left, the network on the right')
    video = _upscale(frames, out, device)
    if iterations is None:
        iterations = _affordable(load(_TRAINING, _overrides(frames, out, _MOST)), device)
    log.logger.info(f'4/5 training a small IART for {iterations} iterations, which teaches it little')
    if iterations:
        options = load(_TRAINING, _overrides(frames, out, iterations))
        Trainer(options, device=device).fit()
        log.setup()  # training wrote to its own log file
        trained = _scoring('IART_demo', dict(options.network_g), frames, out)
        last = Path(options.path.experiments_root) / options.name / 'models' / f'net_g_{iterations}.pth'
        if not last.is_file():  # a signal stopped it
            raise DataError('the training was stopped before its end, expected it to finish: run  iart demo  again')
        name = f'IART, {iterations} iterations'
        results[name] = (_score(trained, device, weights=last), results_folder(trained))
    log.logger.info('5/5 picture')
    picture = _picture(out / 'comparison.png', frames, results)
    rows = [
        [name, f'{r.scores.total("psnr"):.2f}', f'{r.scores.total("ssim"):.4f}'] for name, (r, _) in results.items()
    ]
    count = len(results['bicubic'][0].scores.clips[0].frames)
    log.table(f'Held-out clip, {count} frames, Y', ['', 'PSNR (dB)', 'SSIM'], rows)
    for label, path in (('video', video), ('comparison picture', picture), ('everything else', out)):
        log.logger.info(f'{label + ":":20} {path}')
    log.logger.info(f'done in {log.duration(time.monotonic() - began)}')
    return picture


def _affordable(options: Options, device: torch.device) -> int:
    """Return how many iterations fit into the time for the training, at the speed of this machine now."""
    data = options.datasets['train'].arguments
    load_of_step = Load(1, data['num_frame'], data['gt_size'] // options.scale)
    seconds = DryRun(options, device).seconds(load_of_step, steps=2)
    return min(max(int(_MOST_SECONDS / seconds), _FEWEST), _MOST)


def _overrides(frames: Path, out: Path, iterations: int) -> list[str]:
    """Return the changes to the options of the training: its length, and where everything is."""
    places = {
        'path:experiments_root': out / 'experiments',
        'path:results_root': out / 'results',
        'datasets:train:dataroot_gt': frames / 'train' / 'GT',
        'datasets:train:dataroot_lq': frames / 'train' / 'BIx4',
    }
    changes = [f'train:total_iter={iterations}', f'train:scheduler:periods=[{iterations}]']
    changes += ['datasets:val=null', 'logger:print_freq=10']  # it is scored after its end, with its frames
    return changes + [f'{key}={json.dumps(str(path))}' for key, path in places.items()]


def _scoring(name: str, network: Mapping[str, Any], frames: Path, out: Path) -> Options:
    """Return options that score a network on the held-out frames, as ``iart test --lq --gt`` does."""
    metrics = {
        kind: {'type': f'calculate_{kind}', 'crop_border': 0, 'test_y_channel': True} for kind in ('psnr', 'ssim')
    }
    data = {
        'type': 'VideoRecurrentTestDataset',
        'name': _SET,
        'published': 'none',
        'dataroot_gt': str(frames / 'val' / 'GT'),
        'dataroot_lq': str(frames / 'val' / 'BIx4'),
    }
    content = {
        'name': name,
        'scale': 4,
        'network_g': dict(network),
        'datasets': {'test': data},
        'path': {'results_root': str(out / 'results'), 'param_key_g': 'params_ema'},
        'val': {'metrics': metrics},
    }
    return resolve(content, [], source='iart demo')


def _score(
    options: Options, device: torch.device, weights: Path | None = None, baseline: str | None = None
) -> SetReport:
    file = str(weights) if weights else None
    return run_test(options, device=device, weights=file, save_frames=True, baseline=baseline)[0]


def _upscale(frames: Path, out: Path, device: torch.device) -> Path:
    """Write a part of the film's LR frames as a video, enlarged."""
    small, video = out / 'film_LR', out / 'upscaled.mp4'
    shutil.rmtree(small, ignore_errors=True)
    small.mkdir()
    for clip in _SHOWN:
        for file in (frames / 'train' / 'BIx4' / clip).iterdir():
            shutil.copy(file, small)
    settings = UpscaleOptions(overwrite=True, restart=True, compare=True, fps=Fraction(25))
    run_jobs(find_jobs([str(small)], video), load_network(DEFAULT_WEIGHTS, device), device, settings)
    return video


def _picture(path: Path, frames: Path, results: Mapping[str, tuple[SetReport, Path]]) -> Path:
    """Write the middle frame of the held-out clip: LR, what was scored, GT."""
    clip = results['bicubic'][0].scores.clips[0]
    middle = len(clip.frames) // 2
    file = f'{clip.name}/{clip.frames[middle]}.png'
    columns = {'LR': read_image(frames / 'val' / 'BIx4' / file)}
    scores: dict[str, Mapping[str, float]] = {}
    for name, (report, folder) in results.items():
        columns[name] = read_image(folder / 'visualization' / _SET / file)
        measured = {metric: report.scores.clips[0].values[metric][middle] for metric in report.scores.metrics}
        scores[name] = {metric: value for metric, value in measured.items() if value is not None}
    columns['GT'] = read_image(frames / 'val' / 'GT' / file)
    comparison(path, columns, scores, title=f'Frame {clip.frames[middle]} of the held-out clip, ×4')
    return path
