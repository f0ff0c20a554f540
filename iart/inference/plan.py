"""Choice of a memory plan before a clip is restored, from its size, the network's costs and the free memory."""

import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from iart import device as devices
from iart import distributed, memory
from iart.archs.stores import Place
from iart.errors import UserError, quantity
from iart.inference.costs import Costs
from iart.inference.options import EXACT, GRID, PlanOptions
from iart.inference.tiling import spans
from iart.registry import SMALLEST_SIDE

_SHARE = 0.85  # of free memory that a plan may expect to use
_APART = (
    256 * 2**20
)  # bytes on the device that do not depend on the frame: libraries, workspaces, flows of a batch of small frames
_TILES = (1024, 768, 512, 384, 256, 192, 128, 96, 64, 48, 32)
_TITLES = {
    'device': 'everything on the device',
    'host': 'features in host memory',
    'disk': 'features on disk',
    'chunks': 'chunks of {chunk} frames, with {chunk_overlap} more on each side',
    'tiles': 'tiles of {tile}×{tile} pixels, {tile_overlap} shared',
}


@dataclass(frozen=True)
class Size:
    """A clip: number of frames, height and width of a frame in LR pixels, number of clips side by side."""

    frames: int
    height: int
    width: int
    clips: int = 1


@dataclass(frozen=True)
class Budget:
    """Free bytes. ``shared``: whether the device computes in host memory, so that ``host`` is the only memory."""

    device: int
    host: int
    disk: int
    shared: bool


@dataclass(frozen=True)
class Plan:
    """A way of restoring a clip, with the bytes it is expected to take in addition to weights and clip.

    Args:
        kind: ``device``, ``host``, ``disk``, ``chunks`` or ``tiles``.
        size: size of the clip.
        features: where features are kept between passes.
        outputs: where outputs of tiles are kept until the frame is complete.
        chunk: frames of a chunk; 0 if the clip is not divided.
        chunk_overlap: additional frames on each side that a chunk reads.
        tile: side of a tile in LR pixels; 0 if frames are not divided.
        tile_overlap: overlap of neighboring tiles in LR pixels.
        half: whether features on disk are stored in half precision.
        device, host, disk: expected bytes.
        shared: whether device and host are one memory.
    """

    kind: str
    size: Size
    features: Place = 'device'
    outputs: Place = 'host'
    chunk: int = 0
    chunk_overlap: int = 0
    tile: int = 0
    tile_overlap: int = 0
    half: bool = False
    device: int = 0
    host: int = 0
    disk: int = 0
    shared: bool = False

    @property
    def exact(self) -> bool:
        """Whether every frame is bit-exact with a run that keeps everything on the device."""
        return self.kind in EXACT and not self.half

    @property
    def how(self) -> str:
        """Description of the plan."""
        how = _TITLES[self.kind].format_map(vars(self))
        if self.kind == 'tiles' and self.chunk:
            how += f', in {_TITLES["chunks"].format_map(vars(self))}'
        if self.kind in ('chunks', 'tiles') and self.features != 'device':
            how += f', {_TITLES[self.features]}'
        return f'{how} in half precision' if self.half else how

    def describe(self) -> str:
        """Return one line with the plan, the clip, the expected memory, and whether it is exact."""
        bytes_in = (
            {'in memory': self.device + self.host}
            if self.shared
            else {'on the device': self.device, 'in host memory': self.host}
        )
        expected = ', '.join(
            f'{spell(count)} {where}' for where, count in {**bytes_in, 'on disk': self.disk}.items() if count
        )
        quality = 'exact' if self.exact else 'not exact'
        clip = f'{quantity(self.size.frames, "frame")} of {self.size.width}×{self.size.height}'
        return f'plan: {self.how}; {clip}; expected {expected}; {quality}'

    def fits(self, budget: Budget) -> bool:
        """Return whether the expected bytes are free, with a margin."""
        memory = self.device + _APART + self.host
        if self.shared:
            enough = memory <= _SHARE * budget.host
        else:
            enough = self.device + _APART <= _SHARE * budget.device and self.host <= _SHARE * budget.host
        return enough and self.disk <= _SHARE * budget.disk


