"""Which frames a video file has, when each is shown, and where decoding can begin."""

import bisect
import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from iart.errors import DataError
from iart.files import write_atomically
from iart.image import Size

VIDEO_SUFFIXES = ('.mp4', '.mkv', '.mov', '.avi', '.webm', '.m4v', '.mpg', '.mpeg', '.ts', '.y4m', '.ogv')
_WORTH_KEEPING = 1.0  # seconds that an index must have taken to be written to a hidden file beside the video
_FORMAT = 1  # of that file


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a video file, going by its ending."""
    return os.fspath(path).lower().endswith(VIDEO_SUFFIXES) and not os.path.basename(path).startswith('.')


@dataclass(frozen=True)
class VideoIndex:
    """What must be known of a video to reach every frame.

    Args:
        times: presentation time of each frame, in the stream's units, ascending.
        keys: the times at which decoding can begin, ascending.
        size: (h, w).
    """

    times: tuple[int, ...]
    keys: tuple[int, ...]
    size: Size

    def key_before(self, moment: int, back: int = 0) -> int | None:
        """The last place at or before ``moment`` where decoding can begin, or the one ``back`` places earlier; None:
        the beginning.
        """
        at = bisect.bisect_right(self.keys, moment) - 1 - back
        return self.keys[at] if at >= 0 else None


def index_of(file: Path) -> VideoIndex:
    """A video's index: the one kept beside it, else made now, and kept beside it if that took long and can be
    written."""
    held = _load_index(file)
    if held is not None:
        return held
    begin = time.monotonic()
    index = make_index(file)
    if time.monotonic() - begin > _WORTH_KEEPING:
        _save_index(file, index)
    return index


def make_index(file: Path) -> VideoIndex:
    """Read a video's packets without decoding them; where they do not tell the times of frames, decode the whole file.

    Raises:
        DataError: not a video, or a video without frames.
    """
    with opened(file) as container:
        stream = container.streams.video[0]
        size = (stream.height, stream.width)
        packets = [
            (p.pts, p.is_keyframe) for p in container.demux(stream) if p.size and not p.is_discard and not p.is_corrupt
        ]
    times = [pts for pts, _ in packets]
    if None in times or len(set(times)) < len(times):
        with opened(file) as container:
            times = [frame.pts for frame in container.decode(container.streams.video[0])]
        if None in times or len(set(times)) < len(times):
            raise DataError(
                f'{file}: its frames have no times of their own; copy it to another container, such as .mkv'
            )
    if not times:
        raise DataError(f'{file}: got no frames, expected a video')
    return VideoIndex(tuple(sorted(times)), tuple(sorted(pts for pts, key in packets if key and pts is not None)), size)


def _index_file(file: Path) -> Path:
    return file.with_name(f'.{file.name}.index.json')


def _fingerprint(file: Path) -> list[int]:
    status = file.stat()
    return [_FORMAT, status.st_size, status.st_mtime_ns]


def _load_index(file: Path) -> VideoIndex | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        held = json.loads(_index_file(file).read_text(encoding='utf-8'))
        if held.pop('of') == _fingerprint(file):
            return VideoIndex(tuple(held['times']), tuple(held['keys']), (held['size'][0], held['size'][1]))
    return None


def _save_index(file: Path, index: VideoIndex) -> None:
    text = json.dumps({'of': _fingerprint(file), **asdict(index)})
    with contextlib.suppress(OSError):  # a folder that cannot be written only costs the time to make the index again
        write_atomically(_index_file(file), lambda name: Path(name).write_text(text, encoding='utf-8'))


@contextlib.contextmanager
def opened(file: Path) -> Iterator[Any]:
    """The open container; whatever goes wrong with it becomes a DataError naming the file."""
    import av  # here, because only video files need it

    try:
        with av.open(str(file)) as container:
            if not container.streams.video:
                raise DataError(f'{file}: got no video stream, expected a video file')
            yield container
    except EOFError as error:
        raise DataError(f'{file}: got no frames, the file ends before the first, expected a video') from error
    except (av.error.FFmpegError, OSError) as error:
        reason = error.strerror or error
        raise DataError(
            f'{file}: cannot be read as video ({reason}); it is none, or damaged: copy or download it again'
        ) from error
