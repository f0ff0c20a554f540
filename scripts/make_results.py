"""Make docs/results.md and its pictures from result folders of ``iart test`` and the metrics of a training run.

    iart test --lq Vid4/BIx4 --gt Vid4/GT --save-frames                                  # and the others
    python scripts/make_results.py bicubic=results/A_bicubic iart-small=results/A BasicVSR=results/B \
        --curve experiments/NAME/metrics.csv

Each result is given as LABEL=FOLDER, the folder as iart test wrote it; all of them must be of the same clips. Pictures
show small details only. Nothing is restored or measured: this takes less than a minute on a CPU.
"""

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from make_teaser import draw
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from iart.data.frames import find_store
from iart.errors import EXIT_USER_ERROR, DataError, UserError
from iart.files import write_text
from iart.image import Frame, read_image
from iart.reporting.results import Result, SetEntry, read_results
from iart.shipped import ROOT

_DOCS = ROOT / 'docs'
_MEAN_OF = 15  # recorded losses
_LIMITS = """\
## What the shipped network can and cannot do

It sharpens edges and outlines that are a few LR pixels wide, which move more as in the ground truth than bicubic's
([card](../experiments/pretrained_models/IART_small.md)). It runs on a CPU and takes clips of any size and length.

It does not recover what no LR frame shows: lines closer together than about two LR pixels, such as the rows of windows
of `city`, stay gray or get the wrong direction. It was trained on clean frames that were shrunk by bicubic; noise and
compression of real footage are sharpened, too ([Real footage](real_footage.md)). BasicVSR is better on every frame, and
many times slower. These are two of the four clips of Vid4, so the means are not Vid4's.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('results', nargs='+', metavar='LABEL=FOLDER')
    parser.add_argument('--curve', type=Path, metavar='CSV', help='metrics.csv of the training run')
    parser.add_argument('--out', type=Path, default=_DOCS / 'results.md', help='page; pictures go to images/ beside it')
    arguments = parser.parse_args()
    try:
        pairs = dict(text.partition('=')[::2] for text in arguments.results)
        labels = list(pairs)
        results = read_results([Path(folder) for folder in pairs.values()])
        page = make(dict(zip(labels, results, strict=True)), arguments.curve, arguments.out)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    print(f'{page}: written')


def make(results: Mapping[str, Result], curve: Path | None, page: Path) -> Path:
    """Write the page and its pictures.

    Args:
        results: label and result, in the order of the table; the first is the reference of differences.
        curve: metrics.csv of a training run, or None.
        page: file to write.

    Raises:
        DataError: results are not of the same clips, or a file cannot be read.
    """
    images = page.parent / 'images'
    images.mkdir(parents=True, exist_ok=True)
    sets = {label: result.file.sets[0] for label, result in results.items()}
    clips = [clip.name for clip in next(iter(sets.values())).clips]
    if wrong := [label for label, entry in sets.items() if [clip.name for clip in entry.clips] != clips]:
        raise DataError(f'results: {", ".join(wrong)}: got other clips, expected {", ".join(clips)}')
    parts = [
        '# Results\n\nMade by `scripts/make_results.py` from results of `iart test`; not edited by hand.\n',
        _scores(results, sets, clips),
        _gains(sets),
        '## Per frame\n\n![PSNR of each frame](images/results_frames.png)\n',
    ]
    _frame_chart(results, sets, clips, images / 'results_frames.png')
    parts.append('## Details\n\nThe middle frame of each clip, where versions differ most.\n')
    for clip in clips:
        picture = images / f'results_{clip}.png'
        if _details(results, sets, clip, picture):
            parts.append(f'![Detail of {clip}](images/{picture.name})\n')
    parts.append(_LIMITS)
    if curve is not None:
        _training_curve(curve, images / 'results_training.png')
        parts.append('## Training\n\n![PSNR of the validation clips against iterations](images/results_training.png)\n')
    parts.append(_origin(results))
    write_text(page, '\n'.join(parts))
    return page


def _scores(results: Mapping[str, Result], sets: Mapping[str, SetEntry], clips: Sequence[str]) -> str:
    heading = f'| | {" | ".join(clips)} | mean | parameters |'
    rows = [heading, '|---' * (len(clips) + 3) + '|']
    for label, entry in sets.items():
        cells = []
        for clip in entry.clips:
            cells.append(f'{clip.mean("psnr") or 0:.2f} / {clip.mean("ssim") or 0:.4f}')
        parameters = results[label].file.network.parameters
        cells.append(f'**{entry.total["psnr"]:.2f} / {entry.total["ssim"]:.4f}**')
        cells.append(f'{parameters / 1e6:.2f} M' if parameters else '–')
        rows.append(f'| {label} | {" | ".join(cells)} |')
    settings = next(iter(results.values())).file.settings.metrics['psnr']
    channel = 'Y' if settings.get('test_y_channel') else 'RGB'
    border = settings.get('crop_border', 0)
    count = ', '.join(f'{clip.name} {clip.frames}' for clip in next(iter(sets.values())).clips)
    about = f'PSNR in dB / SSIM on {channel}, border of {border} pixels cut; frames: {count}.'
    return f'## Scores\n\n{about}\n\n' + '\n'.join(rows) + '\n'


def _gains(sets: Mapping[str, SetEntry]) -> str:
    """Describe how far each result is above the first."""
    first, *others = sets
    lines = []
    for label in others:
        gains = [
            f'{clip.name} {(clip.mean("psnr") or 0) - (other.mean("psnr") or 0):+.2f}'
            for clip, other in zip(sets[label].clips, sets[first].clips, strict=True)
        ]
        lines.append(f'- {label} over {first}: {", ".join(gains)} dB')
    return '\n'.join(lines) + '\n'


def _frame_chart(results: Mapping[str, Result], sets: Mapping[str, SetEntry], clips: Sequence[str], path: Path) -> None:
    figure = Figure(figsize=(4.2 * len(clips), 2.8), dpi=100, layout='constrained')
    FigureCanvasAgg(figure)
    for axes, clip in zip(figure.subplots(1, len(clips), squeeze=False)[0], clips, strict=True):
        for label, result in results.items():
            axes.plot(result.frames[sets[label].name, clip].values['psnr'], label=label, linewidth=1.4)
        axes.set(title=clip, xlabel='frame', ylabel='PSNR (dB)')
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    figure.savefig(path)


def _details(results: Mapping[str, Result], sets: Mapping[str, SetEntry], clip: str, path: Path) -> bool:
    """Write the detail of the middle frame of a clip; False where the restored frames are not there."""
    reference = next(iter(results.values()))
    data = sets[next(iter(results))].data
    names = reference.frames[sets[next(iter(results))].name, clip].names
    middle = len(names) // 2
    restored: dict[str, Frame] = {}
    for label, result in results.items():
        folder = result.folder / 'visualization' / sets[label].name / clip
        files = sorted(folder.glob('*.png')) if folder.is_dir() else []
        if len(files) == len(names):
            restored[label] = read_image(files[middle])
    if not restored:
        return False
    lq, gt = (_frame(Path(reference.file.folder) / data[f'dataroot_{side}'], clip, middle) for side in ('lq', 'gt'))
    large = cv2.resize(lq, gt.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    draw({'LR': np.asarray(large, np.uint8), **restored, 'GT': gt}, path)
    return True


def _frame(root: Path, clip: str, index: int) -> Frame:
    store = find_store(root)
    return store.read(clip, store.frames(clip)[index])


def _training_curve(file: Path, path: Path) -> None:
    points: dict[str, list[tuple[int, float]]] = {}
    with file.open(encoding='utf-8', newline='') as rows:
        for row in csv.DictReader(rows):
            points.setdefault(row['name'], []).append((int(row['iter']), float(row['value'])))
    figure = Figure(figsize=(8.4, 2.8), dpi=100, layout='constrained')
    FigureCanvasAgg(figure)
    loss, score = figure.subplots(1, 2)
    steps, values = zip(*points['train/l_pix'], strict=True)
    loss.plot(steps, values, linewidth=0.6, alpha=0.4)
    if len(values) >= _MEAN_OF:  # single batches differ more than the loss falls
        means = np.convolve(values, np.full(_MEAN_OF, 1 / _MEAN_OF), 'valid')
        loss.plot(steps[_MEAN_OF - 1 :], means, linewidth=1.4, color='C0')
    loss.set(xlabel='iteration', ylabel='pixel loss', yscale='log')
    for name, curve in points.items():
        if name.startswith('val/') and name.endswith('/psnr'):
            score.plot(*zip(*curve, strict=True), marker='o', label=name.split('/')[1])
    score.set(xlabel='iteration', ylabel='validation PSNR (dB)')
    for axes in (loss, score):
        axes.grid(alpha=0.3)
    figure.savefig(path)


def _origin(results: Mapping[str, Result]) -> str:
    rows = ['## How it was measured\n', '| | date | machine | torch | weights, sha256 |', '|---|---|---|---|---|']
    for label, result in results.items():
        file = result.file
        digest = (file.network.weights_sha256 or '')[:16]
        weights = f'`{file.network.weights}` {digest}' if file.network.weights else '–'
        rows.append(
            f'| {label} | {file.date[:10]} | {file.machine or "–"} | {file.versions.get("torch", "–")} | {weights} |'
        )
    return '\n'.join(rows) + '\n'


if __name__ == '__main__':
    main()
