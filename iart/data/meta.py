"""Meta files in BasicSR's format: one line per clip, ``000 100 (720,1280,3)``."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from iart import log
from iart.data.names import check_name
from iart.errors import DataError
from iart.files import read_text
from iart.shipped import ROOT

_FULL = re.compile(r'^(?P<name>.+?)\s+(?P<count>\d+)(?:\s+\((?P<h>\d+),\s*(?P<w>\d+)(?:,\s*\d+)?\))?$')
_SHIPPED = ROOT / 'datasets' / 'meta_info'


@dataclass(frozen=True)
class MetaClip:
    """The entry of a clip in a meta file.

    Args:
        frames: number of frames; None if not given.
        size: (h, w) of the ground truth; None if not given.
    """

    frames: int | None = None
    size: tuple[int, int] | None = None


def read_meta(path: str | os.PathLike[str]) -> dict[str, MetaClip]:
    """Read the clips of a meta file, in its order.

    A line is ``name frames (h,w,channels)``; everything after the name is optional. If the file is missing, the shipped
    file of the same name in ``datasets/meta_info`` is read, since upstream YAML files name files of a BasicSR checkout.

    Raises:
        DataError: the file is missing or empty, lists a clip twice, or has a line that cannot be read.
    """
    path = _locate(Path(path))
    clips: dict[str, MetaClip] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        line = line.strip()
        if not line:
            continue
        match = _FULL.match(line)
        if match is None and '(' in line:
            raise DataError(f'{path}:{number}: got {line!r}, expected  name frames (h,w,3)')
        name = check_name(match['name'] if match else line, f'{path}:{number}')
        if name in clips:
            raise DataError(f'{path}:{number}: got clip {name!r} for the second time, expected every clip once')
        clips[name] = _entry(match) if match else MetaClip()
    if not clips:
        raise DataError(f'{path}: got no clips, expected one line per clip:  name frames (h,w,3)')
    return clips


def _entry(match: re.Match[str]) -> MetaClip:
    return MetaClip(int(match['count']), (int(match['h']), int(match['w'])) if match['h'] else None)


def _locate(path: Path) -> Path:
    if path.is_file():
        return path
    shipped = _SHIPPED / path.name
    if shipped.is_file():
        log.once(f'meta_info_file {path} does not exist; using {shipped}')
        return shipped
    raise DataError(
        f'meta_info_file {path}: no such file, expected a text file with one line per clip:  name frames (h,w,3)\n'
        'The key is optional: without it, all clips under dataroot_lq are used, with their number of frames'
    )
