"""The figures of several results side by side, as the page, the text and the CSV files show them."""

import csv
import io
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from iart.protocols import get
from iart.protocols.protocol import Published
from iart.reporting.results import Result, SetEntry

MOST_ROWS = 40
_DIGITS = {'calculate_psnr': 2, 'calculate_ssim': 4}


@dataclass(frozen=True)
class Cell:
    """One figure, and how much it is above the first result's (None for the first itself, or where either is
    missing)."""

    value: float | None
    delta: float | None = None
    digits: int = 4

    @property
    def text(self) -> str:
        return '–' if self.value is None else number(self.value, self.digits)

    @property
    def change(self) -> str:
        if self.delta is None or not math.isfinite(self.delta):
            return ''
        return f'{self.delta:+.{self.digits}f}'.replace('-', '−')


@dataclass(frozen=True)
class ScoreRow:
    """A clip, or the mean of all.

    Args:
        cells: per metric, then per result.
    """

    name: str
    frames: int | None
    cells: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class PublishedRow:
    """A published result; measured figures are beside it only if data and settings are the benchmark's."""

    method: str
    source: str
    psnr: float | None
    ssim: float | None
    niqe: float | None
    ours: tuple[str, ...]
    """Labels of the results that this is the published figure of."""


@dataclass(frozen=True, kw_only=True)
class SetTable:
    """Everything in figures about one test set."""

    name: str
    label: str
    protocol: str | None
    facts: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]
    metrics: tuple[str, ...]
    lower: frozenset[str]
    """Those of which less is better."""
    labels: tuple[str, ...]
    rows: tuple[ScoreRow, ...]
    left_out: int
    total: ScoreRow
    comparisons: tuple[tuple[str, Any], ...]
    """(label, comparison with a published figure)."""
    published: tuple[PublishedRow, ...]


def set_table(name: str, results: Sequence[Result]) -> SetTable:
    """Return the table of one set; results without the set have empty cells."""
    entries = [result.set_named(name) for result in results]
    given = [(r, e) for r, e in zip(results, entries, strict=True) if e is not None]
    metrics = tuple(dict.fromkeys(metric for _, entry in given for metric in entry.total))
    digits = {m: digits_of(m, results) for m in metrics}

    def row(clip: str, title: str, frames: int | None) -> ScoreRow:
        return ScoreRow(
            title,
            frames,
            tuple(_cells([None if e is None else _mean(e, clip, m) for e in entries], digits[m]) for m in metrics),
        )

    clips = list(dict.fromkeys(clip.name for _, entry in given for clip in entry.clips))
    rows = [row(clip, clip, _frame_count(clip, given)) for clip in clips[:MOST_ROWS]]
    total = row('', 'mean of 1 clip' if len(clips) == 1 else f'mean of {len(clips)} clips', None)
    first = given[0][1]
    metrics_of = [result.file.settings.metrics for result in results]
    return SetTable(
        name=name,
        label=first.label,
        protocol=first.protocol,
        facts=_facts(*given[0]),
        remarks=_remarks(given),
        metrics=metrics,
        lower=frozenset(m for m in metrics for sections in metrics_of if sections.get(m, {}).get('better') == 'lower'),
        labels=tuple(result.label for result in results),
        rows=tuple(rows),
        left_out=len(clips) - len(rows),
        total=total,
        comparisons=tuple((result.label, comparison) for result, entry in given for comparison in entry.published),
        published=_published(given),
    )


def digits_of(metric: str, results: Sequence[Result]) -> int:
    types = [
        result.file.settings.metrics[metric].get('type', '')
        for result in results
        if metric in result.file.settings.metrics
    ]
    return _DIGITS.get(types[0], 4) if types else 4


def number(value: float, digits: int) -> str:
    return '∞' if value == math.inf else f'{value:.{digits}f}'


def _cells(values: list[float | None], digits: int) -> tuple[Cell, ...]:
    base = values[0]
    return tuple(
        Cell(v, v - base if k and v is not None and base is not None else None, digits) for k, v in enumerate(values)
    )


def _frame_count(clip: str, given: list[tuple[Result, SetEntry]]) -> int | None:
    return next((clip_entry.frames for _, entry in given if (clip_entry := entry.clip(clip))), None)


def _facts(result: Result, entry: SetEntry) -> tuple[tuple[str, str], ...]:
    """Return what was scored and how, from the first result."""
    settings = result.file.settings
    counted, shown = sum(clip.frames for clip in entry.clips), sum(clip.restored for clip in entry.clips)
    sizes = sorted({clip.size for clip in entry.clips if clip.size})
    facts = [('Benchmark', entry.label), ('Clips', str(len(entry.clips)))]
    if not entry.total:
        facts.append(('Frames', f'{shown} restored, none scored: there is no ground truth'))
    else:
        facts.append(('Frames', f'{counted} scored' if counted == shown else f'{counted} scored of {shown} restored'))
    if sizes:
        scale = settings.scale
        spelled = [f'{w}×{h} → {w * scale}×{h * scale}' for h, w in sizes[:3]]
        facts.append(('Size', ', '.join(spelled) + (f' and {len(sizes) - 3} more' if len(sizes) > 3 else '')))
    facts.append(('Scale', f'×{settings.scale}'))
    if entry.protocol:
        facts.append(('Degradation', get(entry.protocol).degradation))
    for name, section in settings.metrics.items() if entry.total else ():
        on_y = section.get('test_y_channel') or (section['type'] == 'calculate_niqe' and 'convert_to' not in section)
        channel = 'Y channel' if on_y else 'RGB'
        border = section.get('crop_border', 0)
        facts.append(
            (
                name.upper(),
                f'{section.get("type", "")}, {channel}, ' + (f'{border} px border cut' if border else 'no border cut'),
            )
        )
    if entry.total:
        facts.append(('Averaged', 'over the frames of a clip, then over clips'))
    facts += [
        (label, folder(entry.data[key]))
        for key, label in (('dataroot_lq', 'LR frames'), ('dataroot_gt', 'Ground truth'))
        if entry.data.get(key)
    ]
    return tuple(facts)


