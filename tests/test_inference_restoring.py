"""Whatever the memory plan: the exact ones give the same bits, the others all frames, and running out of memory loses
none.
"""

import errno
import re

import pytest
import torch
from helpers.rebuilt import fill
from torch import nn

from iart.archs.iart_arch import IART
from iart.archs.stores import BlockStore, DiskStore, HostStore, stores
from iart.errors import UserError
from iart.inference import restorer as restoring
from iart.inference.costs import measure
from iart.inference.options import PlanOptions
from iart.inference.restorer import plan_restorer

CPU = torch.device('cpu')


class QuickFlow(nn.Module):
    """Replaces SPyNet, which takes most of the time of such a small network."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(6, 2, 3, padding=1)

    def forward(self, start, end):
        return 2 * self.conv(torch.cat([start, end], dim=1))


def tiny():
    return IART(mid_channels=8, embed_dim=8, depths=[1, 1], num_heads=[2, 2])


@pytest.fixture(scope='module')
def network():
    network = tiny()
    network.spynet = QuickFlow()
    return fill(network, 'tiny')


@pytest.fixture(autouse=True)
def _measure_once(monkeypatch):
    """The same small networks are planned for again and again."""
    monkeypatch.setattr(
        restoring, 'measure', lambda network, *_: MEASURED.setdefault(type(network), None) or _measure(network)
    )


MEASURED = {}


def _measure(network):
    MEASURED[type(network)] = measure(network, CPU)
    return MEASURED[type(network)]


class WholeClip(nn.Module):
    """A network that has no ``frames``: each frame is the mean of its neighbors, enlarged."""

    def forward(self, lq):
        padded = torch.cat([lq[:, :1], lq, lq[:, -1:]], dim=1)
        mean = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3
        return mean.repeat_interleave(2, -1).repeat_interleave(2, -2)


def clip(t, h=12, w=17, mirrored=False):
    values = torch.rand(1, t, 3, h, w, generator=torch.Generator().manual_seed(t))
    return torch.cat([values, values.flip(1)], dim=1) if mirrored else values


def restored(network, lq, **options):
    return torch.stack(list(plan_restorer(network, CPU, options=PlanOptions(**options))(lq)), dim=1)


@pytest.mark.parametrize('mirrored', [False, True])
@pytest.mark.parametrize('t', [1, 2, 3, 4, 5, 7])
def test_exact_plans_give_the_same_bits(network, t, mirrored, tmp_path, monkeypatch):
    monkeypatch.setattr('iart.archs.clip_frames._PAIRS_AT_ONCE', 2)  # flows in batches of two
    lq = clip(t, mirrored=mirrored)
    with torch.inference_mode():
        whole = network(lq)
    for kind in ('host', 'disk'):
        assert torch.equal(restored(network, lq, kind=kind, spill_to=tmp_path), whole), kind
    assert list(tmp_path.iterdir()) == []


def test_spynet_in_batches_is_exact(tmp_path):
    network, lq = fill(tiny(), 'tiny'), clip(3)
    with torch.inference_mode():
        whole = network(lq)
    assert torch.equal(restored(network, lq, kind='device'), whole)
    assert torch.equal(restored(network, lq, kind='disk', spill_to=tmp_path), whole)


def test_bf16_is_exact_too(network, tmp_path):
    lq = clip(3)
    results = []
    for kind in ('device', 'disk'):
        restore = plan_restorer(network, CPU, 'bf16', PlanOptions(kind=kind, spill_to=tmp_path))
        results.append(torch.stack(list(restore(lq))))
    assert torch.equal(*results)


def test_frames_that_are_read_when_needed(network):
    lq = clip(4)

    class Reader:
        def __len__(self):
            return 4

        def __getitem__(self, index):
            if not 0 <= index < 4:
                raise IndexError(index)
            return lq[:, index].clone()

    assert torch.equal(restored(network, Reader(), kind='disk'), restored(network, lq, kind='device'))


def test_half_precision_features_are_close_and_not_called_exact(network):
    lq, options = clip(3), PlanOptions(kind='disk', half=True)
    half, exact = restored(network, lq, kind='disk', half=True), restored(network, lq, kind='disk')
    assert not torch.equal(half, exact)
    assert (half - exact).abs().max() < 0.02
    assert 'not exact' in plan_restorer(network, CPU, options=options).plan(restoring.Size(3, 12, 17)).describe()


@torch.inference_mode()
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_stores_give_back_what_they_got(layout, dtype, tmp_path):
    values = [torch.randn(2, 4, 5, 3).to(dtype).to(memory_format=layout) for _ in range(3)]
    for store in (HostStore(3, CPU), BlockStore(3), DiskStore(3, CPU, folder=tmp_path)):
        for order in ((2, 0, 1), (0, 1, 2)):  # the second time in place of the first
            for i in order:
                store[i] = values[i]
            for i in order:
                assert torch.equal(store[i], values[i])
                assert store[i].stride() == values[i].stride()
                assert store[i].dtype == dtype
        store.close()


def break_with_a_file_open(folder):
    with stores('disk', CPU, folder=folder) as make:
        stored = make(2)
        stored[1] = torch.ones(3)
        assert torch.equal(stored[1], torch.ones(3))
        raise RuntimeError('broken')


def test_files_are_gone_after_an_error(tmp_path):
    with pytest.raises(RuntimeError, match='broken'):
        break_with_a_file_open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_chunks_and_tiles_that_see_everything_change_nothing_but_rounding(network):
    lq = clip(5, 24, 40)
    whole = restored(network, lq, kind='device')
    assert (restored(network, lq, kind='chunks', chunk=2, chunk_overlap=4) - whole).abs().max() < 1e-5
    local = WholeClip()
    whole = restored(local, lq, kind='device')
    assert torch.equal(restored(local, lq, kind='chunks', chunk=2, chunk_overlap=1), whole)
    for extra in ({}, {'chunk': 3, 'chunk_overlap': 1}):
        assert (restored(local, lq, kind='tiles', tile=16, tile_overlap=8, **extra) - whole).abs().max() < 1e-6


def test_tiles_of_the_network(network):
    lq = clip(2, 20, 40)
    tiled = restored(network, lq, kind='tiles', tile=24, tile_overlap=8)
    assert tiled.shape == (1, 2, 3, 80, 160)
    assert (tiled - restored(network, lq, kind='device')).abs().mean() < 0.05


def failing(network, monkeypatch, failures):
    """Make the network's streams end with these errors, each after so many frames."""
    frames, remaining = IART.frames, list(failures)

    def broken(self, lq, store):
        after, error = remaining.pop(0) if remaining else (None, None)
        for number, frame in enumerate(frames(self, lq, store)):
            if number == after:
                raise error
            yield frame

    plan_restorer(network, CPU).costs  # noqa: B018 (measured before the network breaks)
    monkeypatch.setattr(IART, 'frames', broken)


