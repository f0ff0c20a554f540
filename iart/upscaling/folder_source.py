"""Folders of frames as inputs: like a video without sound."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from iart import log
from iart.data.pairs import missing_numbers
from iart.errors import DataError, listing
from iart.image import IMAGE_SUFFIXES, natural_key
from iart.upscaling.upscale_options import FPS, UpscaleOptions
from iart.video.color import Coding
from iart.video.facts import Clip, Tags
from iart.video.pictures import Shown, Still
from iart.video.stills import ImageHeader, read_deep, read_header

_MANY = 2000  # frames whose headers take long enough to show progress


def is_image(path: Path) -> bool:
    """Return whether a path has the extension of an image file."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')


def frames_in(folder: Path) -> list[Path]:
    """Return the frames of a folder in natural order."""
    return sorted((p for p in folder.iterdir() if is_image(p) and p.is_file()), key=lambda p: natural_key(p.name))


@dataclass(frozen=True)
class FrameFolder:
    """Image files of one folder, in presentation order."""

    folder: Path
    files: Sequence[Path]


def examine(source: FrameFolder, settings: UpscaleOptions) -> Clip:
    """Return the facts of a folder, from the headers of all selected frames.

    Raises:
        DataError: there are no frames, or none between start and end; one differs in size from the first, or cannot be
            read as RGB without loss.
    """
    count, rate = len(source.files), settings.fps or FPS
    if not count:
        raise DataError(
            f'{source.folder}: got no frames, expected images ({", ".join(IMAGE_SUFFIXES)}) or a video file'
        )
    unit = 1 / rate
    begin = 0 if settings.start is None else int(-(-settings.start // unit))
    stop = count if settings.end is None else min(count, int(-(-settings.end // unit)))
    if settings.preview is not None:
        stop = min(stop, begin + settings.preview)
    if begin >= stop:
        raise DataError(
            f'{source.folder}: got no frames between --start and --end; {count} frames last {float(count * unit):g} s'
        )
    headers = _headers(source, begin, stop)
    height, width = headers[0].size
    deep = any(header.bits > 8 for header in headers)
    return Clip(
        file=source.folder,
        height=height,
        width=width,
        pix_fmt='rgb48le' if deep else 'rgb24',
        coding=Coding('BT.709', False, 16 if deep else 8),
        tags=Tags(),
        time_base=Fraction(unit),
        rate=rate,
        frames=stop - begin,
        first=begin,
        last=stop - 1,
        begin=begin,
        stop=stop,
        notes=tuple(_losses(source.files[begin:stop], headers)),
    )


def _headers(source: FrameFolder, begin: int, stop: int) -> list[ImageHeader]:
    """Return the headers of the selected frames; raises for all problems before the work begins."""
    files = source.files[begin:stop]
    tracked = log.track(files, f'checking the frames of {source.folder}', len(files)) if len(files) > _MANY else files
    headers: list[ImageHeader] = []
    for file in tracked:
        header = read_header(file)
        if headers and header.size != headers[0].size:
            (h, w), (first_h, first_w) = header.size, headers[0].size
            raise DataError(f'{file}: got {w}×{h} pixels, expected {first_w}×{first_h} as in {files[0].name}')
        if header.alpha or header.is_float:
            read_deep(file)  # raises if alpha or floating-point values would be lost
        headers.append(header)
    return headers


def _losses(files: Sequence[Path], headers: Sequence[ImageHeader]) -> Iterator[str]:
    """Yield notes on what of the image files is lost in the output."""
    if missing := missing_numbers([file.stem for file in files]):
        yield f'the numbering has gaps, missing: {listing(missing, 5)}; the frames are shown without a pause'
    paged = [file.name for file, header in zip(files, headers, strict=True) if header.pages > 1]
    if paged:
        remedy = ' (an animated PNG is read as a whole when its name ends in .apng)'
        yield f'only the first picture is read of {listing(paged, 3)}{remedy}'


def read(source: FrameFolder, clip: Clip) -> Iterator[Shown]:
    """Yield the selected frames.

    Raises:
        DataError: a frame cannot be read, or has changed since its header was read.
    """
    for number, file in enumerate(source.files[clip.first : clip.last + 1]):
        pixels = read_deep(file)
        if pixels.shape[:2] != (clip.height, clip.width):
            size = f'{pixels.shape[1]}×{pixels.shape[0]}'
            raise DataError(
                f'{file}: got {size} pixels, expected {clip.width}×{clip.height} as in {source.files[0].name}'
            )
        yield Shown(Still(pixels), number, 1)