def budget(device: torch.device, spill_to: Path | None) -> Budget:
    """Return the memory that is free for this process, which divides shared memory with others of the run on this
    machine.

    A temporary folder in memory counts as full: spilling to it would save nothing.
    """
    folder = spill_to or Path(tempfile.gettempdir())
    disk = 0 if memory.lies_in_memory(folder) else shutil.disk_usage(folder).free
    shared, ranks = devices.takes_host_memory(device), distributed.local_world_size()
    on_device, on_host = devices.free_memory(device), memory.free_host_memory()
    if shared:  # one memory, of which the device may allow less
        on_device = on_host = min(on_device, on_host) // ranks
    return Budget(on_device, on_host // ranks if not shared else on_host, disk // ranks, shared)


def plans(size: Size, costs: Costs, options: PlanOptions, *, shared: bool) -> list[Plan]:
    """Return all plans that are allowed, in order of preference: from exact and fast to small.

    If ``options.kind`` is given, the plans of this kind, followed by those that replace them when memory runs out.

    Raises:
        UserError: the network does not support the options.
    """
    if options.kind in ('host', 'disk') and not costs.streams:
        raise UserError(
            f'--plan {options.kind}: this network takes a clip as a whole, expected auto, device, chunks or tiles'
        )
    if options.half and not costs.streams:
        raise UserError('--half-features: this network takes a clip as a whole and keeps no features on disk')
    every = [_expect(plan, costs, shared) for plan in _candidates(size, costs, options, shared)]
    if options.kind == 'auto':
        return every
    first = next(number for number, plan in enumerate(every) if plan.kind == options.kind)
    return every[first:]


def _candidates(size: Size, costs: Costs, options: PlanOptions, shared: bool) -> Iterator[Plan]:
    forced = options.kind
    yield Plan('device', size)
    if costs.streams:
        if not shared or forced == 'host':
            yield Plan('host', size, features='host')
        yield Plan('disk', size, features='disk', half=options.half)
    overlap = options.chunk_overlap
    lengths = [options.chunk] if options.chunk else list(_halves(size.frames, max(1, overlap)))
    if forced == 'chunks' and not lengths:
        lengths = [size.frames]
    for length in lengths:
        yield Plan('chunks', size, chunk=length, chunk_overlap=overlap)
    shortest = lengths[-1] if options.chunk or (lengths and not costs.streams) else 0
    for tile in _tile_sides(size, costs, options):
        places: list[tuple[Place, Place]] = [('device', 'host'), ('device', 'disk')]
        if costs.streams:
            places = [('device', 'host'), ('host', 'host'), ('disk', 'disk')]
        for features, outputs in places:
            if shared and features == 'host':
                continue
            plan = Plan(
                'tiles',
                size,
                features,
                outputs,
                tile=tile,
                tile_overlap=min(options.tile_overlap, tile // 2 // GRID * GRID),
            )
            if not options.chunk:
                yield replace(plan, half=options.half and features == 'disk')
            if shortest:
                yield replace(plan, half=options.half and features == 'disk', chunk=shortest, chunk_overlap=overlap)


def _halves(frames: int, least: int) -> Iterator[int]:
    """Yield lengths of chunks: a half of the clip, a quarter, ..."""
    length = math.ceil(frames / 2)
    while least <= length < frames:
        yield length
        if length == 1:
            return
        length = math.ceil(length / 2)


def _tile_sides(size: Size, costs: Costs, options: PlanOptions) -> list[int]:
    if options.tile:
        return [options.tile]
    longest = max(size.height, size.width)
    smallest = min(_TILES) if costs.streams else SMALLEST_SIDE
    sides = [side for side in _TILES if smallest <= side < longest]
    return sides or [smallest] * (options.kind == 'tiles')


def _expect(plan: Plan, costs: Costs, shared: bool) -> Plan:
    """Return the plan with its expected bytes."""
    size = plan.size
    down, across = [(0, size.height)], [(0, size.width)]
    if plan.tile:
        down, across = (spans(side, plan.tile, plan.tile_overlap) for side in (size.height, size.width))
    area = size.clips * max(stop - start for start, stop in down) * max(stop - start for start, stop in across)
    delivered = min(plan.chunk or size.frames, size.frames)
    seen = min(delivered + 2 * plan.chunk_overlap, size.frames)
    features = costs.kept * area * seen / (2 if plan.half else 1)
    if plan.features == 'host' and costs.items and not shared:
        # Page-locked memory comes in powers of two.
        features = float(seen * sum(1 << max(0, math.ceil(item * area) - 1).bit_length() for item in costs.items))
    taken = {'device': costs.fixed + costs.work * area, 'host': 0.0, 'disk': 0.0}
    taken[plan.features] += features
    if plan.tile:
        pixels = size.clips * sum(stop - start for start, stop in down) * sum(stop - start for start, stop in across)
        taken[plan.outputs] += pixels * costs.scale**2 * 12.0 * delivered  # three float32 channels
    return replace(plan, shared=shared, device=int(taken['device']), host=int(taken['host']), disk=int(taken['disk']))


def choose(every: Sequence[Plan], free: Budget, kind: str = 'auto') -> Plan:
    """Return the first plan (of the given kind) that fits; the last one if none does."""
    allowed = [plan for plan in every if kind in ('auto', plan.kind)]
    return next((plan for plan in allowed if plan.fits(free)), allowed[-1])


def smaller(every: Sequence[Plan], plan: Plan, *, disk_is_full: bool) -> Plan | None:
    """Return the next plan that takes less of what ran out; None if there is none."""
    for other in every[every.index(plan) + 1 :]:
        if disk_is_full:
            less = other.disk < plan.disk
        elif plan.shared:
            less = other.device + other.host < plan.device + plan.host
        else:
            less = other.device < plan.device or (other.device == plan.device and other.host < plan.host)
        if less:
            return other
    return None


def spell(count: int) -> str:
    """Format a number of bytes: ``1.2 GB``, ``35 MB``."""
    return f'{count / 2**30:.1f} GB' if count >= 2**30 else f'{max(1, round(count / 2**20))} MB'
