"""The order of batches: every window once per epoch, any start, any number of ranks."""

from itertools import chain, islice

import pytest

from iart.data.sampler import ClipBatchSampler
from iart.errors import DataError


def batches(count, **arguments):
    return list(islice(ClipBatchSampler(10, **{'batch_size': 2, 'seed': 3, **arguments}), count))


def test_an_epoch_shows_every_window_once_in_a_new_order():
    shown = batches(10)
    first, second = shown[:5], shown[5:]
    assert {e for b in first for e, _ in b} == {0}
    assert {e for b in second for e, _ in b} == {1}
    orders = [[p for b in half for _, p in b] for half in (first, second)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))


def test_depends_on_the_seed_alone():
    assert batches(7) == batches(7)
    assert batches(7) != batches(7, seed=4)


@pytest.mark.parametrize('start', [0, 1, 4, 5, 12])
def test_starts_in_the_middle(start):
    assert batches(6, start_batch=start) == batches(start + 6)[start:]


@pytest.mark.parametrize('ranks', [2, 3])
@pytest.mark.parametrize('start', [0, 4])
def test_ranks_share_out_the_batches_of_one_process(ranks, start):
    shared = [batches(6, batch_size=1, rank=r, world_size=ranks, start_batch=start) for r in range(ranks)]
    together = [list(chain(*parts)) for parts in zip(*shared, strict=True)]
    assert together == batches(6, batch_size=ranks, start_batch=start)


def test_an_epochs_tail_is_dropped():
    sampler = ClipBatchSampler(10, batch_size=2, world_size=2)
    assert sampler.batches_per_epoch == 2
    assert [b[0][0] for b in islice(sampler, 5)] == [0, 0, 1, 1, 2]


def test_enlarged_and_unshuffled():
    assert sorted(p for b in batches(10, enlarge=2) for _, p in b) == list(range(20))
    assert batches(2, shuffle=False) == [[(0, 0), (0, 1)], [(0, 2), (0, 3)]]


def test_too_few_windows_is_an_error_with_a_remedy():
    with pytest.raises(DataError, match='dataset_enlarge_ratio: 2 or more'):
        ClipBatchSampler(10, batch_size=4, world_size=4)
