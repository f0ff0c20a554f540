"""What a user may ask of the memory plan; no heavy imports, so that the command line can show it at once."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from iart.errors import SettingError
from iart.settings_fields import add_settings, read_settings, setting

KINDS = ('auto', 'device', 'host', 'disk', 'chunks', 'tiles')
EXACT = ('device', 'host', 'disk')

# Both defaults come from the table in docs/inference.md.
CHUNK_OVERLAP = 6
TILE_OVERLAP = 32
GRID = 8  # tiles start at multiples of this, the side of an attention window

_GROUP = 'memory'


@dataclass(frozen=True)
class PlanOptions:
    """Settings of the memory plan.

    Args:
        kind: one of KINDS; ``auto`` takes the first of the others that fits.
        chunk: number of frames that a chunk delivers; None: as many as fit.
        chunk_overlap: number of frames that a chunk sees beyond its own on each side.
        tile: side of a tile, in LR pixels; None: as large as fits.
        tile_overlap: number of LR pixels that neighboring tiles share.
        half: whether features on disk are stored in half precision.
        spill_to: folder for features on disk; None: the system's temporary folder.

    Raises:
        SettingError: a value that makes no sense.
    """

    kind: str = setting(
        'auto',
        'where features are kept, or how the clip is cut (default auto)',
        group=_GROUP,
        option='--plan',
        choices=KINDS,
    )
    chunk: int | None = setting(
        None, 'frames that a chunk delivers (default: as many as fit)', group=_GROUP, values=int, metavar='FRAMES'
    )
    chunk_overlap: int = setting(
        CHUNK_OVERLAP,
        f'frames that a chunk sees beyond its own on each side (default {CHUNK_OVERLAP})',
        group=_GROUP,
        values=int,
        metavar='FRAMES',
    )
    tile: int | None = setting(
        None,
        'side of a tile, in pixels of the input (default: as large as fits)',
        group=_GROUP,
        values=int,
        metavar='PIXELS',
    )
    tile_overlap: int = setting(
        TILE_OVERLAP,
        f'pixels that neighboring tiles share (default {TILE_OVERLAP})',
        group=_GROUP,
        values=int,
        metavar='PIXELS',
    )
    half: bool = setting(
        False,
        'keep features on disk in half precision: half the room, not exact',
        group=_GROUP,
        option='--half-features',
    )
    spill_to: Path | None = setting(
        None, 'where features on disk go (default: the temporary folder)', group=_GROUP, values=Path, metavar='FOLDER'
    )

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SettingError('kind', f'got {self.kind!r}, expected one of {", ".join(KINDS)}')
        if self.chunk is not None and self.chunk < 1:
            raise SettingError('chunk', f'got {self.chunk}, expected 1 frame or more')
        if self.chunk_overlap < 0:
            raise SettingError('chunk_overlap', f'got {self.chunk_overlap}, expected 0 frames or more')
        if self.tile is not None and (self.tile < 2 * GRID or self.tile % GRID):
            raise SettingError('tile', f'got {self.tile}, expected a multiple of {GRID}, at least {2 * GRID}')
        if self.tile_overlap < 0 or self.tile_overlap % GRID:
            raise SettingError('tile_overlap', f'got {self.tile_overlap}, expected 0 or a multiple of {GRID}')
        if self.tile is not None and self.tile_overlap > self.tile // 2:
            most = self.tile // 2 // GRID * GRID
            raise SettingError('tile_overlap', f'got {self.tile_overlap}, expected at most half of the tile, {most}')
        if self.spill_to is not None and not self.spill_to.is_dir():
            raise SettingError('spill_to', f'{self.spill_to} is no folder, expected one on a disk with room')


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--plan`` and the other settings of the memory plan to a parser."""
    add_settings(parser, PlanOptions)


def plan_options(arguments: argparse.Namespace) -> PlanOptions:
    """Return the settings that a parser with :func:`add_plan_arguments` read.

    Raises:
        UserError: a value that makes no sense; names the option.
    """
    plan: PlanOptions = read_settings(arguments, PlanOptions)
    return plan
