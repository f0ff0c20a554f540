"""Measure the error of chunks and tiles against the whole clip in one pass: PSNR between both, over the overlap.

    python scripts/benchmark_chunks.py --lq FOLDER --weights FILE [--opt YAML] [--frames 16] [--json FILE]

FOLDER contains the LR frames of one clip. Without --opt the network is BasicSR's BasicVSR (64 features, 30 blocks); its
weights `iart weights` fetches (basicvsr-vimeo-bi, basicvsr-reds4). "worst" is the frame that differs most; the last
columns are the time and the expected memory relative to one pass.
"""

import argparse
import itertools
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from iart import device as devices
from iart import log
from iart.archs.builder import build_network
from iart.image import natural_key, read_image, to_tensor
from iart.inference.options import PlanOptions
from iart.inference.plan import Size
from iart.inference.restorer import PlannedRestorer
from iart.options import load
from iart.stopwatch import timed
from iart.weights import load_weights

BASICVSR = {'type': 'BasicVSR', 'num_feat': 64, 'num_block': 30}
COLUMNS = ['plan', 'dB, mean', 'dB, worst', 'max difference', 'time', 'memory']


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--lq', type=Path, required=True, metavar='FOLDER')
    parser.add_argument('--weights', type=Path, required=True, metavar='FILE')
    parser.add_argument('--opt', metavar='YAML', help='options of the network')
    parser.add_argument('--frames', type=int, default=16, help='number of frames, from the beginning of the clip')
    parser.add_argument('--crop', type=int, nargs=2, metavar=('H', 'W'), help='take only the middle of the frames')
    parser.add_argument('--chunk', type=int, nargs='*', default=[4], help='frames that a chunk returns')
    parser.add_argument('--chunk-overlap', type=int, nargs='*', default=[0, 1, 2, 4, 6, 8])
    parser.add_argument('--tile', type=int, nargs='*', default=[96], help='side of a tile in LR pixels')
    parser.add_argument('--tile-overlap', type=int, nargs='*', default=[0, 8, 16, 32, 48])
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
    paths = sorted(arguments.lq.glob('*.png'), key=lambda path: natural_key(path.name))[: arguments.frames]
    lq = to_tensor(np.stack([read_image(path) for path in paths]))[None]
    if arguments.crop:
        top, left = ((side - part) // 2 for side, part in zip(lq.shape[-2:], arguments.crop, strict=True))
        lq = lq[..., top : top + arguments.crop[0], left : left + arguments.crop[1]]
    wishes = [
        PlanOptions(kind='chunks', chunk=length, chunk_overlap=overlap)
        for length, overlap in itertools.product(arguments.chunk, arguments.chunk_overlap)
        if length + overlap < len(paths)
    ] + [
        PlanOptions(kind='tiles', tile=side, tile_overlap=overlap)
        for side, overlap in itertools.product(arguments.tile, arguments.tile_overlap)
        if overlap <= side // 2
    ]
    rows = compare(network, device, lq, wishes)
    title = f'{type(network).__name__}, {len(paths)} frames of {lq.shape[-1]}×{lq.shape[-2]}'
    log.table(title, COLUMNS, [[str(cell) for cell in row] for row in rows])
    if arguments.json:
        arguments.json.write_text(
            json.dumps({'title': title, 'columns': COLUMNS, 'rows': rows}, indent=1, ensure_ascii=False)
        )


def compare(
    network: torch.nn.Module, device: torch.device, lq: Tensor, wishes: Iterable[PlanOptions]
) -> list[list[str | float]]:
    """Return a row of figures for each plan, compared with everything on the device."""
    size = Size(lq.shape[1], *lq.shape[-2:])
    whole_restorer = PlannedRestorer(network, device, precision='fp32', options=PlanOptions(kind='device'))
    whole_plan = whole_restorer.plan(size)
    exact, seconds = restore(whole_restorer, lq, device)
    log.logger.info(f'whole clip: {seconds:.1f} s')
    rows: list[list[str | float]] = []
    for options in wishes:
        restorer = PlannedRestorer(network, device, precision='fp32', options=options)
        plan = restorer.plan(size)
        frames, taken = restore(restorer, lq, device)
        error = (frames - exact).double()
        db = -10 * torch.log10(error.square().mean(dim=(1, 2, 3)).clamp_min(1e-20))
        if plan.kind == 'chunks':
            name = f'chunks of {plan.chunk}, overlap {plan.chunk_overlap}'
        else:
            name = f'tiles of {plan.tile}, overlap {plan.tile_overlap}'
        less = (plan.device + plan.host) / (whole_plan.device + whole_plan.host)
        figures = [round(db.mean().item(), 1), round(db.min().item(), 1), round(error.abs().max().item(), 4)]
        rows.append([name, *figures, f'×{taken / seconds:.2f}', f'×{less:.2f}'])
        log.logger.info(str(rows[-1]))
    return rows


def restore(restorer: PlannedRestorer, lq: Tensor, device: torch.device) -> tuple[Tensor, float]:
    """Return (t, 3, H, W) clamped to [0, 1] in host memory, and the time in seconds."""
    frames, seconds = timed(lambda: [frame[0].clamp(0, 1).cpu() for frame in restorer(lq)], device)
    return torch.stack(frames), seconds


if __name__ == '__main__':
    main()
