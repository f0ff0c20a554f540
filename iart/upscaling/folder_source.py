"""Reading a folder of frames: the same as a video without sound."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from iart.errors import DataError
from iart.image import IMAGE_SUFFIXES, image_size, natural_key, read_image
from iart.upscaling.settings import FPS, Settings
from iart.video.color import Coding
from iart.video.facts import Clip, Tags
from iart.video.pictures import Shown, Still


def frames_in(folder: Path) -> list[Path]:
    """The frames of a folder in natural order."""
    found = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith('.'))
    return sorted(found, key=lambda p: natural_key(p.name))


@dataclass(frozen=True)
class Frames:
    """Image files in the order in which they are shown."""

    folder: Path
    files: Sequence[Path]


def examine(source: Frames, settings: Settings) -> Clip:
    """The facts of a folder, from the header of its first frame.

    Raises:
        DataError: no frames, or none between start and end.
    """
    if not source.files:
        raise DataError(
            f'{source.folder}: got no frames, expected images ({", ".join(IMAGE_SUFFIXES)}) or a video file'
        )
    height, width = image_size(source.files[0])
    rate = settings.fps or FPS
    unit = 1 / rate
    begin = 0 if settings.start is None else -(-settings.start // unit)
    stop = len(source.files) if settings.end is None else min(len(source.files), int(-(-settings.end // unit)))
    if settings.preview is not None:
        stop = min(stop, int(begin) + settings.preview)
    if begin >= stop:
        raise DataError(
            f'{source.folder}: got no frames between --start and --end; {len(source.files)} frames last '
            f'{len(source.files) * unit} s'
        )
    return Clip(
        file=source.folder,
        height=height,
        width=width,
        pix_fmt='rgb24',
        coding=Coding('BT.709', False, 8),
        tags=Tags(),
        time_base=Fraction(unit),
        rate=rate,
        frames=stop - int(begin),
        first=int(begin),
        last=stop - 1,
        begin=int(begin),
        stop=stop,
    )


def read(source: Frames, clip: Clip) -> Iterator[Shown]:
    """The frames that are wanted.

    Raises:
        DataError: one cannot be read, or has another size than the first.
    """
    for number, file in enumerate(source.files[clip.first : clip.last + 1]):
        pixels = read_image(file)
        if pixels.shape[:2] != (clip.height, clip.width):
            found = f'{pixels.shape[1]}×{pixels.shape[0]}'
            raise DataError(
                f'{file}: got {found} pixels, expected {clip.width}×{clip.height} as in {source.files[0].name}'
            )
        yield Shown(Still(pixels), number, 1)
