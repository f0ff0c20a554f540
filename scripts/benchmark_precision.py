"""Measure the loss of half precision: PSNR in fp32, fp16 and bf16, and with half-precision features on disk.

    python scripts/benchmark_precision.py --lq FOLDER --gt FOLDER --weights FILE [--opt YAML] [--frames 5] [--json FILE]

The folders contain the LR frames of one clip and their ground truth. Without --opt the network is BasicSR's BasicVSR
(64 features, 30 blocks). "to fp32" is the PSNR between the two outputs before rounding; "to GT" is on RGB, of 8-bit
frames, mean over frames.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from benchmark_chunks import BASICVSR, restore

from iart import device as devices
from iart import log
from iart.archs.builder import build_network
from iart.archs.stores import streams
from iart.errors import UserError
from iart.image import natural_key, read_image, to_tensor, to_uint8
from iart.inference.options import PlanOptions
from iart.inference.restorer import PlannedRestorer
from iart.metrics.psnr_ssim_metric import calculate_psnr
from iart.options import load
from iart.weights import load_weights

COLUMNS = ['computed in', 'to fp32, dB', 'to GT, dB', 'loss, dB', 'seconds a frame']


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--lq', type=Path, required=True, metavar='FOLDER')
    parser.add_argument('--gt', type=Path, required=True, metavar='FOLDER')
    parser.add_argument('--weights', type=Path, required=True, metavar='FILE')
    parser.add_argument('--opt', metavar='YAML', help='options of the network')
    parser.add_argument('--frames', type=int, default=5, help='number of frames, from the beginning of the clip')
    parser.add_argument(
        '--precision',
        nargs='+',
        choices=devices.PRECISIONS,
        default=devices.PRECISIONS,
        help='precisions to compare with fp32',
    )
    parser.add_argument(
        '--crop', type=int, nargs=2, metavar=('H', 'W'), help='take only the middle of the frames, in LR pixels'
    )
    parser.add_argument('--device', default='auto')
    parser.add_argument('--threads', type=int, help='CPU threads')
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the figures to this file')
    arguments = parser.parse_args()
    log.setup()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = devices.choose(arguments.device)
    network = build_network(load(arguments.opt) if arguments.opt else BASICVSR).to(device)
    load_weights(network, arguments.weights, optional=('spynet.mean', 'spynet.std'))
    lq, gt = (
        np.stack([read_image(p) for p in frames_in(folder, arguments.frames)])
        for folder in (arguments.lq, arguments.gt)
    )
    if arguments.crop:
        scale = gt.shape[1] // lq.shape[1]
        top, left = ((side - part) // 2 for side, part in zip(lq.shape[1:3], arguments.crop, strict=True))
        lq, gt = (
            images[:, top * by : (top + arguments.crop[0]) * by, left * by : (left + arguments.crop[1]) * by]
            for images, by in ((lq, 1), (gt, scale))
        )
    rows = compare(network, device, lq, gt, dict.fromkeys(['fp32', *arguments.precision]))
    title = f'{type(network).__name__}, {len(lq)} frames of {lq.shape[2]}×{lq.shape[1]}, on {device}'
    log.table(title, COLUMNS, [[str(cell) for cell in row] for row in rows])
    if arguments.json:
        arguments.json.write_text(
            json.dumps({'title': title, 'columns': COLUMNS, 'rows': rows}, indent=1, ensure_ascii=False)
        )


def frames_in(folder: Path, count: int) -> list[Path]:
    """Return the first frames of a folder, in natural order."""
    files = sorted(folder.glob('*.png'), key=lambda path: natural_key(path.name))[:count]
    if len(files) < count:
        raise UserError(f'{folder}: got {len(files)} PNG files, expected {count}')
    return files


def compare(
    network: torch.nn.Module, device: torch.device, lq: np.ndarray, gt: np.ndarray, precisions: Iterable[str]
) -> list[list[str | float]]:
    """Return a row of figures per precision, fp32 first."""
    ways = [(precision, precision, PlanOptions(kind='device')) for precision in precisions]
    if streams(network):
        ways.append(('fp32, features on disk in fp16', 'fp32', PlanOptions(kind='disk', half=True)))
    exact, best = None, 0.0
    rows: list[list[str | float]] = []
    for name, precision, options in ways:
        restorer = PlannedRestorer(network, device, precision=precision, options=options)
        restorer.costs  # noqa: B018 (measured before timing)
        frames, seconds = restore(restorer, to_tensor(lq)[None], device)
        exact = frames if exact is None else exact
        psnr = float(np.mean([calculate_psnr(to_uint8(frame), truth) for frame, truth in zip(frames, gt, strict=True)]))
        best = best or psnr
        error = (frames - exact).double().square().mean().item()
        between = round(-10 * float(np.log10(error)), 1) if error else float('inf')
        rows.append([name, between, round(psnr, 4), round(best - psnr, 4), round(seconds / len(lq), 2)])
        log.logger.info(str(rows[-1]))
    return rows


if __name__ == '__main__':
    main()
