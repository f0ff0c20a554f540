"""Charts of a study: each row's gain over the bilinear warp, ours beside the paper's."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from iart.analysis.plots import save
from iart.study.rows import BASELINE, ROWS, TABLES
from iart.study.table import Line, Results

_OURS, _PAPER, _SEED = '#2f6fdb', '#9aa3ad', '#0b2a5b'


def write_charts(results: Results, folder: Path) -> list[tuple[Path, str]]:
    """Write a chart of each table, flow and set as PNG, SVG and PDF.

    Returns:
        Each PNG file with its caption.

    Raises:
        DataError: a file cannot be written.
    """
    written = []
    for set_name in results.sets:
        for table in results.plan.study.tables:
            for flow in results.plan.study.flows:
                lines = [line for line in results.lines(table, set_name) if line.flow == flow and line.gain]
                if len(lines) > 1:
                    name = f'{set_name}_{table}_{flow}'
                    title = f'{TABLES[table][0]}, {set_name}, flow {flow}'
                    caption = (
                        f'{title}: gain over {ROWS[BASELINE].label} in dB, mean over seeds and its standard error '
                        "(bars), the paper's gain (diamonds) where it is known."
                    )
                    written.append((save(_gains(lines, title), folder / name), caption))
    return written


def _gains(lines: Sequence[Line], title: str) -> Figure:
    """Draw a bar per row, its standard error, and the paper's gain as a hollow mark."""
    figure = Figure(figsize=(6.4, 0.9 + 0.42 * len(lines)), layout='constrained')
    axes = figure.subplots()
    for place, line in enumerate(reversed(lines)):
        assert line.gain is not None
        axes.barh(place, line.gain.mean, height=0.55, color=_OURS, alpha=0.75)
        seeds = [s.scores for s in line.scores]
        if len(seeds) > 1:
            error = line.gain.spread / len(seeds) ** 0.5
            axes.errorbar(line.gain.mean, place, xerr=error, color=_SEED, capsize=3, linewidth=1.2)
        if line.paper_gain is not None:
            axes.plot(line.paper_gain, place, marker='D', markersize=6, mfc='white', mec=_PAPER, mew=1.6, linestyle='')
    axes.set_yticks(range(len(lines)), [ROWS[line.row].label for line in reversed(lines)])
    axes.axvline(0, color='black', linewidth=0.8)
    axes.set_xlabel(
        f'dB above {ROWS[BASELINE].label} (bars: this study, ± standard error; diamonds: paper)', fontsize=8
    )
    axes.set_title(title, fontsize=10)
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(axis='x', alpha=0.25)
    return figure
