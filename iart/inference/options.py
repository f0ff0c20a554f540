"""Options of the memory plan; no heavy imports, so that the command line shows them at once."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from iart.errors import SettingError
from iart.settings_fields import add_settings, check_settings, read_settings, setting

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
        chunk: number of frames of a chunk; None for as many as fit.
        chunk_overlap: number of additional frames on each side that a chunk reads.
        tile: side of a tile in LR pixels; None for as large as fits.
        tile_overlap: overlap of neighboring tiles in LR pixels.
        half: whether features on disk are stored in half precision.
        spill_to: folder for features on disk; None for the system's temporary folder.

    Raises:
        SettingError: a value is not allowed.
    """

    kind: str = setting(
        'auto',
        'where features are kept, or how the clip is divided (default auto)',
        group=_GROUP,
        option='--plan',
        choices=KINDS,
    )
    chunk: int | None = setting(
        None,
        'frames of a chunk (default: as many as fit)',
        group=_GROUP,
        values=int,
        metavar='FRAMES',
        least=(1, 'frame'),
    )
    chunk_overlap: int = setting(
        CHUNK_OVERLAP,
        f'additional frames on each side that a chunk reads (default {CHUNK_OVERLAP})',
        group=_GROUP,
        values=int,
        metavar='FRAMES',
        least=(0, 'frames'),
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
        'store features on disk in half precision: half the space, not exact',
        group=_GROUP,
        option='--half-features',
    )
    spill_to: Path | None = setting(
        None, 'folder for features on disk (default: the temporary folder)', group=_GROUP, values=Path, metavar='FOLDER'
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.tile is not None and (self.tile < 2 * GRID or self.tile % GRID):
            raise SettingError('tile', f'got {self.tile}, expected a multiple of {GRID}, at least {2 * GRID}')
        if self.tile_overlap < 0 or self.tile_overlap % GRID:
            raise SettingError('tile_overlap', f'got {self.tile_overlap}, expected 0 or a multiple of {GRID}')
        if self.tile is not None and self.tile_overlap > self.tile // 2:
            most = self.tile // 2 // GRID * GRID
            raise SettingError('tile_overlap', f'got {self.tile_overlap}, expected at most half of the tile, {most}')
        if self.spill_to is not None and not self.spill_to.is_dir():
            raise SettingError(
                'spill_to', f'got {self.spill_to}, which is not a folder, expected one on a disk with free space'
            )

    def decides_bits(self) -> list[str | int | bool | None]:
        """Return the values that change bits of the output; the place of features does not."""
        kind = 'whole' if self.kind in (*EXACT, 'auto') else self.kind
        return [kind, self.chunk, self.tile, self.tile_overlap, self.half]


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--plan`` and the other settings of the memory plan to a parser."""
    add_settings(parser, PlanOptions)


def plan_options(arguments: argparse.Namespace) -> PlanOptions:
    """Return the settings from a parser with :func:`add_plan_arguments`.

    Raises:
        UserError: a value is not allowed; names the option.
    """
    plan: PlanOptions = read_settings(arguments, PlanOptions)
    return plan
