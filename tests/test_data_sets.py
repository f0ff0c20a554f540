"""Every data set of the registry gives the contract's items; test sets; batches whatever the workers and ranks."""

import inspect
import itertools
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from helpers.data_clips import gt_frame, lr_frame, write_clips

from iart.data.loaders import build_dataset, build_train_loader
from iart.errors import DataError, UserError
from iart.image import to_tensor
from iart.registry import DATASET_REGISTRY, find, ours

PAIRED = [
    kind
    for kind in ours(DATASET_REGISTRY)
    if 'dataroot_gt' in inspect.signature(find(DATASET_REGISTRY, kind)).parameters
]
"""Data sets that read pairs of clips; the others render or read frames of their own, and have tests of their own."""


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
    """Three clips that suit every data set: seven frames im1 to im7."""
    return write_clips(tmp_path_factory.mktemp('clips'), {'00001/0001': 7, '00001/0002': 7, '00001/0010': 7}, 'im{}', 1)


def section(kind, roots):
    training = 'gt_size' in inspect.signature(find(DATASET_REGISTRY, kind)).parameters
    return {'type': kind, **roots, **({'num_frame': -1, 'gt_size': 16} if training else {})}


def test_upstream_names_are_ours():
    assert {
        'REDSRecurrentDataset',
        'Vimeo90KRecurrentDataset',
        'VideoClipDataset',
        'VideoRecurrentTestDataset',
        'VideoTestDataset',
        'VideoTestVimeo90KDataset',
    } <= set(ours(DATASET_REGISTRY))


@pytest.mark.parametrize('kind', PAIRED)
def test_every_data_set_keeps_the_contract(kind, roots):
    dataset = build_dataset(section(kind, roots), key='datasets.x', scale=4, seed=0)
    assert len(dataset) == 3
    for item in (dataset[0], dataset[2]):
        assert set(item) == {'lq', 'gt', 'clip', 'frames'}
        assert item['frames'] == [f'im{i}' for i in range(1, 8)]
        for side in ('lq', 'gt'):
            assert item[side].dtype == torch.float32
            assert item[side].ndim == 4
            assert item[side].shape[1] == 3
            assert 0 <= item[side].min() < item[side].max() <= 1
        assert [s * 4 for s in item['lq'].shape[2:]] == list(item['gt'].shape[2:])
    assert dataset[2]['clip'] == '00001/0010'


@pytest.mark.parametrize('kind', PAIRED)
@pytest.mark.parametrize('side', ['lq', 'gt'])
def test_every_data_set_names_the_missing_frame(kind, side, tmp_path):
    roots = write_clips(tmp_path, {'00001/0001': 7}, 'im{}', 1)
    (tmp_path / side / '00001' / '0001' / 'im4.png').unlink()
    with pytest.raises(DataError, match=rf'{side}/00001/0001/im4\.png'):
        build_dataset(section(kind, roots), key='datasets.x', scale=4)


@pytest.mark.parametrize('kind', ['VideoRecurrentTestDataset', 'VideoTestDataset'])
def test_whole_clips_of_a_test_set(kind, tmp_path):
    options = {
        'type': kind,
        **write_clips(tmp_path, {'a': 11, 'b': 2}, '{}'),
        'padding': 'reflection_circle',
        'cache_data': True,
    }
    dataset = build_dataset(options, key='datasets.val', scale=4)
    assert [(c.name, len(c.frames)) for c in dataset.clips] == [('a', 11), ('b', 2)]
    assert dataset.has_gt
    assert dataset.scored(0) == list(range(11))
    assert np.array_equal(dataset.read_lq(0)[10], lr_frame(0, 10))
    assert np.array_equal(dataset.read_gt(1, 1), gt_frame(1, 1))
    assert torch.equal(dataset[1]['gt'][1], to_tensor(gt_frame(1, 1)))
    assert [c.name for c in build_dataset({**options, 'clips': ['b']}, key='x', scale=4).clips] == ['b']


def test_test_set_without_ground_truth(roots):
    options = {'type': 'VideoRecurrentTestDataset', 'dataroot_lq': roots['dataroot_lq'], 'dataroot_gt': None}
    dataset = build_dataset(options, key='datasets.test', scale=4)
    assert not dataset.has_gt
    assert set(dataset[0]) == {'lq', 'clip', 'frames'}
    with pytest.raises(DataError, match='there is no ground truth'):
        dataset.read_gt(0, 0)


def test_test_set_checks_every_header(tmp_path):
    from iart.image import write_png

    roots = write_clips(tmp_path, {'a': 3})
    write_png(tmp_path / 'gt' / 'a' / '00000001.png', gt_frame(0, 1, (32, 44)))
    with pytest.raises(DataError, match=r'00000001\.png: got 44x32, expected 48x32'):
        build_dataset({'type': 'VideoRecurrentTestDataset', **roots}, key='x', scale=4)


