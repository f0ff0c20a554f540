"""Opening of video files: their extensions, and which stream of a file is the video."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from iart.errors import DataError
from iart.video import pyav

VIDEO_SUFFIXES = (
    *('.mp4', '.mkv', '.mov', '.avi', '.webm', '.m4v', '.mpg', '.mpeg', '.ts', '.y4m', '.ogv'),
    *('.wmv', '.asf', '.flv', '.f4v', '.m2ts', '.mts', '.m2t', '.tp', '.trp', '.3gp', '.3g2', '.mxf', '.vob', '.evo'),
    *('.divx', '.xvid', '.ogm', '.ogx', '.rm', '.rmvb', '.dv', '.dif', '.m1v', '.m2v', '.mpv', '.mpe', '.m2p', '.mp4v'),
    *('.h264', '.264', '.avc', '.h265', '.265', '.hevc', '.h266', '.266', '.vvc', '.ivf', '.obu', '.av1', '.vc1'),
    *(
        '.nut',
        '.mjpg',
        '.mjpeg',
        '.gif',
        '.apng',
        '.wtv',
        '.amv',
        '.nsv',
        '.gxf',
        '.qt',
        '.mod',
        '.tod',
        '.mj2',
        '.ismv',
    ),
    *('.insv', '.lrv', '.thp', '.bik', '.bk2', '.smk', '.roq', '.fli', '.flc', '.ivr', '.nuv', '.pva', '.str', '.vro'),
)
"""Extensions of files that FFmpeg reads as video."""

_KINDS = {
    stat.S_IFIFO: 'a pipe',
    stat.S_IFCHR: 'a device',
    stat.S_IFBLK: 'a device',
    stat.S_IFSOCK: 'a socket',
}


def is_video(path: str | os.PathLike[str]) -> bool:
    """Return whether a path has the extension of a video file."""
    return os.fspath(path).lower().endswith(VIDEO_SUFFIXES) and not os.path.basename(path).startswith('.')


def check_seekable(path: Path) -> None:
    """Check that a path is not a pipe, a device or a socket: inputs are read several times.

    Raises:
        DataError: it is one; the message names the remedy. A path that does not exist passes.
    """
    if str(path) == '-':
        raise DataError(f'-: standard input {_PIPE_REMEDY}')
    with contextlib.suppress(OSError):
        if kind := _KINDS.get(stat.S_IFMT(path.stat().st_mode)):
            raise DataError(f'{path}: is {kind} and {_PIPE_REMEDY}')


_PIPE_REMEDY = (
    'can be read only once, expected a file: it is read several times. Save it first, for example  ... > input.mkv'
)


@contextlib.contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turn what FFmpeg raises inside the block into a DataError that names the file."""
    import av

    try:
        yield
    except EOFError as error:
        raise DataError(f'{file}: got no frames, the file ends before the first, expected a video') from error
    except (av.error.FFmpegError, OSError) as error:
        reason = error.strerror or error
        raise DataError(
            f'{file}: cannot be read as video ({reason}); it is not one, or damaged: copy or download it again'
        ) from error


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Any]:
    """Open a file that holds a video stream; a context manager that gives PyAV's container.

    Raises:
        DataError: it cannot be read, or holds no video stream; also for errors of FFmpeg inside the block.
    """

    check_seekable(file)
    # "file:": a colon in the name would end the name of a protocol
    with readable(file), pyav.open_input(f'file:{file}') as container:
        if not container.streams.video:
            raise DataError(f'{file}: got no video stream, expected a video file')
        yield container


def picture_stream(container: Any, file: Path) -> Any:
    """Return a container's video: its first video stream that is not an attached picture.

    Args:
        container: PyAV's input container.
        file: the video's path, for messages.

    Raises:
        DataError: it holds attached pictures (covers) only, or video of an unknown codec.
    """
    for stream in container.streams.video:
        if not pyav.is_attached_picture(stream):
            if stream.codec_context is None:
                raise DataError(
                    f'{file}: got video of a codec that this FFmpeg does not know, expected one that it decodes: '
                    'convert it first, with the program that made it'
                )
            return stream
    raise DataError(f'{file}: got sound with an attached picture (its cover), expected a video file')
