"""Public data sets, tiny, in the arrangements people have them in, laid out the way the options files name them."""

import os

import numpy as np
import pytest
from helpers.prepared_clips import snapshot, texture, write_gt, write_lr

from iart.data.recurrent_dataset import REDSRecurrentDataset, Vimeo90KRecurrentDataset
from iart.data.video_test_dataset import VideoRecurrentTestDataset, VideoTestVimeo90KDataset
from iart.errors import DataError
from iart.image import read_image
from iart.ops.degradation import degrade_uint8
from iart.preparing.sets import PrepareOptions, prepare

TRAIN, VAL = {'000': 2, '001': 2, '011': 2}, {'000': 2, '029': 2}
ARRANGEMENTS = ['{}', '{0}/{0}', 'train_or_val/{}', 'a b/{0}/x/{0}']


def write_reds(root, arrangement='{}'):
    for name, clips in (('train_sharp', TRAIN), ('val_sharp', VAL)):
        gt = write_gt(root / arrangement.format(name), clips)
        write_lr(gt, root / arrangement.format(f'{name}_bicubic') / 'X4')


@pytest.mark.parametrize('arrangement', ARRANGEMENTS)
@pytest.mark.parametrize('link', [False, True])
def test_reds(tmp_path, arrangement, link):
    write_reds(tmp_path / 'from', arrangement)
    output = tmp_path / 'REDS'
    prepare('reds', tmp_path / 'from', output, PrepareOptions(incomplete=True, link=link))
    names = ['000', '001', '011', '240', '269']
    assert sorted(os.listdir(output / 'train_sharp')) == names
    assert sorted(os.listdir(output / 'train_sharp_bicubic' / 'X4')) == names
    assert sorted(os.listdir(output / 'val_REDS4_sharp')) == ['000', '011']
    assert (output / 'train_sharp' / '269').is_symlink() == link
    assert (output / 'meta_info_REDS_GT.txt').read_text().splitlines()[-1] == '269 2 (96,128,3)'
    assert np.array_equal(read_image(output / 'train_sharp/269/00000001.png'), texture(1, 1))
    train = REDSRecurrentDataset(
        dataroot_gt=str(output / 'train_sharp'),
        dataroot_lq=str(output / 'train_sharp_bicubic'),
        meta_info_file=str(output / 'meta_info_REDS_GT.txt'),
        val_partition='REDS4',
        num_frame=2,
        gt_size=32,
    )
    assert [c.name for c in train.clips] == ['001', '240', '269']
    test = VideoRecurrentTestDataset(
        dataroot_gt=str(output / 'val_REDS4_sharp'), dataroot_lq=str(output / 'val_REDS4_sharp_bicubic')
    )
    assert [c.name for c in test.clips] == ['000', '011']


def test_reds_in_place_and_again(tmp_path):
    write_reds(tmp_path)
    wishes = PrepareOptions(incomplete=True, lmdb=True)
    made = prepare('reds', tmp_path, tmp_path, wishes)
    assert sorted(os.listdir(tmp_path / 'train_sharp')) == ['000', '001', '011', '240', '269']
    before = snapshot(tmp_path)
    assert prepare('reds', tmp_path, tmp_path, wishes) == made
    assert snapshot(tmp_path) == before
    assert (tmp_path / 'train_sharp_with_val.lmdb' / 'meta_info.txt').read_text().splitlines()[
        -1
    ] == '269/00000001.png (96,128,3) 6'
    assert not [name for name in before if '.partial' in name or '.lock' in name]


def test_reds_that_lacks_something(tmp_path):
    write_reds(tmp_path)
    with pytest.raises(DataError, match='clips are missing: 002'):
        prepare('reds', tmp_path, tmp_path / 'out', PrepareOptions())
    with pytest.raises(DataError, match='got no folder train_sharp'):
        prepare('reds', tmp_path / 'val_sharp', tmp_path / 'out', PrepareOptions())


def write_vimeo(root, count=3):
    names = [f'00001/{n:04d}' for n in range(1, count + 1)]
    write_gt(root / 'sequences', dict.fromkeys(names, 7), size=(64, 64), names='im{}', first=1)
    (root / 'sep_trainlist.txt').write_text('\n'.join(names[:-1]) + '\n')
    (root / 'sep_testlist.txt').write_text(names[-1] + '\n')


