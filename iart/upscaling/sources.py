"""What the arguments of ``iart upscale`` mean: which inputs there are, and which output each gets."""

import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iart.errors import DataError, UserError
from iart.image import IMAGE_SUFFIXES, natural_key
from iart.upscaling import folder_source as folders
from iart.upscaling import video_source as videos
from iart.upscaling.folder_source import Frames, frames_in
from iart.upscaling.settings import VIDEO_OUTPUTS, Settings, is_video_output
from iart.video.facts import Clip
from iart.video.index import is_video
from iart.video.pictures import Shown

Source = Path | Frames
"""A video file, or the frames of a folder."""


@dataclass(frozen=True)
class Job:
    """One input and its output: a video file, or a folder of frames."""

    source: Source
    output: Path
    is_video: bool


def find_jobs(inputs: Sequence[str], output: Path) -> list[Job]:
    """Pair inputs and outputs.

    Args:
        inputs: video files, folders of frames, folders of these, image files, or patterns of all of them.
        output: a video file or a folder; with several inputs a folder, in which each gets an output of its own name.

    Raises:
        UserError: an input is not there, or the output does not fit.
    """
    sources = _sources([path for text in inputs for path in _expand(text)])
    if len(sources) == 1:
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
    """The video, or the folder of the frames."""
    return source.folder if isinstance(source, Frames) else source


def _within(output: Path, source: Source) -> Job:
    if isinstance(source, Frames):
        return Job(source, output / source.folder.resolve().name, False)
    suffix = source.suffix.lower()
    return Job(source, output / (source.name if suffix in VIDEO_OUTPUTS else f'{source.stem}.mp4'), True)


def _expand(text: str) -> list[Path]:
    if os.path.lexists(text) or not glob.has_magic(text):
        return [Path(text)]
    found = sorted(glob.glob(os.path.expanduser(text), recursive=True), key=natural_key)
    if not found:
        raise DataError(
            f'{text}: nothing is called so, expected a video file, a folder of frames, or a pattern of them'
        )
    return [Path(name) for name in found]


def _sources(paths: Sequence[Path]) -> list[Source]:
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    found: list[Source] = []
    for path in paths:
        if path in images:
            if path == images[0]:
                found.append(Frames(path.parent, sorted(images, key=lambda p: natural_key(p.name))))
        else:
            found += _source(path)
    return found


def _source(path: Path) -> list[Source]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f'{path}: does not exist, expected a video file, a folder of frames, or a pattern of them')
    if files := frames_in(path):
        return [Frames(path, files)]
    inside = sorted(path.iterdir(), key=lambda p: natural_key(p.name))
    if found := [p for p in inside if is_video(p)]:
        return list(found)
    if clips := [
        Frames(p, files) for p in inside if p.is_dir() and not p.name.startswith('.') and (files := frames_in(p))
    ]:
        return list(clips)
    raise DataError(
        f'{path}: got no frames and no videos in it, expected images ({", ".join(IMAGE_SUFFIXES)}) or a video file'
    )


def examine(source: Source, settings: Settings) -> Clip:
    """The facts of an input; raises DataError where it cannot be upscaled."""
    return folders.examine(source, settings) if isinstance(source, Frames) else videos.examine(source, settings)


def read(source: Source, clip: Clip, settings: Settings) -> Iterator[Shown]:
    """The frames of an input that are wanted, in order."""
    return folders.read(source, clip) if isinstance(source, Frames) else videos.read(clip, settings)


def names(source: Source, clip: Clip) -> list[str] | None:
    """Names of the frames without ending, where they have some.

    Raises:
        DataError: two frames differ only in their ending.
    """
    if not isinstance(source, Frames):
        return None
    found = [file.stem for file in source.files[clip.first : clip.last + 1]]
    if len(set(found)) < len(found):
        raise DataError(
            f'{source.folder}: two frames differ only in their ending, expected one of them, or a video to write to'
        )
    return found


def identity(source: Source) -> dict[str, Any]:
    """What tells an input from another one, or from a changed one, without reading all of it."""
    files = source.files if isinstance(source, Frames) else [source]
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f'{file.name} {status.st_size} {status.st_mtime_ns}\n'.encode())
    return {'name': path_of(source).name, 'files': len(files), 'digest': digest.hexdigest()}
