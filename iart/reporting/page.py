"""Writing of a report: the page, the same as text, tables as CSV and JSON, figures as PNG.

Folders of ``iart test`` and folders with findings (of ``iart analyze``, of the alignment study) can be on one page.

::

    <stem>.html              one file with everything in it
    <stem>.md                tables and figures as text
    <stem>_frames.csv        figures per frame, results side by side
    <stem>_clips.csv         figures per clip
    <stem>_data.json         all figures, for machines
    <stem>_figures/*.png     charts, details and slices, for papers

The last four are of scores: without a folder of ``iart test`` they are not written.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from iart import log
from iart.errors import UserError
from iart.files import to_json, write_text
from iart.reporting import tables
from iart.reporting.figures import write_figures
from iart.reporting.images import ERROR_LIMIT
from iart.reporting.measurements import Measurement, read_measurement, split
from iart.reporting.results import Result, read_results
from iart.reporting.shown_clips import ShownClip, find_shown_clips
from iart.reporting.views import MOST_CHARTS, Shot, SliceView, alignments_of, charts_of, shots_of, slices_of
from iart.version import __version__


def write_report(folders: Sequence[Path], output: Path | None = None, *, clips: int = 4, frames: int = 2) -> Path:
    """Write the report of one or several folders.

    Args:
        folders: that ``iart test`` wrote, the first of which is what the others are compared with, and that
            ``iart analyze`` or the alignment study wrote.
        output: the page; default ``report.html`` in the only folder, or in ``<first>_vs_<others>`` beside the first.
        clips: maximum number of clips of each set whose frames are shown.
        frames: maximum number of frames of each of these clips.

    Returns:
        The page written.

    Raises:
        UserError: arguments or folders that cannot be used, or a file that cannot be written.
    """
    for name, value in (('--clips', clips), ('--frames', frames)):
        if value < 1:
            raise UserError(f'{name}: got {value}, expected 1 or more')
    page = output or _default_output(folders)
    if page.suffix.lower() not in ('.html', '.htm'):
        raise UserError(f'--output: got {page}, expected the name of a page, ending in .html')
    scored, measured = split(folders)
    measurements = [read_measurement(folder) for folder in measured]
    results = read_results(scored)
    footage, notes = find_shown_clips(results, clips)
    shots, slices = _look(footage, results, frames)
    sets = [tables.set_table(name, results) for name in dict.fromkeys(e.name for r in results for e in r.file.sets)]
    charts = charts_of(results)
    context = _context(page, results, measurements) | {
        'sets': sets,
        'charts': charts,
        'charts_left_out': len({(c['set'], c['clip']) for c in charts})
        < sum(len(f.names) > 1 for r in results[:1] for f in r.frames.values()),
        'shots': shots,
        'slices': slices,
        'notes': notes,
    }
    pictures = write_figures(page.with_name(f'{page.stem}_figures'), charts, shots, slices)
    if results:
        write_text(page.with_name(f'{page.stem}_frames.csv'), tables.frames_csv(results))
        write_text(page.with_name(f'{page.stem}_clips.csv'), tables.clips_csv(sets, results))
        write_text(page.with_name(f'{page.stem}_data.json'), to_json(_data(results, sets, charts, slices)))
    text = _environment().get_template('report.md.j2').render(context, pictures=pictures)
    write_text(page.with_suffix('.md'), text)
    _write_page(page, context)
    return page


def write_measurement_page(folder: Path, page: Path) -> None:
    """Write a page of the findings of one folder, without other files.

    Raises:
        DataError: a file cannot be read or written.
    """
    nothing: dict[str, Any] = {name: [] for name in ('sets', 'charts', 'charts_left_out', 'shots', 'slices', 'notes')}
    _write_page(page, _context(page, [], [read_measurement(folder)]) | nothing)


def _write_page(page: Path, context: dict[str, Any]) -> None:
    style, script = (_template_file(name) for name in ('report.css', 'report.js'))
    write_text(page, _environment().get_template('report.html.j2').render(context, style=style, script=script))


def _context(page: Path, results: Sequence[Result], measurements: Sequence[Measurement]) -> dict[str, Any]:
    """Return the values of the templates besides tables, charts and frames."""
    shown = [*(r.folder for r in results), *(m.folder for m in measurements)]
    return {
        'results': results,
        'measurements': measurements,
        'alignments': [view for result in results for view in alignments_of(result)],
        'costs': tables.cost_rows(results),
        'commands': [(result, tables.command_of(result)) for result in results],
        'report_command': shlex.join(['iart', 'report', *(f'results/{folder.resolve().name}' for folder in shown)]),
        'date': datetime.now(timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
        'version': __version__,
        'error_limit': ERROR_LIMIT,
        'most_charts': MOST_CHARTS,
        'stem': page.stem,
        'title': ' vs '.join(r.label for r in results) or ', '.join(m.findings.title for m in measurements),
    }


def _default_output(folders: Sequence[Path]) -> Path:
    first, *others = folders
    folder = first if not others else first.with_name('_vs_'.join(f.resolve().name for f in folders))
    return folder / 'report.html'


def _look(footage: Sequence[ShownClip], results: Sequence[Result], frames: int) -> tuple[list[Shot], list[SliceView]]:
    shots, slices = [], []
    for piece in log.track(footage, 'report', len(footage), unit='clip'):
        shots += shots_of(piece, results, frames)
        view = slices_of(piece)
        slices += [view] if view is not None else []
    return shots, slices


def _data(results: Sequence[Result], sets: Any, charts: Any, slices: Sequence[SliceView]) -> dict[str, Any]:
    return {
        'results': [{'label': r.label, **r.file.model_dump(exclude={'folder'})} for r in results],
        'sets': [asdict(table) for table in sets],
        'frames': charts,
        'slices': [
            {
                'set': s.set,
                'clip': s.clip,
                'row': s.slices.row,
                'left': s.slices.left,
                'width': s.slices.width,
                'flicker': s.slices.flicker,
            }
            for s in slices
        ],
    }


def _template_file(name: str) -> str:
    return resources.files('iart.reporting').joinpath('templates', name).read_text(encoding='utf-8')


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template_file),
        autoescape=lambda name: name is not None and '.html' in name,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters['md'] = _markdown
    return environment


def _markdown(text: Any) -> str:
    """Escape text for Markdown, also in a table."""
    return re.sub(r'([\\`*_|<>\[\]])', r'\\\1', str(text)).replace('\n', ' ')
