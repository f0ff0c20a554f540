"""Execution of memory plans."""

import itertools
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from iart.archs.stores import Store, StoreFactory, stores, streams
from iart.inference.plan import Plan
from iart.inference.tiling import Tile, TilePart, chunks, tiles

_HOST = torch.device('cpu')


def run(
    network: nn.Module,
    frames: Sequence[Tensor],
    plan: Plan,
    device: torch.device,
    *,
    scale: int,
    skip: int = 0,
    spill_to: Path | None = None,
) -> Generator[Tensor, None, None]:
    """Restore a clip by a memory plan.

    Args:
        network: the network on ``device``, in evaluation mode.
        frames: (n, 3, h, w) frames on any device.
        plan: the plan for a clip of this size.
        scale: the network's scale.
        skip: number of frames at the beginning that are not output.
        spill_to: folder for features on disk.

    Yields:
        (n, 3, s·h, s·w) for each output frame; in host memory for tiles, else on the device.

    Raises:
        OSError: the disk is full.
    """
    whole = Tile(slice(0, plan.size.height), slice(0, plan.size.width), torch.ones(()))
    pieces = tiles(plan.size.height, plan.size.width, plan.tile, plan.tile_overlap, scale) if plan.tile else [whole]
    for chunk in chunks(len(frames), plan.chunk or len(frames), plan.chunk_overlap):
        numbers = range(max(chunk.own.start, skip) - chunk.seen.start, chunk.own.stop - chunk.seen.start)
        if not numbers:
            continue
        restored = [
            _restored(network, TilePart(frames, chunk.seen, t.rows, t.columns), numbers, plan, device, spill_to)
            for t in pieces
        ]
        if len(pieces) == 1:
            yield from restored[0]
        else:
            with stores(plan.outputs, _HOST, folder=spill_to) as store:
                yield from _put_together(pieces, restored, store, len(numbers), scale)


def _restored(
    network: nn.Module, part: TilePart, numbers: range, plan: Plan, device: torch.device, spill_to: Path | None
) -> Iterator[Tensor]:
    """Yield the frames ``numbers`` of a part of the clip, on the device.

    Computation starts with the first frame that is requested and ends with the last.
    """
    with stores(plan.features, device, folder=spill_to, half=plan.half) as store:
        outputs = (
            network.frames(part, store)  # type: ignore[operator]
            if streams(network)
            else network(torch.stack([part[i].to(device) for i in range(len(part))], dim=1)).unbind(1)
        )
        yield from itertools.islice(outputs, numbers.start, numbers.stop)


def _put_together(
    pieces: Sequence[Tile], restored: Sequence[Iterator[Tensor]], store: StoreFactory, frames: int, scale: int
) -> Iterator[Tensor]:
    """Restore tile after tile, all frames of each, then blend the tiles of each frame."""
    waiting: list[Store] = []
    for stream in restored:
        waiting.append(store(frames))
        for index, frame in enumerate(stream):
            waiting[-1][index] = frame.float().to(_HOST)
    height, width = (
        max(part.stop for part in side) * scale for side in zip(*((t.rows, t.columns) for t in pieces), strict=True)
    )
    for index in range(frames):
        canvas = torch.zeros(*waiting[0][index].shape[:2], height, width)
        for tile, outputs in zip(pieces, waiting, strict=True):
            rows, columns = (slice(part.start * scale, part.stop * scale) for part in (tile.rows, tile.columns))
            canvas[..., rows, columns] += outputs[index] * tile.weight
            outputs.free(index)
        yield canvas
