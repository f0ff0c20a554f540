"""Results of a study: means and standard deviations over seeds, beside the paper's figures."""

import csv
import io
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from iart.analysis.findings import Table
from iart.study.bicubic_scores import read_bicubic
from iart.study.rows import BASELINE, PAPER_PARAMETERS, ROWS, TABLES, Figure, published
from iart.study.runs import Scores, read_scores
from iart.study.study_file import StudyPlan

_NOTHING = 'n/a'


@dataclass(frozen=True)
class Summary:
    """Mean and spread of a figure over seeds.

    Args:
        mean: mean over seeds.
        spread: standard deviation over seeds; 0 for a single one.
        count: number of seeds.
    """

    mean: float
    spread: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> 'Summary | None':
        """Return the summary of some values; None if there are none."""
        if not values:
            return None
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0, len(values))

    def text(self, digits: int, sign: str = '') -> str:
        """Format the mean, and the spread if there is more than one seed."""
        mean = f'{self.mean:{sign}.{digits}f}'
        return f'{mean} ± {self.spread:.{digits}f}' if self.count > 1 else mean


@dataclass(frozen=True)
class Line:
    """A row of a table with one flow.

    Args:
        table, row, flow: names of table, row and flow.
        metrics: mean and spread over seeds, by metric.
        gain: gain in dB over the baseline with the same seed; its ``spread`` is that of the differences.
        paper: the published figure.
        paper_gain: gain in dB over the paper's baseline.
        scores: scores of each seed.
    """

    table: str
    row: str
    flow: str
    metrics: dict[str, Summary]
    gain: Summary | None
    paper: Figure | None
    paper_gain: float | None
    scores: tuple[Scores, ...]


class Results:
    """The scores of a study's finished trainings.

    Args:
        plan: the study.
    """

    def __init__(self, plan: StudyPlan) -> None:
        self.plan = plan
        self.runs = list(plan.runs())
        self.scores = [scores for run in self.runs if (scores := read_scores(plan, run)) is not None]

    @property
    def sets(self) -> list[str]:
        """Names of the sets that were scored."""
        return list(dict.fromkeys(name for scores in self.scores for name in scores.scores))

    def lines(self, table: str, set_name: str) -> Iterator[Line]:
        """Yield the rows of a table, flow by flow; those without a score are left out."""
        for flow in self.plan.study.flows:
            base = {
                s.seed: s.scores[set_name]['psnr'] for s in self._of(BASELINE, flow) if 'psnr' in s.scores[set_name]
            }
            for row in TABLES[table][1]:  # type: ignore[index]
                scores = self._of(row, flow)
                if not scores:
                    continue
                metrics = {
                    metric: summary
                    for metric in scores[0].scores[set_name]
                    if (summary := Summary.of([s.scores[set_name][metric] for s in scores]))
                }
                gains = [s.scores[set_name]['psnr'] - base[s.seed] for s in scores if s.seed in base]
                paper, paper_base = published(table, row, flow), published(table, BASELINE, flow)
                paper_gain = paper.psnr - paper_base.psnr if paper and paper_base else None
                yield Line(table, row, flow, metrics, Summary.of(gains), paper, paper_gain, tuple(scores))

    def _of(self, row: str, flow: str) -> list[Scores]:
        return [scores for scores in self.scores if (scores.row, scores.flow) == (row, flow)]

    def tables(self) -> Iterator[Table]:
        """Yield every table of every set that has a row."""
        for set_name in self.sets:
            for table in self.plan.study.tables:
                if rows := tuple(map(_cells, self.lines(table, set_name))):
                    yield Table(f'{TABLES[table][0]}, {set_name}', _COLUMNS, rows)

    def text(self) -> tuple[str, ...]:
        """Return what was trained, what bicubic interpolation scores, and how to read the tables."""
        done, planned = len(self.scores), len(self.runs)
        state = 'complete' if done == planned else f'{done} of {planned} trainings done'
        bicubic = [
            f'Bicubic interpolation on {set_name}: PSNR {scores["psnr"]:.3f}. A row that is not above it has been '
            'trained too briefly to distinguish alignments.'
            for set_name, scores in (read_bicubic(self.plan) or {}).items()
            if 'psnr' in scores
        ]
        return f'{state}; {self._budget()}.', *bicubic, _NOTES

    def markdown(self) -> str:
        """Return every table of every set as text."""
        *state, notes = self.text()
        parts = [f'# {self.plan.study.name}', '', *(line for paragraph in state for line in (paragraph, ''))]
        for table in self.tables():
            parts += [f'## {table.title}', '', *table.markdown(), '']
        return '\n'.join([*parts, notes, ''])

    def csv(self) -> str:
        """Return the scores as CSV, one line per training."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator='\n')
        names = ['run', 'row', 'flow', 'seed', 'set', 'psnr', 'ssim', 'parameters', 'alignment_parameters']
        names += ['dead_parameters', 'milliseconds', 'memory_mb', 'iterations', 'seconds', 'device']
        writer.writerow(names)
        for s in self.scores:
            for set_name, figures in s.scores.items():
                facts = {**s.__dict__, 'set': set_name, **figures}
                writer.writerow([facts.get(name, '') for name in names])
        return text.getvalue()

    def _budget(self) -> str:
        if not self.scores:
            return 'nothing scored yet'
        s = self.scores[0]
        minutes = statistics.median(s.seconds for s in self.scores) / 60
        return f'every row {s.iterations:,} iterations, {minutes:.1f} minutes in the median, on {s.device}'


_NOTES = (
    'Gain: dB above the bilinear warp of the same flow and seed (same first weights, same batches), mean and standard '
    'deviation over seeds. Parameters: of the network without a flow estimator; then with the weights that the '
    'released code has beyond them and never uses, as the paper counts. ? : cell merged or hard to read in our copy '
    'of the paper. Paper figures are of its own data and budget: compare gains, not levels. Data and flow of its '
    'table 3 are not named.'
)
_COLUMNS = (
    *('row', 'flow', 'PSNR', 'SSIM', 'gain', 'paper PSNR', 'paper gain'),
    *('parameters', 'with dead', 'paper M', 'ms/frame', 'MB'),
)


def _cells(line: Line) -> tuple[str, ...]:
    """The row of a table, in the order of the columns."""
    one = line.scores[0]
    return (
        ROWS[line.row].label + (' (ours)' if ROWS[line.row].ours else ''),
        line.flow,
        *(
            line.metrics[name].text(digits) if name in line.metrics else _NOTHING
            for name, digits in (('psnr', 3), ('ssim', 4))
        ),
        _gain(line),
        _paper(line.paper),
        _NOTHING if line.paper_gain is None else f'{line.paper_gain:+.2f}',
        f'{one.parameters:,}',
        f'{one.parameters + one.dead_parameters:,}',
        f'{PAPER_PARAMETERS[line.row]:.2f}' if line.row in PAPER_PARAMETERS else _NOTHING,
        f'{min(s.milliseconds for s in line.scores):.1f}',
        f'{one.memory_mb:.1f}',
    )


def _gain(line: Line) -> str:
    """Return the gain over the baseline; 0 for the baseline itself."""
    if line.gain is None:
        return _NOTHING
    return '0' if line.row == BASELINE else line.gain.text(3, '+')


def _paper(figure: Figure | None) -> str:
    if figure is None or math.isnan(figure.psnr):
        return _NOTHING
    return f'{figure.psnr:.2f}' + (f' / {figure.ssim:.4f}' if figure.ssim else '') + (' ?' if figure.doubtful else '')
