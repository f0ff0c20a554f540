"""Division of a clip into chunks of frames and tiles of pixels, and blending of tiles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from iart.inference.options import GRID


@dataclass(frozen=True)
class Chunk:
    """Frames ``seen`` by the network, of which ``own`` are output."""

    own: range
    seen: range


def chunks(frames: int, length: int, overlap: int) -> Iterator[Chunk]:
    """Divide a clip: each chunk outputs ``length`` frames and reads up to ``overlap`` more on each side."""
    for start in range(0, frames, length):
        stop = min(start + length, frames)
        yield Chunk(range(start, stop), range(max(0, start - overlap), min(frames, stop + overlap)))


def spans(size: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Divide one side of an image into pieces of at most ``tile`` pixels that overlap by ``overlap`` pixels or more.

    All begin at multiples of GRID (so do ``tile`` and ``overlap``): the attention windows in a tile are then those of
    the whole frame.
    """
    if size <= tile:
        return [(0, size)]
    starts = list(range(0, size - overlap, tile - overlap))
    starts[-1] = -(-(size - tile) // GRID) * GRID
    return [(start, min(start + tile, size)) for start in starts]


def feathers(pieces: Sequence[tuple[int, int]], scale: int) -> list[Tensor]:
    """Return the weights of each piece's output pixels along one side.

    In the overlap of two pieces, the weight changes linearly from one to the other; the weights of all pieces add up to
    1 everywhere.

    Returns:
        Per piece a float32 tensor of ``scale`` times its length.
    """
    raw = []
    for number, (start, stop) in enumerate(pieces):
        place = (torch.arange((stop - start) * scale, dtype=torch.float32) + 0.5) / scale
        weight = torch.ones_like(place)
        if number and (shared := pieces[number - 1][1] - start) > 0:
            weight = weight.minimum(place / shared)
        if number + 1 < len(pieces) and (shared := stop - pieces[number + 1][0]) > 0:
            weight = weight.minimum((stop - start - place) / shared)
        raw.append(weight)
    total = torch.zeros(pieces[-1][1] * scale)
    for (start, stop), weight in zip(pieces, raw, strict=True):
        total[start * scale : stop * scale] += weight
    return [weight / total[start * scale : stop * scale] for (start, stop), weight in zip(pieces, raw, strict=True)]


@dataclass(frozen=True)
class Tile:
    """Part of a frame: rows and columns in LR pixels, and the weight of each output pixel (scale·rows,
    scale·columns)."""

    rows: slice
    columns: slice
    weight: Tensor


def tiles(height: int, width: int, tile: int, overlap: int, scale: int) -> list[Tile]:
    """Divide a frame into tiles; see :func:`spans` and :func:`feathers`."""
    down, across = spans(height, tile, overlap), spans(width, tile, overlap)
    rows = list(zip(down, feathers(down, scale), strict=True))
    columns = list(zip(across, feathers(across, scale), strict=True))
    return [Tile(slice(*r), slice(*c), weight_r[:, None] * weight_c) for r, weight_r in rows for c, weight_c in columns]


class TilePart:
    """Some frames and pixels of a clip, read on demand.

    Args:
        clip: (n, 3, h, w) frames.
        frames: range of frames.
        rows, columns: ranges of pixels.
    """

    def __init__(
        self, clip: Sequence[Tensor], frames: range, rows: slice = slice(None), columns: slice = slice(None)
    ) -> None:
        self._clip, self._frames, self._rows, self._columns = clip, frames, rows, columns

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Tensor:
        """Return (n, 3, rows, columns) of a frame."""
        return self._clip[self._frames[index]][..., self._rows, self._columns]

    @property
    def flows(self) -> tuple[Tensor, ...] | None:
        """The same part of the flows that come with the clip; None if there are none."""
        flows = getattr(self._clip, 'flows', None)
        if flows is None:
            return None
        pairs = slice(self._frames.start, max(self._frames.stop - 1, self._frames.start))
        return tuple(flow[:, pairs, :, self._rows, self._columns] for flow in flows)
