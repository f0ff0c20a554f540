"""What a user may say about the memory plan; no heavy imports, so that the command line can show it at once."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from iart.errors import UserError

KINDS = ('auto', 'device', 'host', 'disk', 'chunks', 'tiles')
EXACT = ('device', 'host', 'disk')

# Both defaults come from the table in docs/inference.md.
CHUNK_OVERLAP = 6
TILE_OVERLAP = 32
GRID = 8  # tiles start at multiples of this, the side of an attention window


@dataclass(frozen=True)
class PlanOptions:
    """Wishes for the memory plan.

    Args:
        kind: one of KINDS; ``auto`` takes the first of the others that fits.
        chunk: frames that a chunk delivers; None: as many as fit.
        chunk_overlap: frames that a chunk sees beyond these on each side.
        tile: side of a tile in LR pixels; None: as large as fits.
        tile_overlap: LR pixels that neighbouring tiles share.
        half: keep features on disk in half precision.
        spill_to: folder for features on disk; None: the system's temporary folder.

    Raises:
        UserError: a value that makes no sense.
    """

    kind: str = 'auto'
    chunk: int | None = None
    chunk_overlap: int = CHUNK_OVERLAP
    tile: int | None = None
    tile_overlap: int = TILE_OVERLAP
    half: bool = False
    spill_to: Path | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f'--plan: got {self.kind!r}, expected one of {", ".join(KINDS)}')
        if self.chunk is not None and self.chunk < 1:
            raise UserError(f'--chunk: got {self.chunk}, expected 1 frame or more')
        if self.chunk_overlap < 0:
            raise UserError(f'--chunk-overlap: got {self.chunk_overlap}, expected 0 frames or more')
        if self.tile is not None and (self.tile < 2 * GRID or self.tile % GRID):
            raise UserError(f'--tile: got {self.tile}, expected a multiple of {GRID} from {2 * GRID} on')
        if self.tile_overlap < 0 or self.tile_overlap % GRID:
            raise UserError(f'--tile-overlap: got {self.tile_overlap}, expected 0 or a multiple of {GRID}')
        if self.tile is not None and self.tile_overlap > self.tile // 2:
            raise UserError(
                f'--tile-overlap: got {self.tile_overlap}, expected at most half of the tile, '
                f'{self.tile // 2 // GRID * GRID}'
            )
        if self.spill_to is not None and not self.spill_to.is_dir():
            raise UserError(f'--spill-to: {self.spill_to} is no folder, expected one on a disk with room')


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """``--plan`` and what belongs to it; :func:`plan_options` reads them."""
    group = parser.add_argument_group('memory')
    group.add_argument(
        '--plan', choices=KINDS, default='auto', help='where features are kept, or how the clip is cut (default auto)'
    )
    group.add_argument(
        '--chunk', type=int, metavar='FRAMES', help='frames that a chunk delivers (default: as many as fit)'
    )
    text = f'frames that a chunk sees beyond its own on each side (default {CHUNK_OVERLAP})'
    group.add_argument('--chunk-overlap', type=int, metavar='FRAMES', default=CHUNK_OVERLAP, help=text)
    group.add_argument(
        '--tile', type=int, metavar='PIXELS', help='side of a tile, in pixels of the input (default: as large as fits)'
    )
    text = f'pixels that neighbouring tiles share (default {TILE_OVERLAP})'
    group.add_argument('--tile-overlap', type=int, metavar='PIXELS', default=TILE_OVERLAP, help=text)
    group.add_argument(
        '--half-features', action='store_true', help='keep features on disk in half precision: half the room, not exact'
    )
    group.add_argument(
        '--spill-to', type=Path, metavar='FOLDER', help='where features on disk go (default: the temporary folder)'
    )


def plan_options(arguments: argparse.Namespace) -> PlanOptions:
    """What :func:`add_plan_arguments` has read.

    Raises:
        UserError: a value that makes no sense.
    """
    return PlanOptions(
        kind=arguments.plan,
        chunk=arguments.chunk,
        chunk_overlap=arguments.chunk_overlap,
        tile=arguments.tile,
        tile_overlap=arguments.tile_overlap,
        half=arguments.half_features,
        spill_to=arguments.spill_to,
    )
