"""Measure the temporal consistency of restored clips: tOF and warping error, with SPyNet's flow.

    python scripts/score_temporal.py RESTORED GT [--spynet FILE] [--device auto] [--csv FILE]

RESTORED and GT are folders of clip folders (such as results/<name>/visualization/<set>, written by `iart test
--save-frames`), LMDBs or videos; frames are paired by position. Definitions:
iart/metrics/temporal.py.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from iart import device, log
from iart.data.frames import find_store
from iart.data.store import FrameStore
from iart.errors import EXIT_USER_ERROR, DataError, UserError, listing
from iart.image import Frame
from iart.metrics.temporal import TemporalScores, spynet_flow, temporal_scores

WEIGHTS = Path('experiments/pretrained_models/flownet/spynet_basicvsr_reds4.safetensors')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('restored', type=Path)
    parser.add_argument('gt', type=Path)
    parser.add_argument(
        '--spynet',
        type=Path,
        default=WEIGHTS,
        help=f'weights of SPyNet, or of a network that contains one (default {WEIGHTS})',
    )
    parser.add_argument('--device', default='auto')
    parser.add_argument('--csv', type=Path, help='also write the figures to this file')
    arguments = parser.parse_args()
    log.setup()
    try:
        scores = score(arguments.restored, arguments.gt, arguments.spynet, arguments.device)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    rows = [
        [clip, f'{s.tof:.4f}', f'{1e3 * s.warping_error:.4f}', f'{1e3 * s.gt_warping_error:.4f}', str(s.pairs)]
        for clip, s in scores.items()
    ]
    mean = [
        sum(getattr(s, key) for s in scores.values()) / len(scores)
        for key in ('tof', 'warping_error', 'gt_warping_error')
    ]
    footer = ['mean of clips', *cells(*mean), '']
    log.table('temporal consistency', ['clip', 'tOF (pixels)', 'warping error x1000', 'of GT', 'pairs'], rows, footer)
    if arguments.csv:
        with arguments.csv.open('w', newline='', encoding='utf-8') as file:
            writer = csv.DictWriter(file, ['clip', 'tof', 'warping_error', 'gt_warping_error', 'pairs'])
            writer.writeheader()
            writer.writerows({'clip': clip, **asdict(s)} for clip, s in scores.items())


def cells(tof: float, error: float, gt_error: float) -> list[str]:
    return [f'{tof:.4f}', f'{1e3 * error:.4f}', f'{1e3 * gt_error:.4f}']


def score(restored: Path, gt: Path, weights: Path, device_name: str) -> dict[str, TemporalScores]:
    """Return the figures of every restored clip."""
    chosen = device.choose(device_name)
    stores = find_store(restored), find_store(gt)
    clips = stores[0].clips()
    missing = [clip for clip in clips if not stores[1].frames(clip)]
    if missing:
        raise DataError(f'{gt}: no ground truth for {listing(missing)}')
    flow = spynet_flow(weights, chosen)
    scores = {}
    for clip in log.track(clips, 'temporal consistency', len(clips), 'clip'):
        scores[clip] = temporal_scores(read(stores[0], clip), read(stores[1], clip), flow, chosen)
    return scores


def read(store: FrameStore, clip: str) -> Iterator[Frame]:
    return (store.read(clip, frame) for frame in store.frames(clip))


if __name__ == '__main__':
    main()
