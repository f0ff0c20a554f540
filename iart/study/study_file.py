"""Study files: rows, flows and seeds, and the options file that all trainings share."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from iart.errors import OptionsError, listing, nearest
from iart.options import Options, dump, load, resolve
from iart.options.yaml_file import parse
from iart.signature import fit_to_signature
from iart.study.rows import ROWS, TABLES, FlowName, TableName


@dataclass(frozen=True)
class Study:
    """Content of a study file.

    Args:
        name: name of the study and of its folder.
        options: options file with data, network and training, relative to the study file. All rows are trained with it;
            they differ in ``network_g.alignment``, ``network_g.flow`` and ``manual_seed``.
        tables: tables of the paper: ``alignments`` (1), ``codes`` (3), ``windows`` (4), and ``ours``.
        flows: sources of the flow; every row is trained with each of them.
        seeds: seeds; every row is trained with each of them.
        rows: the rows to train; None for all rows of the tables.
        spynet_path: weights of SPyNet, for the flow ``spynet``.
        cache: folder for SPyNet's flows of the training set; without it, they are computed in each step.
        root: folder for studies.
    """

    name: str
    options: str
    tables: list[TableName]
    flows: list[FlowName]
    seeds: list[int]
    rows: list[str] | None = None
    spynet_path: str | None = None
    cache: str | None = None
    root: str = 'results/studies'


@dataclass(frozen=True)
class Run:
    """One row with one flow and one seed: a training."""

    row: str
    flow: FlowName
    seed: int

    @property
    def name(self) -> str:
        """Name of the training's folder."""
        return f'{self.row}_{self.flow}_s{self.seed}'


class StudyPlan:
    """The trainings of a study and the options of each.

    Args:
        path: the study file.
        overrides: values as after ``--force_yml``, for the shared options.

    Raises:
        OptionsError: mistakes in the study file or in the shared options.
    """

    def __init__(self, path: str | Path, overrides: Sequence[str] = ()) -> None:
        path = Path(path)
        self.study = read_study(path)
        self.options_file = path.parent / self.study.options
        self.overrides = tuple(overrides)
        self.folder = Path(self.study.root) / self.study.name
        if 'spynet' in self.study.flows and not self.study.spynet_path:
            raise OptionsError(f'{path}: spynet_path: got nothing with flow spynet, expected the weights of SPyNet')
        self._shared = dump(load(self.options_file, self.overrides))

    def runs(self) -> Iterator[Run]:
        """Yield the trainings: seed by seed, so that a study that is stopped early has every row."""
        rows = list(dict.fromkeys(row for table in self.study.tables for row in TABLES[table][1]))
        chosen = [row for row in rows if self.study.rows is None or row in self.study.rows]
        for seed in self.study.seeds:
            for flow in self.study.flows:
                for row in chosen:
                    yield Run(row, flow, seed)

    def run(self, name: str) -> Run:
        """Return the training of this name."""
        runs = {run.name: run for run in self.runs()}
        if name not in runs:
            raise OptionsError(f'--only: got {name!r}, expected one of {listing(runs)} ({nearest(name, runs)})')
        return runs[name]

    def options(self, run: Run) -> Options:
        """Return the options of a training; its scoring sets are those of the shared file."""
        row = ROWS[run.row]
        flow: dict[str, Any] = {'type': run.flow}
        if run.flow == 'spynet':
            flow['path'] = self.study.spynet_path
        raw, _ = parse(self._shared)
        raw |= {'name': run.name, 'manual_seed': run.seed}
        raw['path']['experiments_root'] = str(self.folder / 'runs')
        raw['network_g'] |= {**row.network, 'alignment': dict(row.alignment), 'flow': flow}
        if run.flow == 'spynet' and self.study.cache:
            raw['datasets']['train']['flow_cache'] = {'folder': self.study.cache, 'spynet_path': self.study.spynet_path}
        return resolve(raw, source=f'{self.options_file}, {run.name}')

    def result_file(self, run: Run) -> Path:
        """Return the file for the scores of a training."""
        return self.folder / 'runs' / run.name / 'scores.json'


def read_study(path: Path) -> Study:
    """Read a study file.

    Raises:
        OptionsError: every mistake in it.
    """
    try:
        text = path.read_text(encoding='utf-8')
    except OSError as error:
        raise OptionsError(f'{path}: cannot be read: {error.strerror}') from error
    content, problems = parse(text, path)
    if not isinstance(content, dict):
        raise OptionsError(f'{path}: got {type(content).__name__}, expected a mapping of keys to values')
    fitted, mistakes = fit_to_signature(Study, content, key='study')
    problems += mistakes
    if problems:
        raise OptionsError('\n  '.join([f'{path}: {len(problems)} mistake(s)', *map(str, problems)]))
    study = Study(**fitted)
    if unknown := [row for row in study.rows or () if row not in ROWS]:
        raise OptionsError(
            f'{path}: rows: got {unknown[0]!r}, expected some of {listing(ROWS)} ({nearest(unknown[0], ROWS)})'
        )
    if not (study.tables and study.flows and study.seeds):
        raise OptionsError(f'{path}: got no tables, flows or seeds, expected one of each at least')
    return study


def digest(options: Options) -> str:
    """Return a digest of everything that a result depends on, by which results of other options are recognized."""
    return hashlib.sha256((dump(options) + torch.__version__.split('+')[0]).encode()).hexdigest()[:16]
