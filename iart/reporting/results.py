"""Reading what ``iart test`` wrote: report.json and frames.csv of a results folder."""

import csv
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from iart.errors import DataError, UserError

_FIXED = ('set', 'clip', 'frame')


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra='ignore')


class Network(_Read):
    type: str
    parameters: int | None = None
    weights: str | None = None
    weights_sha256: str | None = None
    method: str | None = None


class SettingsEntry(_Read):
    metrics: dict[str, dict[str, Any]]
    scale: int
    flip_seq: bool = False
    center_frame_only: bool = False
    precision: str | None = None
    tf32: str | None = None
    suffix: str | None = None
    device: str = ''
    ranks: int = 1


class ComparisonEntry(_Read):
    method: str
    source: str
    figure: str
    published: float
    measured: float
    difference: float
    note: str = ''


class ClipEntry(_Read):
    """One clip; its metrics are further keys, under the names that the options gave them."""

    model_config = ConfigDict(frozen=True, extra='allow')
    name: str
    frames: int
    size: tuple[int, int] | None = None
    """LR (h, w)."""
    saved: bool = False
    restored: int = 0
    seconds: float = 0.0
    fps: float = 0.0

    def mean(self, metric: str) -> float | None:
        value = (self.model_extra or {}).get(metric)
        return None if value is None else float(value)


class SetEntry(_Read):
    key: str
    name: str
    label: str
    protocol: str | None = None
    agreement: str | None = None
    explanation: str | None = None
    data: dict[str, Any] = Field(default_factory=dict)
    total: dict[str, float]
    published: tuple[ComparisonEntry, ...] = ()
    clips: tuple[ClipEntry, ...]
    seconds: float = 0.0
    fps: float | None = None
    memory_mb: float = 0.0

    @cached_property
    def _by_name(self) -> dict[str, ClipEntry]:
        return {clip.name: clip for clip in self.clips}

    def clip(self, name: str) -> ClipEntry | None:
        return self._by_name.get(name)


class ReportFile(_Read):
    """report.json."""

    name: str
    date: str
    command: tuple[str, ...] = ()
    folder: str = ''
    """Where the command ran: relative folders of the sets start there."""
    versions: dict[str, str] = Field(default_factory=dict)
    machine: str = ''
    network: Network
    settings: SettingsEntry
    sets: tuple[SetEntry, ...]


@dataclass(frozen=True)
class Frames:
    """The frames of a clip that count.

    Args:
        names: names of the frames, in order.
        values: scores of the frames by metric; infinite for a frame equal to its ground truth.
    """

    names: tuple[str, ...]
    values: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Result:
    """One results folder.

    Args:
        label: what it is called in the report: its network, or its name where several are of one network.
        frames: per (set, clip).
    """

    folder: Path
    label: str
    file: ReportFile
    frames: dict[tuple[str, str], Frames]

    def set_named(self, name: str) -> SetEntry | None:
        return next((entry for entry in self.file.sets if entry.name == name), None)


def read_results(folders: Sequence[Path]) -> list[Result]:
    """Read result folders, in the order given.

    Raises:
        UserError: a folder is given twice.
        DataError: a folder holds no results, or they are damaged.
    """
    twice = [str(folder) for folder, count in Counter(folder.resolve() for folder in folders).items() if count > 1]
    if twice:
        raise UserError(f'results: got {", ".join(twice)} more than once, expected different folders')
    files = [_read_file(folder) for folder in folders]
    short = [file.network.method or file.network.type for file in files]
    names = [file.name for file in files]
    full = names if len(set(names)) == len(names) else [str(folder) for folder in folders]
    labels = [s if short.count(s) == 1 else f for s, f in zip(short, full, strict=True)]
    return [
        Result(folder, label, file, _read_frames(folder))
        for folder, label, file in zip(folders, labels, files, strict=True)
    ]


def _read_file(folder: Path) -> ReportFile:
    path = folder / 'report.json'
    try:
        return ReportFile.model_validate(json.loads(path.read_text(encoding='utf-8')))
    except OSError as error:
        raise DataError(
            f'{path}: cannot be read ({error.strerror}), expected a folder that iart test wrote, such as results/<name>'
        ) from error
    except (ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise DataError(
            f'{path}: got something else than a report of iart test ({first}); score again to have a new one'
        ) from error


def _read_frames(folder: Path) -> dict[tuple[str, str], Frames]:
    path = folder / 'frames.csv'
    rows: dict[tuple[str, str], list[dict[str, str]]] = {}
    try:
        with path.open(encoding='utf-8', newline='') as file:
            reader = csv.DictReader(file)
            if not set(_FIXED) <= set(reader.fieldnames or ()):
                raise DataError(
                    f'{path}: got the columns {reader.fieldnames}, expected {", ".join(_FIXED)} and metrics'
                )
            for row in reader:
                rows.setdefault((row['set'], row['clip']), []).append(row)
        return {key: _frames(lines) for key, lines in rows.items()}
    except OSError as error:
        raise DataError(f'{path}: cannot be read ({error.strerror}); it belongs beside report.json') from error
    except (ValueError, TypeError, csv.Error) as error:
        raise DataError(f'{path}: damaged ({error}); score again to have a new one') from error


def _frames(rows: list[dict[str, str]]) -> Frames:
    metrics = [m for m in rows[0] if m not in _FIXED and any(row[m] for row in rows)]
    values = {m: tuple(float(row[m] or 'nan') for row in rows) for m in metrics}  # the first frame has no tOF
    return Frames(tuple(row['frame'] for row in rows), values)


def finite(values: Sequence[float]) -> list[float]:
    """The values without infinities and nan."""
    return [v for v in values if math.isfinite(v)]
