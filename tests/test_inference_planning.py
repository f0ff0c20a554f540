"""The memory plan: what is chosen for which memory, what comes after it, how clips are cut, and what is
measured first."""

import argparse
from itertools import pairwise

import pytest
import torch
from torch import nn

from iart import memory
from iart.archs.iart_arch import IART
from iart.errors import UserError
from iart.inference import plan as planning
from iart.inference.costs import Allocations, Costs, measure
from iart.inference.options import KINDS, PlanOptions, add_plan_arguments, plan_options
from iart.inference.plan import Budget, Size
from iart.inference.tiling import chunks, feathers, spans, tiles

GB = 2**30
SIZE = Size(100, 180, 320)
COSTS = Costs(
    scale=4, work=20_000, kept=500, streams=True
)  # about the published network in fp32: 1.1 GB and 27 MB a frame
WHOLE = Costs(scale=4, work=10_000, kept=2_000, streams=False)


def chosen(device, host, disk, *, costs=COSTS, size=SIZE, shared=False, **options):
    wishes = PlanOptions(**options)
    every = planning.plans(size, costs, wishes, shared=shared)
    return planning.choose(every, Budget(int(device * GB), int(host * GB), int(disk * GB), shared), wishes.kind)


@pytest.mark.parametrize(
    ('free', 'kind'),
    [
        ((24, 64, 100), 'device'),
        ((3, 64, 100), 'host'),
        ((3, 2, 100), 'disk'),
        ((3, 0.5, 1), 'chunks'),
        ((1, 64, 100), 'tiles'),
        ((1, 1, 100), 'tiles'),
    ],
)
def test_the_first_plan_that_fits_is_taken(free, kind):
    plan = chosen(*free)
    assert plan.kind == kind
    assert plan.fits(Budget(*(int(count * GB) for count in free), False))
    assert plan.exact == (kind in ('device', 'host', 'disk'))


def test_on_a_cpu_there_is_one_memory():
    assert chosen(0, 8, 100, shared=True).kind == 'device'
    assert chosen(0, 3, 100, shared=True).kind == 'disk'
    assert 'in memory' in chosen(0, 3, 100, shared=True).describe()


def test_processes_of_one_run_share_a_machine(monkeypatch):
    monkeypatch.setattr(memory, 'free_host_memory', lambda: 8 * GB)
    monkeypatch.setattr(planning.distributed, 'local_world_size', lambda: 4)
    free = planning.budget(torch.device('cpu'), None)
    assert (free.device, free.host) == (2 * GB, 2 * GB)


def test_networks_that_take_a_clip_as_a_whole():
    assert chosen(24, 64, 100, costs=WHOLE).kind == 'device'
    assert chosen(4, 64, 100, costs=WHOLE).kind == 'chunks'
    tiled = chosen(1, 64, 100, costs=WHOLE)
    assert tiled.kind == 'tiles'
    assert tiled.features == 'device'


def test_any_choice_can_be_forced():
    for kind in KINDS[1:]:
        assert chosen(24, 64, 100, kind=kind).kind == kind
    plan = chosen(24, 64, 100, kind='tiles', tile=64, tile_overlap=16, chunk=5, chunk_overlap=2)
    assert (plan.tile, plan.tile_overlap, plan.chunk, plan.chunk_overlap) == (64, 16, 5, 2)
    assert chosen(24, 64, 100, kind='chunks', chunk=5).chunk == 5
    assert chosen(0.1, 0.1, 0.1, kind='host').kind == 'host', 'even where it does not fit'
    assert chosen(24, 64, 100, kind='tiles', size=Size(1, 8, 8)).kind == 'tiles'
    assert chosen(24, 64, 100, kind='chunks', size=Size(1, 8, 8)).kind == 'chunks'


