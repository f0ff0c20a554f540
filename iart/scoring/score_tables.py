"""Scores as tables: on the console, as CSV and as JSON.

JSON has no infinity, which is the PSNR of identical images: it is written as the text ``"inf"`` (and not as null, which
would look like a missing figure). CSV holds ``inf`` too.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

from iart import log
from iart.errors import quantity
from iart.scoring.scores import SetScores

_MANY_CLIPS = 60
_DIGITS = {'psnr': 4, 'ssim': 6, 'niqe': 4}


@dataclass(frozen=True)
class Comparison:
    """A published result beside what was measured on exactly the same data in the same way.

    Args:
        figure: ``psnr`` (dB), ``ssim`` or ``niqe``.
        note: what was done differently all the same, e.g. without the mirror; empty when nothing.
    """

    method: str
    source: str
    figure: str
    published: float
    measured: float
    note: str = ''

    @property
    def difference(self) -> float:
        return self.measured - self.published


def print_scores(scores: SetScores, label: str) -> None:
    """Print one line per clip and the total; the total only if there are very many clips."""
    shown = scores.clips if len(scores.clips) <= _MANY_CLIPS else ()
    columns = ['clip', 'frames', *scores.metrics, 'fps']
    rows = [
        [clip.name, str(len(clip.frames)), *(f'{clip.mean(m):.4f}' for m in scores.metrics), f'{clip.fps:.2f}']
        for clip in shown
    ]
    count = sum(len(clip.frames) for clip in scores.clips)
    fps = scores.restored / scores.seconds if scores.seconds else 0.0
    total = [
        f'mean of {quantity(len(scores.clips), "clip")}',
        str(count),
        *(f'{v:.4f}' for v in scores.totals().values()),
        f'{fps:.2f}',
    ]
    log.table(f'{scores.title}: {label}', columns, rows, footer=total)


def print_comparisons(protocol: str, comparisons: Iterable[Comparison]) -> None:
    """Print published and measured figures and their difference."""
    rows = []
    for c in comparisons:
        digits = _DIGITS[c.figure]
        method = f'{c.method} ({c.note})' if c.note else c.method
        rows.append(
            [
                method,
                c.figure.upper(),
                f'{c.published:g}',
                f'{c.measured:.{digits}f}',
                f'{c.difference:+.{digits}f}',
                c.source,
            ]
        )
    log.table(
        f'{protocol}: published and measured', ['method', '', 'published', 'measured', 'difference', 'source'], rows
    )


def frames_csv(sets: Iterable[SetScores]) -> str:
    """Write one line per scored frame: set, clip, frame and every metric."""
    sets = list(sets)
    metrics = list(dict.fromkeys(metric for scores in sets for metric in scores.metrics))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['set', 'clip', 'frame', *metrics])
    for scores in sets:
        for clip in scores.clips:
            for j, frame in enumerate(clip.frames):
                writer.writerow(
                    [scores.title, clip.name, frame, *(clip.values[m][j] if m in clip.values else '' for m in metrics)]
                )
    return text.getvalue()
