"""Training sets: the contract's items, pairs that correspond, windows, options and their mistakes."""

import pickle

import numpy as np
import pytest
import torch
from helpers.data_clips import SCALE, gt_frame, write_clips, write_lmdbs

from iart.data.loaders import build_dataset
from iart.data.recurrent_dataset import REDSRecurrentDataset, VideoClipDataset, Vimeo90KRecurrentDataset
from iart.errors import DataError, OptionsError, UserError
from iart.image import to_uint8, write_png

SEPTUPLETS = {'00001/0001': 7, '00001/0002': 7, '00002/0001': 7}


@pytest.fixture(scope='module')
def reds(tmp_path_factory):
    """Clips of REDS' names, 5 frames each."""
    return write_clips(tmp_path_factory.mktemp('reds'), {'000': 5, '001': 5, '020': 5, '240': 5})


@pytest.fixture(scope='module')
def vimeo(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp('vimeo'), SEPTUPLETS, 'im{}', 1)


def indexes(item):
    return [int(name.removeprefix('im')) for name in item['frames']]


def corresponds(item):
    """Whether every LR pixel has the color of its 4x4 block of GT."""
    return torch.equal(item['lq'].repeat_interleave(SCALE, -1).repeat_interleave(SCALE, -2), item['gt'])


def test_item_is_a_square_of_the_frames_it_names(reds):
    dataset = VideoClipDataset(**reds, num_frame=3, gt_size=16)
    seen = set()
    for position in range(len(dataset)):
        item = dataset[position]
        assert item['lq'].shape == (3, 3, 4, 4)
        assert item['gt'].shape == (3, 3, 16, 16)
        assert corresponds(item)
        for image, frame in zip(to_uint8(item['gt']), indexes(item), strict=True):
            clip = ['000', '001', '020', '240'].index(item['clip'])
            whole = gt_frame(clip, frame)
            places = [
                (y, x)
                for y in range(0, 17, 4)
                for x in range(0, 33, 4)
                if np.array_equal(whole[y : y + 16, x : x + 16], image)
            ]
            assert len(places) == 1
            seen.update(places)
    assert len(seen) > 5


def test_flips_turn_both_sides_alike(reds):
    options = {**reds, 'num_frame': 2, 'gt_size': 32, 'clips': ['000']}
    plain, turned = VideoClipDataset(**options), VideoClipDataset(**options, use_hflip=True, use_rot=True)
    changed = 0
    for epoch in range(20):
        item = turned[(epoch, 0)]
        assert corresponds(item)
        assert torch.isclose(
            item['gt'].sum(), plain[(epoch, 0)]['gt'].sum()
        )  # the same square: switches do not move crops
        changed += not torch.equal(item['gt'], plain[(epoch, 0)]['gt'])
    assert changed > 10


def test_items_depend_on_seed_epoch_and_position_alone(reds):
    options = {**reds, 'num_frame': 3, 'gt_size': 16, 'use_hflip': True, 'use_rot': True, 'random_reverse': True}
    first, second = VideoClipDataset(**options, seed=1), pickle.loads(pickle.dumps(VideoClipDataset(**options, seed=1)))
    for position in [(0, 3), (5, 3), (2, 11), 7]:
        assert torch.equal(first[position]['gt'], second[position]['gt'])
    assert torch.equal(first[7]['lq'], first[(0, 7)]['lq'])
    different = [first[(e, 3)]['gt'] for e in range(4)] + [
        VideoClipDataset(**options, seed=2)[(0, 3)]['gt'],
        first[(0, 3 + len(first))]['gt'],
    ]
    assert len({d.numpy().tobytes() for d in different}) > 3


def test_windows_begin_at_every_frame_and_end_within_the_clip(reds):
    dataset = VideoClipDataset(**reds, num_frame=3, gt_size=16)
    assert len(dataset) == 20
    for position in range(20):
        shown = indexes(dataset[position])
        assert shown == list(range(shown[0], shown[0] + 3))
        assert shown[-1] <= 4
        assert shown[0] == position % 5 or position % 5 > 2


def test_intervals_and_reverse(reds):
    dataset = VideoClipDataset(**reds, num_frame=3, gt_size=16, interval_list=[1, 2], random_reverse=True)
    steps = {tuple(np.diff(indexes(dataset[(e, 0)]))) for e in range(40)}
    assert steps == {(1, 1), (2, 2), (-1, -1), (-2, -2)}


def test_clips_of_unequal_length_and_size(tmp_path):
    write_clips(tmp_path, {'000': 3, '001': 6})
    roots = write_clips(tmp_path, {'002': 4}, size=(64, 40))
    dataset = VideoClipDataset(**roots, num_frame=3, gt_size=32)
    assert len(dataset) == 13
    assert {dataset[i]['clip'] for i in range(13)} == {'000', '001', '002'}
    with pytest.raises(DataError, match=r'fewer frames than num_frame needs \(5\): 000 \(3\), 002 \(4\)'):
        VideoClipDataset(**roots, num_frame=5, gt_size=32)
    with pytest.raises(DataError, match='num_frame is -1, but the clips have 3 to 6 frames'):
        VideoClipDataset(**roots, num_frame=-1, gt_size=32)
    with pytest.raises(DataError, match=r'smaller than gt_size / scale \(9 pixels\): 000 \(12x8\), 001'):
        VideoClipDataset(**roots, num_frame=3, gt_size=36)