@pytest.mark.parametrize('inside', ['', 'vimeo_septuplet'])
def test_vimeo(tmp_path, inside):
    write_vimeo(tmp_path / 'from' / inside)
    output = tmp_path / 'vimeo90k'
    prepare('vimeo90k', tmp_path / 'from', output, PrepareOptions(kinds=('BI', 'BD'), link=True, lmdb=True))
    assert (
        output / 'meta_info_Vimeo90K_train_GT.txt'
    ).read_text() == '00001/0001 7 (64,64,3)\n00001/0002 7 (64,64,3)\n'
    gt, bd = str(output / 'vimeo_septuplet' / 'sequences'), output / 'vimeo_septuplet_BDLRx4' / 'sequences'
    assert np.array_equal(read_image(bd / '00001/0002/im3.png'), degrade_uint8(texture(1, 2, (64, 64)), 'BD'))
    meta = {part: str(output / f'meta_info_Vimeo90K_{part}_GT.txt') for part in ('train', 'test')}
    test = VideoTestVimeo90KDataset(dataroot_gt=gt, dataroot_lq=str(bd), meta_info_file=meta['test'], num_frame=7)
    assert [c.name for c in test.clips] == ['00001/0003']
    lmdbs = {
        'dataroot_gt': str(output / 'vimeo90k_train_GT_all.lmdb'),
        'dataroot_lq': str(output / 'vimeo90k_train_BIx4.lmdb'),
        'io_backend': {'type': 'lmdb'},
    }
    train = Vimeo90KRecurrentDataset(**lmdbs, num_frame=-1, gt_size=32, meta_info_file=meta['train'])
    assert len(train) == 2
    assert train[0]['lq'].shape == (7, 3, 8, 8)


def test_vimeo_without_its_list(tmp_path):
    write_vimeo(tmp_path)
    (tmp_path / 'sep_testlist.txt').unlink()
    with pytest.raises(DataError, match='sep_testlist'):
        prepare('vimeo90k', tmp_path, tmp_path, PrepareOptions(kinds=('BI',)))


@pytest.mark.parametrize('place', ['GT/{}', '{}/truth', '{}/original', '{}'])
def test_vid4(tmp_path, place):
    for clip in ('city', 'walk'):
        write_gt(tmp_path / 'from', {place.format(clip): 3}, names='Frame {:03d}', first=1)
    prepare(
        'vid4', tmp_path / 'from', tmp_path / 'Vid4', PrepareOptions(kinds=('BI', 'BD'), incomplete=True, lmdb=True)
    )
    assert sorted(os.listdir(tmp_path / 'Vid4')) == [
        'BDx4',
        'BDx4.lmdb',
        'BIx4',
        'BIx4.lmdb',
        'GT',
        'GT.lmdb',
        'meta_info_Vid4_GT.txt',
    ]
    assert np.array_equal(read_image(tmp_path / 'Vid4/BDx4/walk/Frame 002.png'), degrade_uint8(texture(0, 1), 'BD'))
    with pytest.raises(DataError, match='calendar'):
        prepare('vid4', tmp_path / 'from', tmp_path / 'other', PrepareOptions(kinds=('BI',)))


def test_udm10_is_cut_and_its_blur_left_alone(tmp_path):
    write_gt(tmp_path / 'from', {'archpeople/truth': 2}, size=(98, 130))
    write_gt(tmp_path / 'from', {'archpeople/blur4': 2}, size=(24, 32))
    prepare('udm10', tmp_path / 'from', tmp_path / 'UDM10', PrepareOptions(kinds=('BD',), incomplete=True, link=True))
    cut = texture(0, 1, (98, 130))[:96, :128]
    assert np.array_equal(read_image(tmp_path / 'UDM10/GT/archpeople/00000001.png'), cut)
    assert np.array_equal(read_image(tmp_path / 'UDM10/BDx4/archpeople/00000001.png'), degrade_uint8(cut, 'BD'))


def test_interrupted_copy_goes_on(tmp_path, monkeypatch):
    from iart.preparing import arrangement

    write_reds(tmp_path / 'from')
    real, calls = arrangement.place_file, []

    def stop_at_five(*arguments, **options):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        real(*arguments, **options)

    monkeypatch.setattr(arrangement, 'place_file', stop_at_five)
    with pytest.raises(KeyboardInterrupt):
        prepare('reds', tmp_path / 'from', tmp_path / 'REDS', PrepareOptions(incomplete=True))
    assert '011' not in os.listdir(tmp_path / 'REDS' / 'train_sharp')
    prepare('reds', tmp_path / 'from', tmp_path / 'REDS', PrepareOptions(incomplete=True))
    assert len(snapshot(tmp_path / 'REDS' / 'train_sharp')) == 10
