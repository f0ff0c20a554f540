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
    """What a meta file says about a clip.

    Args:
        frames: number of frames; None where the file does not say.
        size: (h, w) of the ground truth; None where the file does not say.
    """

    frames: int | None = None
    size: tuple[int, int] | None = None


def read_meta(path: str | os.PathLike[str]) -> dict[str, MetaClip]:
    """Clips named by a meta file, in its order.

    A line is ``name frames (h,w,channels)``; what follows the name may be left out. A file that is not where the
    options say is looked for under the same name in ``datasets/meta_info``, since upstream YAML files name files of
    a BasicSR checkout.

    Raises:
        DataError: the file is missing or empty, a clip stands in it twice, or a line cannot be read.
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
            raise DataError(f'{path}:{number}: clip {name!r} stands here for the second time')
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
        log.once(f'meta_info_file {path} is not there; {shipped} is taken instead')
        return shipped
    raise DataError(
        f'meta_info_file {path}: no such file, expected a text file with one line per clip:  name frames (h,w,3)\n'
        'The key can also be left out: then all clips found under dataroot_lq are taken, with the lengths found there'
    )