@pytest.mark.parametrize(('num_frame', 'first', 'scored'), [(-1, 1, 3), (7, 1, 3), (5, 2, 2), (6, 1, 3), (1, 4, 0)])
def test_vimeo_scores_the_middle_frame(roots, num_frame, first, scored):
    dataset = build_dataset({'type': 'VideoTestVimeo90KDataset', **roots, 'num_frame': num_frame}, key='x', scale=4)
    assert dataset.clips[0].frames[0] == f'im{first}'
    assert dataset.scored(0) == [scored]
    assert dataset.clips[0].frames[scored] == 'im4'
    assert np.array_equal(dataset.read_gt(1, scored), gt_frame(1, 3))
    assert dataset[0]['gt'].shape == (1, 3, 32, 48)
    assert len(dataset[0]['lq']) == len(dataset.clips[0].frames)


def test_vimeo_needs_ground_truth_of_the_middle_frame_only(tmp_path):
    roots = write_clips(tmp_path, {'00001/0266': 7}, 'im{}', 1)
    for path in (tmp_path / 'gt' / '00001' / '0266').iterdir():
        if path.name != 'im4.png':
            path.unlink()
    dataset = build_dataset({'type': 'VideoTestVimeo90KDataset', **roots}, key='x', scale=4)
    assert np.array_equal(dataset.read_gt(0, 3), gt_frame(0, 3))
    with pytest.raises(DataError, match='frame im1: there is no ground truth'):
        dataset.read_gt(0, 0)
    with pytest.raises(DataError, match='num_frame: got 9'):
        build_dataset({'type': 'VideoTestVimeo90KDataset', **roots, 'num_frame': 9}, key='x', scale=4)


def loader(roots, *, workers=0, batch=2, **arguments):
    options = {'type': 'VideoClipDataset', **roots, 'num_frame': 3, 'gt_size': 16, 'use_hflip': True, 'use_rot': True}
    dataset = build_dataset({**options, 'random_reverse': True}, key='datasets.train', scale=4, seed=5)
    loader_keys = {
        'use_shuffle': True,
        'num_worker_per_gpu': workers,
        'batch_size_per_gpu': batch,
        'dataset_enlarge_ratio': 1,
    }
    loading = SimpleNamespace(**loader_keys, unreadable='stop')
    return build_train_loader(dataset, loading, seed=5, **arguments)


def take(loader, count):
    return list(itertools.islice(loader, count))


def same(one, other):
    return all(
        torch.equal(a['lq'], b['lq']) and torch.equal(a['gt'], b['gt']) for a, b in zip(one, other, strict=True)
    ) and ([(b['clip'], b['frames']) for b in one] == [(b['clip'], b['frames']) for b in other])


@pytest.mark.filterwarnings('ignore:This DataLoader will create')
def test_batches_do_not_depend_on_workers(roots):
    batches = take(loader(roots), 13)  # more than an epoch of ten
    assert batches[0]['lq'].shape == (2, 3, 3, 4, 4)
    assert len(batches[0]['clip']) == len(batches[0]['frames']) == 2
    assert not same(batches[:3], batches[3:6])
    for workers in (1, 3):
        assert same(take(loader(roots, workers=workers), 13), batches)


def test_workers_survive_a_process_that_has_used_threads(roots):
    """A worker that is a copy of such a process waits for ever for threads that were not copied."""
    cv2.setNumThreads(2)
    cv2.cvtColor(np.zeros((3000, 3000, 3), np.uint8), cv2.COLOR_BGR2GRAY)
    time.sleep(1)  # the threads have to be asleep
    busy = loader(roots, workers=1)
    busy.timeout = 60
    assert len(take(busy, 2)) == 2


@pytest.mark.parametrize('workers', [0, 2])
def test_loader_starts_in_the_middle_and_anew(roots, workers):
    late = loader(roots, workers=workers, start_batch=9)
    expected = take(loader(roots), 12)[9:]
    assert same(take(late, 3), expected)
    assert same(take(late, 3), expected)


def test_ranks_together_see_the_batches_of_one_process(roots):
    whole = take(loader(roots, batch=4), 6)
    ranks = [take(loader(roots, batch=2, rank=rank, world_size=2), 6) for rank in (0, 1)]
    for batch, first, second in zip(whole, *ranks, strict=True):
        assert torch.equal(batch['gt'], torch.cat([first['gt'], second['gt']]))


@pytest.mark.parametrize('workers', [0, 1])
def test_damage_in_a_worker_is_a_plain_message(tmp_path, workers):
    roots = write_clips(tmp_path, {'a': 3})
    batches = loader(roots, workers=workers, batch=1)
    (tmp_path / 'lq' / 'a' / '00000001.png').write_bytes(b'')
    with pytest.raises(UserError) as caught:
        take(batches, 3)
    assert str(caught.value) == f'{tmp_path}/lq/a/00000001.png: the file is empty, expected an image'
