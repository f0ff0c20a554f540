"""The frames behind results: LR and ground truth from the data set, restored frames from the results folders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from iart import log
from iart.data.loaders import build_part
from iart.errors import UserError
from iart.image import Frame, read_image, to_tensor, to_uint8
from iart.ops.degradation import upsample_bicubic
from iart.reporting.results import Result

BICUBIC = 'Bicubic'


class Choice(NamedTuple):
    """A frame to show, and the reason for its choice."""

    at: int
    reason: str


@dataclass(frozen=True)
class ShownClip:
    """One clip in all its versions; frames are uint8 RGB, numbered as in the scores.

    Args:
        set: name of the test set.
        clip: name of the clip.
        names: names of the scored frames.
        files: restored frames in order, by the label of the result.
        scale: GT size divided by LR size.
        lq: the LR frames in memory; None if they do not exist any more.
        truth: the data set with ground truth and the clip's number in it; None if there is none.
        places: indices of the scored frames in the clip.
    """

    set: str
    clip: str
    names: tuple[str, ...]
    files: Mapping[str, Sequence[Path]]
    scale: int
    lq: Sequence[Frame] | None = None
    truth: tuple[Any, int] | None = None
    places: Sequence[int] = ()

    def restored(self, label: str, index: int) -> Frame:
        return read_image(self.files[label][index])

    def gt(self, index: int) -> Frame | None:
        return self.truth[0].read_gt(self.truth[1], self.places[index]) if self.truth else None

    def bicubic(self, index: int) -> Frame | None:
        """Return the LR frame, enlarged."""
        return None if self.lq is None else enlarged(self.lq[index], self.scale)

    def versions(self, index: int, plain: bool = True) -> dict[str, Frame]:
        """Return the versions of a frame of one size by caption: LR bicubic, results, ground truth.

        Args:
            plain: whether to include LR bicubic (omitted if a result is bicubic).
        """
        frames: dict[str, Frame | None] = {}
        if plain and BICUBIC not in self.files:
            frames['LR bicubic'] = self.bicubic(index)
        frames |= {label: self.restored(label, index) for label in self.files}
        frames['GT'] = self.gt(index)
        there = {name: frame for name, frame in frames.items() if frame is not None}
        shape = there[next(iter(self.files))].shape
        return {name: frame for name, frame in there.items() if frame.shape == shape}


def enlarged(lq: Frame, scale: int) -> Frame:
    """Enlarge an (h, w, 3) frame by MATLAB's bicubic interpolation."""
    return to_uint8(upsample_bicubic(to_tensor(lq)[None], scale)[0])


def find_shown_clips(results: Sequence[Result], most: int) -> tuple[list[ShownClip], list[str]]:
    """Return the clips with saved frames, at most ``most`` of each set.

    Returns:
        The clips, and notes on what cannot be shown and why.
    """
    footage, notes = [], []
    for name in dict.fromkeys(entry.name for result in results for entry in result.file.sets):
        shown: dict[str, dict[str, Result]] = {}
        for result in results:
            entry = result.set_named(name)
            for clip in entry.clips if entry else ():
                if clip.saved and (name, clip.name) in result.frames:
                    shown.setdefault(clip.name, {})[result.label] = result
        if not shown:
            notes.append(f'{name}: no frames were saved; score with --report or --save-frames to see some.')
            continue
        fullest = max(map(len, shown.values()))  # rather clips that all results have
        chosen = [clip for clip, owners in shown.items() if len(owners) == fullest][:most]
        pieces = [_one_clip(name, clip, shown[clip], notes) for clip in chosen]
        footage += _with_data(name, [piece for piece in pieces if piece is not None], shown, notes)
    return footage, list(dict.fromkeys(notes))


def _one_clip(name: str, clip: str, owners: Mapping[str, Result], notes: list[str]) -> ShownClip | None:
    """Return the restored frames of the results that scored the same frames as the first."""
    names = next(iter(owners.values())).frames[name, clip].names
    files: dict[str, list[Path]] = {}
    for label, result in owners.items():
        suffix = f'_{result.file.settings.suffix}' if result.file.settings.suffix else ''
        paths = [result.folder / 'visualization' / name / clip / f'{frame}{suffix}.png' for frame in names]
        if result.frames[name, clip].names != names:
            notes.append(f'{name}, clip {clip}: {label} was scored on other frames; its pictures are left out.')
        elif lost := [path for path in paths if not path.is_file()]:
            notes.append(
                f'{name}, clip {clip}: {len(lost)} restored frames of {label} are gone, such as {lost[0].name}; '
                'left out.'
            )
        else:
            files[label] = paths
    scale = next(iter(owners.values())).file.settings.scale
    return ShownClip(name, clip, names, files, scale) if files else None


def _with_data(
    name: str, pieces: list[ShownClip], shown: Mapping[str, Mapping[str, Result]], notes: list[str]
) -> list[ShownClip]:
    """Add LR frames and ground truth, if the folders that the results name still contain them."""
    if not pieces:
        return []
    owner = next(iter(shown[pieces[0].clip].values()))
    entry = owner.set_named(name)
    assert entry is not None
    if not entry.data:
        notes.append(f'{name}: this report.json does not name the folders of the frames; score again to show them.')
        return pieces
    clips = [piece.clip for piece in pieces]
    try:
        with log.quiet():
            dataset = build_part(
                located(entry.data, owner.file.folder), clips, key=f'datasets.{entry.key}', scale=pieces[0].scale
            )
    except UserError as error:
        notes.append(f'{name}: LR frames and ground truth cannot be shown: {str(error).splitlines()[0]}')
        return pieces
    numbers = {info.name: i for i, info in enumerate(dataset.clips)}
    complete = []
    for piece in pieces:
        number = numbers[piece.clip]
        place = {frame: j for j, frame in enumerate(dataset.clips[number].frames)}
        places = [place[frame] for frame in piece.names]
        lq = dataset.read_lq(number)
        truth = (dataset, number) if dataset.has_gt else None
        complete.append(
            ShownClip(name, piece.clip, piece.names, piece.files, piece.scale, [lq[j] for j in places], truth, places)
        )
    return complete


def located(section: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return a data set's section with relative paths that do not exist here resolved in ``folder``."""

    def locate(value: Any) -> Any:
        if isinstance(value, str) and not Path(value).exists() and (Path(folder) / value).exists():
            return str(Path(folder) / value)
        return value

    return {key: locate(value) if folder else value for key, value in section.items()}


def choose_frames(values: Sequence[Sequence[float]], length: int, count: int) -> list[Choice]:
    """Choose frames to show.

    Args:
        values: per result the score of every frame, where more is better; may be empty.
        length: number of frames.
        count: number of frames to choose, if there are enough.

    Returns:
        A typical frame, one where results differ most (or the worst, for one result), then others evenly spread; in
        order.
    """
    chosen: dict[int, str] = {}
    first = values[0] if values else ()
    if first:
        by_value = sorted(range(length), key=lambda j: first[j])
        chosen[by_value[length // 2]] = 'a typical frame'
        if len(values) > 1:
            spread = [max(column) - min(column) for column in zip(*values, strict=True)]
            chosen.setdefault(
                max(range(length), key=lambda j: spread[j] if spread[j] < float('inf') else -1),
                'where results differ most',
            )
        else:
            chosen.setdefault(by_value[0], 'the worst frame')
    for j in (length * (2 * i + 1) // (2 * count) for i in range(count)):
        chosen.setdefault(j, 'taken at even steps')
    return [Choice(j, chosen[j]) for j in sorted(list(chosen)[:count])]