def test_each_fall_back_takes_less_of_what_ran_out():
    every = planning.plans(SIZE, COSTS, PlanOptions(), shared=False)
    plan, seen = every[0], [every[0]]
    while following := planning.smaller(every, plan, disk_is_full=False):
        assert following.device < plan.device or following.host < plan.host
        plan = following
        seen.append(plan)
    assert [p.kind for p in seen[:3]] == ['device', 'host', 'disk']
    assert seen[-1].tile == min(p.tile for p in every if p.tile)
    disk = next(p for p in every if p.kind == 'disk')
    assert planning.smaller(every, disk, disk_is_full=True).disk < disk.disk


def test_the_plan_says_what_it_expects():
    text = chosen(24, 64, 100).describe()
    assert text == 'plan: everything on the device; 100 frames of 320×180; expected 3.8 GB on the device; exact'
    text = chosen(1, 1, 100, half=True, chunk=10).describe()
    assert 'tiles of' in text
    assert 'chunks of 10 frames' in text
    assert text.endswith('not exact')


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'kind': 'gpu'}, 'kind: got'),
        ({'chunk': 0}, 'chunk: got 0'),
        ({'chunk_overlap': -1}, 'chunk_overlap: got -1'),
        ({'tile': 20}, 'tile: got 20'),
        ({'tile_overlap': 3}, 'tile_overlap: got 3'),
        ({'tile': 32, 'tile_overlap': 24}, 'at most half of the tile, 16'),
    ],
)
def test_mistakes_in_the_options(wrong, message):
    with pytest.raises(UserError, match=message):
        PlanOptions(**wrong)


def test_options_from_the_command_line(tmp_path):
    parser = argparse.ArgumentParser()
    add_plan_arguments(parser)
    assert plan_options(parser.parse_args([])) == PlanOptions()
    given = parser.parse_args(
        f'--plan tiles --tile 96 --tile-overlap 8 --chunk 9 --half-features --spill-to {tmp_path}'.split()
    )
    assert plan_options(given) == PlanOptions('tiles', chunk=9, tile=96, tile_overlap=8, half=True, spill_to=tmp_path)
    with pytest.raises(UserError, match=r'--spill-to: .* not a folder'):
        plan_options(parser.parse_args(['--spill-to', str(tmp_path / 'nowhere')]))


def test_chunks_deliver_each_frame_once():
    cut = list(chunks(10, 4, 2))
    assert [i for chunk in cut for i in chunk.own] == list(range(10))
    assert [(chunk.seen.start, chunk.seen.stop) for chunk in cut] == [(0, 6), (2, 10), (6, 10)]


@pytest.mark.parametrize(
    ('size', 'tile', 'overlap'), [(10, 16, 8), (180, 64, 16), (181, 64, 32), (45, 32, 0), (320, 96, 48)]
)
def test_tiles_cover_a_side_and_their_weights_add_up_to_one(size, tile, overlap):
    pieces = spans(size, tile, overlap)
    assert pieces[0][0] == 0
    assert pieces[-1][1] == size
    assert all(start % 8 == 0 and stop - start <= tile for start, stop in pieces)
    assert all(before[1] - after[0] >= overlap for before, after in pairwise(pieces))
    total = torch.zeros(2 * size)
    for (start, stop), weight in zip(pieces, feathers(pieces, 2), strict=True):
        assert (weight > 0).all()
        total[2 * start : 2 * stop] += weight
    torch.testing.assert_close(total, torch.ones(2 * size))


def test_tiles_are_feathered_in_both_directions():
    cut = tiles(40, 24, 16, 8, 4)
    total = torch.zeros(160, 96)
    for tile in cut:
        total[tile.rows.start * 4 : tile.rows.stop * 4, tile.columns.start * 4 : tile.columns.stop * 4] += tile.weight
    torch.testing.assert_close(total, torch.ones(160, 96))


@torch.inference_mode()
def test_allocations_are_counted():
    weight = torch.ones(1000)
    with Allocations() as allocations:
        a = weight + 1  # 4000 bytes
        b = (weight.view(10, 100) * 2).sum()  # 4000 bytes, for a moment, and 4
        del a
        c = weight * 3
    assert allocations.peak == 8004
    assert allocations.now == 4004
    del b, c
    assert allocations.now == 0