def folder(path: Any) -> str:
    """Return a data folder for readers on other machines: only the last parts of an absolute path."""
    pure = PurePath(str(path))
    return '…/' + '/'.join(pure.parts[-3:]) if pure.is_absolute() else str(pure)


def _remarks(given: list[tuple[Result, SetEntry]]) -> tuple[str, ...]:
    remarks = []
    (first, entry), *others = given
    for result, other in others:
        if other.label != entry.label:
            remarks.append(
                f'{result.label} was scored as “{other.label}”, {first.label} as “{entry.label}”: mind the difference.'
            )
        if result.file.settings.metrics != first.file.settings.metrics:
            remarks.append(f'{result.label} was measured with other metrics or other arguments than {first.label}.')
        if result.file.settings.flip_seq != first.file.settings.flip_seq:
            remarks.append(f'flip_seq is on for one of {first.label} and {result.label} only.')
    remarks += [e.explanation for _, e in given if e.explanation]
    if entry.protocol:
        remarks.append(get(entry.protocol).note)
    return tuple(dict.fromkeys(r for r in remarks if r))


def _published(given: list[tuple[Result, SetEntry]]) -> tuple[PublishedRow, ...]:
    entry = given[0][1]
    if not entry.protocol or entry.agreement == 'mismatch':
        return ()

    def owners(published: Published) -> tuple[str, ...]:
        networks = [(result.label, result.file.network) for result, _ in given]
        return tuple(
            label for label, n in networks if published in get(str(entry.protocol)).results_of(n.method or n.type)
        )

    return tuple(
        PublishedRow(p.method, p.source, p.psnr, p.ssim, p.niqe, owners(p)) for p in get(entry.protocol).published
    )


def cost_rows(results: Sequence[Result]) -> list[dict[str, str]]:
    """Run time and memory of every result and set."""
    rows = []
    for result in results:
        settings, network = result.file.settings, result.file.network
        for entry in result.file.sets:
            restored = sum(clip.restored for clip in entry.clips)
            rows.append(
                {
                    'result': result.label,
                    'set': entry.name,
                    'parameters': f'{network.parameters / 1e6:.2f} M' if network.parameters else '–',
                    'frames': str(restored),
                    'seconds': f'{entry.seconds:.1f}',
                    'fps': f'{entry.fps:.2f}' if entry.fps else '–',
                    'memory': f'{entry.memory_mb:,.0f}'.replace(',', ' '),
                    'precision': (settings.precision or '–') + (f', TF32 {settings.tf32}' if settings.tf32 else ''),
                    'device': f'{settings.device}{f", {settings.ranks} processes" if settings.ranks > 1 else ""}',
                    'machine': result.file.machine or '–',
                }
            )
    return rows


def command_of(result: Result) -> str:
    """The command line as it can be typed again: ``iart`` in place of where it was installed."""
    given = list(result.file.command)
    if given and PurePath(given[0]).name in ('iart', '__main__.py'):
        given[0] = 'iart'
    return shlex.join(given)


def frames_csv(results: Sequence[Result]) -> str:
    """Return one line per frame, with the results side by side: ``<metric> <label>``."""
    metrics = list(dict.fromkeys(m for result in results for frames in result.frames.values() for m in frames.values))
    columns = [(m, result) for m in metrics for result in results]
    lines: list[list[Any]] = [['set', 'clip', 'frame', *(f'{m} {result.label}' for m, result in columns)]]
    for key in dict.fromkeys(key for result in results for key in result.frames):
        places = {r.label: {n: j for j, n in enumerate(r.frames[key].names)} for r in results if key in r.frames}
        for frame in dict.fromkeys(name for names in places.values() for name in names):
            lines.append([*key, frame, *(_figure(r, key, m, places.get(r.label, {}).get(frame)) for m, r in columns)])
    return _csv(lines)


def clips_csv(tables: Sequence[SetTable], results: Sequence[Result]) -> str:
    """Return one line per clip, and one per set, with an empty clip, for its mean."""
    metrics = list(dict.fromkeys(m for table in tables for m in table.metrics))
    lines: list[list[Any]] = [['set', 'clip', *(f'{m} {result.label}' for m in metrics for result in results)]]
    for table in tables:
        entries = [result.set_named(table.name) for result in results]
        clips = dict.fromkeys(clip.name for entry in entries if entry for clip in entry.clips)
        for name in [*clips, '']:
            means = [[None if entry is None else _mean(entry, name, m) for entry in entries] for m in metrics]
            lines.append([table.name, name, *('' if v is None else v for row in means for v in row)])
    return _csv(lines)


def _mean(entry: SetEntry, clip: str, metric: str) -> float | None:
    """A clip's figure, or the set's where the clip's name is empty."""
    scores = entry.clip(clip)
    return entry.total.get(metric) if not clip else scores.mean(metric) if scores else None


def _figure(result: Result, key: tuple[str, str], metric: str, index: int | None) -> Any:
    return '' if index is None or metric not in result.frames[key].values else result.frames[key].values[metric][index]


def _csv(lines: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(lines)
    return text.getvalue()
