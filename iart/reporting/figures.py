"""Figures for papers and slides: charts, details and slices as PNG files."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from iart.files import named_errors, write_atomically
from iart.reporting.comparison import comparison
from iart.reporting.views import Shot, SliceView

COLORS = ('#2f6fdb', '#d9730d', '#1a8f5a', '#a345c9', '#c2334d', '#7a6a00')
DASHES = ('-', '--', '-.', ':')
_DPI = 200


def write_figures(
    folder: Path, charts: Sequence[dict[str, Any]], shots: Sequence[Shot], slices: Sequence[SliceView]
) -> list[tuple[str, str]]:
    """Write all figures.

    Returns:
        (path relative to the report, caption) of each figure.

    Raises:
        DataError: a file cannot be written.
    """
    written = []
    for chart in charts:
        name = file_name(chart['set'], chart['clip'], chart['metric'])
        _write(_chart_figure(chart), folder / name)
        written.append((f'{folder.name}/{name}', chart['summary']))
    for shot in shots:
        name = file_name(shot.set, shot.clip, shot.frame, 'detail')
        title = f'{shot.clip}, frame {shot.frame}'
        comparison(folder / name, shot.originals, shot.scores, crop=shot.box, title=title)
        written.append(
            (
                f'{folder.name}/{name}',
                f'Clip {shot.clip}, frame {shot.frame}: {", ".join(shot.originals)}, and the same detail of each',
            )
        )
    for view in slices:
        name = file_name(view.set, view.clip, 'slices')
        _write(_slice_figure(view), folder / name)
        written.append(
            (
                f'{folder.name}/{name}',
                f'Clip {view.clip}: row {view.slices.row} of {view.slices.frames} frames, time running downwards',
            )
        )
    return written


def file_name(*parts: str) -> str:
    """Return a file name made of names of sets, clips and frames with any characters."""
    return re.sub(r'[^\w.-]+', '-', '_'.join(parts)) + '.png'


def _chart_figure(chart: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(6.4, 2.8), layout='constrained')
    axes = figure.subplots()
    for line in chart['series']:
        k = line['color']
        values = [float('nan') if v is None else v for v in line['values']]
        axes.plot(
            values,
            label=line['label'],
            color=COLORS[k % len(COLORS)],
            linestyle=DASHES[k % len(DASHES)],
            linewidth=1.6,
        )
    axes.set(xlabel=f'frame of clip {chart["clip"]}', ylabel=chart['title'])
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)
    axes.margins(x=0.01)
    if len(chart['series']) > 1:
        axes.legend(frameon=False, ncols=len(chart['series']), loc='lower left', bbox_to_anchor=(0, 1))
    return figure


def _slice_figure(view: SliceView) -> Figure:
    names = list(view.slices.pictures)
    frames, width = view.slices.frames, view.slices.width
    figure = Figure(figsize=(2.6 * len(names), 2.6 * 0.55 + 0.6), layout='constrained')
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.imshow(view.slices.pictures[name], interpolation='nearest', aspect=0.55 * width / frames)
        axes.set_title(name, fontsize=10)
        axes.set(xticks=[], yticks=[])
    figure.axes[0].set_ylabel('time')
    return figure


def _write(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    with named_errors(path):
        write_atomically(path, lambda name: figure.savefig(name, format='png', dpi=_DPI))
