"""Contents and reading of protocol files."""

import functools
from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from iart.errors import UserError, listing, nearest

Size = tuple[int, int]


class _Strict(BaseModel):
    model_config = ConfigDict(extra='forbid', frozen=True)


class BenchmarkClip(_Strict):
    """One clip of a benchmark."""

    name: str
    also: str | None = None
    """Another folder name under which the same clip is found."""
    frames: int = Field(gt=0)
    size: Size
    """Ground truth (height, width) in pixels."""


class ManyClips(_Strict):
    """A benchmark with too many clips to list: all alike, known by their number."""

    count: int = Field(gt=0)
    frames: int | None = Field(default=None, gt=0)
    """Of each clip; None where they differ."""
    size: Size | None = None
    """Ground truth (height, width) in pixels; None where there is none."""


class Figures(_Strict):
    psnr: float | None = None
    """dB."""
    ssim: float | None = None
    niqe: float | None = None
    """Without reference, as the three below; lower is better."""
    nrqm: float | None = None
    """Higher is better."""
    pi: float | None = None
    """Perceptual index, from NIQE and NRQM; lower is better."""
    brisque: float | None = None
    """Lower is better."""


class Published(Figures):
    """A published result on the benchmark."""

    method: str
    """Name in tables, e.g. ``IART N16``."""
    arch: str
    """The network's ``type`` in the YAML, e.g. ``IART``."""
    source: str
    training_frames: int | None = None
    """Frames of a training clip; two models of one network differ in it."""
    parameters: float | None = None
    """Millions."""
    mirrored: bool = False
    """Scored as the mean of the clip and its mirror in time (``flip_seq``)."""
    released: Figures | None = None
    """What the released weights give, to more digits than the paper."""


class Protocol(_Strict):
    """How a benchmark is scored."""

    id: str
    benchmark: str
    scale: int
    degradation: Literal['BI', 'BD', 'real']
    """How LR was made; ``real`` for footage without ground truth."""
    channel: Literal['RGB', 'Y']
    crop_border: int
    scored: Literal['all', 'center'] | tuple[int, ...]
    """Which frames of a clip count, from 0."""
    average: Literal['frames_then_clips']
    note: str
    clips: tuple[BenchmarkClip, ...] | ManyClips
    published: tuple[Published, ...]

    @model_validator(mode='after')
    def _no_twins(self) -> 'Protocol':
        names = [c.name for c in self.clips] if isinstance(self.clips, tuple) else []
        methods = [p.method for p in self.published]
        for group in (names, methods):
            if len(set(group)) < len(group):
                raise ValueError(f'{self.id}: the same name twice in {group}')
        return self

    def counting(self, length: int) -> list[int]:
        """Return the indices of the frames that count, of a clip of ``length``."""
        if isinstance(self.scored, tuple):
            return list(self.scored)
        return list(range(length)) if self.scored == 'all' else [length // 2]

    @property
    def clip_count(self) -> int:
        return self.clips.count if isinstance(self.clips, ManyClips) else len(self.clips)

    def results_of(self, method: str | None) -> list[Published]:
        """Return published results of a method: of exactly this name, else of all models of this network ``type``."""
        name = (method or '').casefold()
        exact = [p for p in self.published if p.method.casefold() == name]
        return exact or [p for p in self.published if p.arch.casefold() == name]


def load(path: Path) -> Protocol:
    """Read one protocol file.

    Raises:
        UserError: the file is no YAML or does not describe a protocol.
    """
    try:
        return Protocol.model_validate(yaml.safe_load(path.read_text(encoding='utf-8')))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise UserError(f'{path}: not a protocol: {error}') from error


@functools.cache
def load_all() -> dict[str, Protocol]:
    """Return all protocols of the package, by id."""
    folder = Path(str(resources.files('iart.protocols')))
    protocols = [load(path) for path in sorted(folder.glob('*.yml'))]
    return {p.id: p for p in protocols}


def names() -> list[str]:
    """Return every name that :func:`get` accepts, in the usual letter case."""
    return sorted({name for p in load_all().values() for name in (p.id, f'{p.benchmark}-{p.degradation}')})


def get(name: str) -> Protocol:
    """Return the protocol with this id, or this benchmark and degradation (``REDS4-BI``), in any letter case.

    Raises:
        UserError: there is none; the message lists what there is.
    """
    by_name = {key.casefold(): p for p in load_all().values() for key in (p.id, f'{p.benchmark}-{p.degradation}')}
    if name.casefold() not in by_name:
        hint = nearest(name, names())
        raise UserError(f'protocol: got {name!r}, expected one of {listing(names())}{f" ({hint})" if hint else ""}')
    return by_name[name.casefold()]
