"""Inputs of ``iart upscale`` from its arguments, paired with their outputs."""

import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iart import log
from iart.errors import DataError, UserError, listing
from iart.image import IMAGE_SUFFIXES, natural_key
from iart.upscaling import folder_source as folders
from iart.upscaling import video_source as videos
from iart.upscaling.folder_source import FrameFolder, is_image
from iart.upscaling.upscale_options import VIDEO_OUTPUTS, UpscaleOptions, is_video_output
from iart.video.container import check_seekable, is_video
from iart.video.facts import Clip
from iart.video.pictures import Shown

Source = Path | FrameFolder
"""A video file, or the frames of a folder."""


@dataclass(frozen=True)
class Job:
    """One input and its output: a video file, or a folder of frames."""

    source: Source
    output: Path
    is_video: bool


@dataclass
class _Inputs:
    """The inputs that arguments name.

    Args:
        sources: videos and folders of frames, in order.
        several: whether several inputs are possible, even if there is one: the output is then a folder of outputs.
        skipped: files that are neither videos nor frames.
    """

    sources: list[Source] = field(default_factory=list)
    several: bool = False
    skipped: list[Path] = field(default_factory=list)


def find_jobs(inputs: Sequence[str], output: Path) -> list[Job]:
    """Pair inputs and outputs.

    Args:
        inputs: video files, folders of frames, folders of these, image files, or patterns of all of them. Image files
            of one folder are the frames of one clip.
        output: a video file or a folder; with several inputs (or a folder of videos or of clips, or a pattern of
            videos, however many there are) a folder, in which each gets an output of its own name.

    Raises:
        UserError: an input does not exist, or the output does not fit.
    """
    named = _named(inputs)
    sources = named.sources
    if named.skipped:
        log.logger.warning(
            f'skipped, neither videos nor frames by their endings: {listing(map(str, named.skipped), 10)}'
        )
    if len(sources) == 1 and (not named.several or is_video_output(output)):
        jobs = [Job(sources[0], output, is_video_output(output))]
    elif is_video_output(output):
        raise UserError(f'{output}: got {len(sources)} inputs for one video, expected a folder to write to')
    else:
        jobs = [_within(output, source) for source in sources]
    for job in jobs:
        if any(job.output.resolve() == path_of(source).resolve() for source in sources):
            raise UserError(f'{job.output}: is an input, expected another output')
    if len({job.output for job in jobs}) < len(jobs):
        raise UserError(f'{output}: two inputs have the same name; upscale them one by one')
    return jobs


def path_of(source: Source) -> Path:
    """Return the video, or the folder of the frames."""
    return source.folder if isinstance(source, FrameFolder) else source


def _within(output: Path, source: Source) -> Job:
    if isinstance(source, FrameFolder):
        return Job(source, output / source.folder.resolve().name, False)
    suffix = source.suffix.lower()
    return Job(source, output / (source.name if suffix in VIDEO_OUTPUTS else f'{source.stem}.mp4'), True)


def _named(inputs: Sequence[str]) -> _Inputs:
    """Return the inputs that arguments name; image files are grouped by folder."""
    named = _Inputs()
    images: dict[Path, list[Path]] = {}
    for text in inputs:
        is_pattern = glob.has_magic(text) and not os.path.lexists(text)
        for path in _expand(text) if is_pattern else [Path(text)]:
            if is_image(path) and path.is_file():
                if path.parent not in images:
                    images[path.parent] = []
                    named.sources.append(FrameFolder(path.parent, images[path.parent]))
                images[path.parent].append(path)
            elif is_pattern and path.is_file() and not is_video(path):
                named.skipped.append(path)
            else:
                _add(named, path)
                named.several |= is_pattern
    for files in images.values():
        files[:] = sorted(dict.fromkeys(files), key=lambda p: natural_key(p.name))
    if not named.sources:
        raise DataError(
            f'{listing(inputs, 5)}: got {listing([p.name for p in named.skipped], 5) or "nothing"}, expected video '
            'files or frames'
        )
    return named


def _expand(text: str) -> list[Path]:
    names = sorted(glob.glob(os.path.expanduser(text), recursive=True), key=natural_key)
    if not names:
        raise DataError(f'{text}: no file matches, expected a video file, a folder of frames, or a pattern of them')
    return [Path(name) for name in names]


def _add(named: _Inputs, path: Path) -> None:
    """Add the videos or frames of a path.

    Raises:
        DataError: it does not exist, is a pipe, or contains neither videos nor frames, or both.
    """
    check_seekable(path)
    if path.is_file():
        named.sources.append(path)
        return
    if not path.is_dir():
        raise DataError(f'{path}: does not exist, expected a video file, a folder of frames, or a pattern of them')
    inside = sorted((p for p in path.iterdir() if not p.name.startswith('.')), key=lambda p: natural_key(p.name))
    files = [p for p in inside if p.is_file()]
    movies, frames = [p for p in files if is_video(p)], [p for p in files if is_image(p)]
    if movies and len(frames) > len(movies) and len(frames) > _FEW_IMAGES:
        raise DataError(
            f'{path}: got {len(frames)} images and {len(movies)} videos ({listing([p.name for p in movies], 3)}), '
            f'expected one of both: give a pattern such as  "{path}/*{frames[0].suffix}"  or  '
            f'"{path}/*{movies[0].suffix}"'
        )
    if movies:
        named.sources += movies
    elif frames:
        named.sources.append(FrameFolder(path, frames))
    named.several |= bool(movies)
    named.skipped += [p for p in files if p not in (set(movies) if movies else set(frames))]
    if movies or frames:
        return
    clips = [FrameFolder(p, content) for p in inside if p.is_dir() and (content := folders.frames_in(p))]
    if not clips:
        there = listing([p.name for p in inside], 5) or 'nothing'
        raise DataError(
            f'{path}: got no frames and no videos in it, but {there}; expected images ({", ".join(IMAGE_SUFFIXES)}) '
            'or video files'
        )
    named.sources += clips
    named.several = True


_FEW_IMAGES = 4
"""Up to this number, images beside videos are covers, not frames."""


def examine(source: Source, settings: UpscaleOptions, *, upright: bool = False) -> Clip:
    """Return the facts of an input.

    Args:
        source: the input.
        settings: the user's settings.
        upright: whether to rotate frames as the file states, if the output cannot state it.

    Raises:
        DataError: it cannot be upscaled.
    """
    if isinstance(source, FrameFolder):
        return folders.examine(source, settings)
    return videos.examine(source, settings, upright=upright)


def read(source: Source, clip: Clip, settings: UpscaleOptions) -> Iterator[Shown]:
    """Yield the selected frames of an input, in order."""
    return folders.read(source, clip) if isinstance(source, FrameFolder) else videos.read(clip, settings)


def names(source: Source, clip: Clip) -> list[str] | None:
    """Return the names of the frames without extension; None for a video.

    Raises:
        DataError: two frames differ only in extension.
    """
    if not isinstance(source, FrameFolder):
        return None
    stems = [file.stem for file in source.files[clip.first : clip.last + 1]]
    if len(set(stems)) < len(stems):
        raise DataError(
            f'{source.folder}: got two frames that differ only in extension, expected one of them, or a video as output'
        )
    return stems


def identity(source: Source) -> dict[str, Any]:
    """Return what identifies an input and its version, without reading all of it."""
    files = source.files if isinstance(source, FrameFolder) else [source]
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(os.fsencode(f'{file.name} {status.st_size} {status.st_mtime_ns}\n'))
    return {'name': path_of(source).name, 'files': len(files), 'digest': digest.hexdigest()}