@pytest.mark.parametrize(
    ('partition', 'test_mode', 'clips'),
    [
        (None, False, ['000', '001', '020', '240']),
        ('REDS4', False, ['001', '240']),
        ('REDS4', True, ['000', '020']),
        ('official', False, ['000', '001', '020']),
        ('official', True, ['240']),
    ],
)
def test_reds_partitions(reds, partition, test_mode, clips):
    dataset = REDSRecurrentDataset(**reds, num_frame=2, gt_size=16, val_partition=partition, test_mode=test_mode)
    assert [c.name for c in dataset.clips] == clips


def test_meta_file_chooses_the_clips(reds, tmp_path):
    (tmp_path / 'meta.txt').write_text('001 5 (32,48,3)\n020 5 (32,48,3)\n')
    dataset = REDSRecurrentDataset(
        **reds, num_frame=2, gt_size=16, val_partition='REDS4', meta_info_file=str(tmp_path / 'meta.txt')
    )
    assert [c.name for c in dataset.clips] == ['001']


@pytest.mark.parametrize('cache', [False, True])
def test_lmdb_gives_the_items_of_folders(reds, tmp_path, cache):
    options = {'num_frame': 3, 'gt_size': 16, 'use_hflip': True, 'use_rot': True}
    lmdbs = write_lmdbs(tmp_path, {'000': 5, '001': 5, '020': 5, '240': 5})
    folders, lmdb = (
        VideoClipDataset(**reds, **options),
        VideoClipDataset(**lmdbs, **options, io_backend={'type': 'lmdb'}, cache_data=cache),
    )
    for position in (0, 7, 7, 19):
        assert torch.equal(folders[position]['gt'], lmdb[position]['gt'])
        assert folders[position]['frames'] == lmdb[position]['frames']


def test_vimeo_takes_whole_clips(vimeo):
    dataset = Vimeo90KRecurrentDataset(**vimeo, num_frame=-1, gt_size=16)
    assert len(dataset) == 3
    assert indexes(dataset[0]) == [1, 2, 3, 4, 5, 6, 7]
    assert dataset[2]['clip'] == '00002/0001'
    shorter = Vimeo90KRecurrentDataset(**vimeo, num_frame=5, gt_size=16)
    assert {min(indexes(shorter[(epoch, 0)])) for epoch in range(30)} == {1, 2, 3}


def test_vimeo_mirrors_seven_frames_to_fourteen(vimeo):
    dataset = Vimeo90KRecurrentDataset(**vimeo, num_frame=-1, gt_size=16, flip_sequence=True, random_reverse=True)
    items = [dataset[(e, 1)] for e in range(10)]
    for item in items:
        assert item['lq'].shape == (14, 3, 4, 4)
        assert corresponds(item)
        assert torch.equal(item['gt'], item['gt'].flip(0))
        assert item['frames'] == item['frames'][::-1]
    assert {indexes(i)[0] for i in items} == {1, 7}


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ({'gt_size': 18}, 'gt_size: got 18, expected a multiple of scale'),
        ({'num_frame': 0}, 'num_frame: got 0'),
        ({'interval_list': [0]}, 'interval_list'),
        ({'test_mode': True}, 'val_partition'),
        ({'gt_sizes': 16}, "did you mean 'gt_size'"),
        ({'io_backend': {'type': 'memcached'}}, 'disk or lmdb'),
        ({'scale': 2}, 'scale: got 2'),
        ({'type': 'Vimeo90KDataset', 'opt': {}}, "BasicSR's own"),
        ({'type': 'REDSRecurrent'}, 'REDSRecurrentDataset'),
    ],
)
def test_mistakes_in_options(reds, option, message):
    from basicsr.data import vimeo90k_dataset  # noqa: F401 (registers BasicSR's own)

    section = {'type': 'VideoClipDataset', **reds, 'num_frame': 2, 'gt_size': 16, **option}
    with pytest.raises(UserError, match=message):
        build_dataset(section, key='datasets.train', scale=4)


def test_damage_found_while_training_names_the_file(tmp_path):
    roots = write_clips(tmp_path, {'000': 3})
    dataset = VideoClipDataset(**roots, num_frame=3, gt_size=16)
    path = tmp_path / 'gt' / '000' / '00000001.png'
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(DataError, match=r'00000001\.png: the image is cut short'):
        dataset[0]
    write_png(path, gt_frame(0, 1, (36, 48)))
    with pytest.raises(DataError, match=r'00000001\.png: got 48x36, expected 48x32'):
        dataset[0]
    path.unlink()
    with pytest.raises(DataError, match=r'00000001\.png: cannot be read'):
        dataset[0]


def test_iteration_ends(vimeo):
    assert len(list(Vimeo90KRecurrentDataset(**vimeo, num_frame=-1, gt_size=16))) == 3


def test_held_out_clips_only(reds):
    with pytest.raises(DataError, match='got no clips with val_partition REDS4'):
        REDSRecurrentDataset(**reds, num_frame=2, gt_size=16, val_partition='REDS4', clips=['000'])
    with pytest.raises(OptionsError):
        REDSRecurrentDataset(**reds, num_frame=2, gt_size=3)


def test_a_teacher_is_cropped_and_turned_with_the_ground_truth(reds, tmp_path):
    options = {**reds, 'num_frame': 2, 'gt_size': 16, 'use_hflip': True, 'use_rot': True, 'flip_sequence': True}
    same = VideoClipDataset(**options, dataroot_teacher=reds['dataroot_gt'])
    for position in range(4):
        item = same[(1, position)]
        assert torch.equal(item['teacher'], item['gt'])
    with pytest.raises(DataError, match=r'dataroot_teacher .*does not fit'):
        VideoClipDataset(**options, dataroot_teacher=reds['dataroot_lq'])