def test_what_ran_out_is_not_tried_again_for_the_next_clip(network, monkeypatch, caplog):
    failing(network, monkeypatch, [(1, MemoryError())])
    restore = plan_restorer(network, CPU)
    for expected in (['device', 'disk'], ['disk']):
        assert len(list(restore(clip(3)))) == 3
        assert [plan.kind for plan in restore.used] == expected


CPU_ERROR = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
)


@pytest.mark.parametrize('error', [torch.OutOfMemoryError('CUDA out of memory'), MemoryError(), CPU_ERROR])
def test_out_of_memory_falls_back_and_delivers_each_frame_once(network, monkeypatch, caplog, error):
    lq = clip(5, 16, 40)
    whole = restored(network, lq, kind='device')
    failing(network, monkeypatch, [(2, error), (4, error)])
    sr = restored(network, lq)
    assert sr.shape == whole.shape
    assert torch.equal(sr[:, :4], whole[:, :4])
    assert (sr - whole).abs().mean() < 0.1
    assert [
        re.search(r'plan: ([^;]*);', message)[1] for message in caplog.messages if message.startswith('out of memory')
    ] == [
        'features on disk',
        'tiles of 32×32 pixels, 16 shared',
    ]


def test_a_full_disk_falls_back(network, monkeypatch, caplog):
    lq = clip(4)
    whole = restored(network, lq, kind='device')
    failing(network, monkeypatch, [(3, OSError(errno.ENOSPC, 'No space left on device'))])
    sr = restored(network, lq, kind='disk', chunk=2, chunk_overlap=3)
    assert (sr - whole).abs().max() < 1e-5
    assert 'out of disk' in caplog.text
    assert 'chunks of 2 frames' in caplog.text


def test_other_errors_and_hopeless_cases_are_not_hidden(network, monkeypatch):
    failing(network, monkeypatch, [(0, RuntimeError('a mistake')), *[(0, MemoryError())] * 100])
    with pytest.raises(RuntimeError, match='a mistake'):
        restored(network, clip(2))
    with pytest.raises(UserError, match='no smaller plan'):
        restored(network, clip(2))


def test_modes_and_mistakes(network):
    network.train()
    stream = plan_restorer(network, CPU)(clip(2))
    next(stream)
    assert not network.training
    assert torch.is_grad_enabled()
    stream.close()
    assert network.training
    network.eval()
    with pytest.raises(UserError, match='as a whole'):
        restored(WholeClip(), clip(2), kind='disk')
    with pytest.raises(ValueError, match='expected'):
        next(network.frames(torch.zeros(2, 3, 8, 8)))