def test_costs_of_iart():
    network = IART(mid_channels=8, embed_dim=8, depths=[1], num_heads=[2]).train()
    state = torch.get_rng_state()
    costs = measure(network, torch.device('cpu'))
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training
    assert costs.streams
    assert costs.scale == 4
    assert costs.kept == 8 * 4 + 2 * 2 * 4, 'a feature and two flows, float32'
    assert 16 * 64 * 4 < costs.work < 50_000, 'at least one full-size map of the reconstruction'


def test_costs_of_a_network_without_frames():
    class Twice(nn.Module):
        def forward(self, lq):
            return lq.repeat_interleave(2, -1).repeat_interleave(2, -2) + 1

    costs = measure(Twice(), torch.device('cpu'))
    assert (costs.scale, costs.streams) == (2, False)
    assert costs.kept == pytest.approx((4 + 4) * 12 + 2 * 12, rel=0.3), 'the output twice, a step between, and the clip'


def test_memory_of_this_machine(tmp_path):
    free = planning.budget(torch.device('cpu'), tmp_path)
    assert free.shared
    assert 2**20 < free.host < 2**50
    assert free.device == pytest.approx(free.host, rel=0.2)


def test_a_folder_in_memory_is_no_disk(tmp_path, monkeypatch):
    text = f'none / ext4 rw\nnone {tmp_path.parent} tmpfs rw\n'
    monkeypatch.setattr(memory, '_text', lambda path: text if path == '/proc/mounts' else '')
    assert memory.lies_in_memory(tmp_path)
    assert planning.budget(torch.device('cpu'), tmp_path).disk == 0
    assert not memory.lies_in_memory(tmp_path.parent.parent)


def test_limits_of_containers_count(monkeypatch):
    files = {
        '/proc/meminfo': 'MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n',
        '/proc/self/cgroup': '4:memory:/box\n0::/slice\n',
        '/sys/fs/cgroup/slice/memory.max': f'{3 * GB}\n',
        '/sys/fs/cgroup/slice/memory.current': f'{2 * GB}\n',
        '/sys/fs/cgroup/slice/memory.stat': f'anon 5\ninactive_file {GB // 2}\n',
    }
    monkeypatch.setattr(memory, '_text', lambda path: files.get(path, ''))
    assert memory.free_host_memory() == 1.5 * GB
    files['/sys/fs/cgroup/memory/box/memory.limit_in_bytes'] = f'{GB}\n'
    files['/sys/fs/cgroup/memory/box/memory.usage_in_bytes'] = '0\n'
    assert memory.free_host_memory() == GB
    files.clear()
    assert memory.free_host_memory() > 0


def test_what_counts_as_out_of_memory():
    for error in (
        MemoryError(),
        torch.OutOfMemoryError('x'),
        RuntimeError('MPS backend out of memory'),
        RuntimeError('std::bad_alloc'),
    ):
        assert memory.lacks_memory(error)
    assert not memory.lacks_memory(RuntimeError('shape mismatch'))
    assert not memory.lacks_memory(OSError('out of memory'))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert memory.lacks_memory(caught.value)


@pytest.mark.parametrize('scale', [1, 2, 4])
def test_the_weight_goes_linearly_from_one_tile_to_the_next(scale):
    """Its values at pixel centers, not only that they add up: a step or a curve would add up, too."""
    shared = 16 * scale
    first, middle, last = feathers([(0, 32), (16, 64), (48, 80)], scale)
    ramp = (torch.arange(shared) + 0.5) / shared
    torch.testing.assert_close(first, torch.cat([torch.ones(shared), 1 - ramp]))
    torch.testing.assert_close(middle, torch.cat([ramp, torch.ones(shared), 1 - ramp]))
    torch.testing.assert_close(last, torch.cat([ramp, torch.ones(shared)]))


def test_tiles_without_overlap_have_weight_one():
    assert all((weight == 1).all() for weight in feathers([(0, 16), (16, 40)], 4))
