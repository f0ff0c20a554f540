"""LR frames of trees and videos, written whole or not at all."""

import numpy as np
import pytest
from helpers.prepared_clips import snapshot, texture, write_gt
from helpers.video_files import write_video

from iart.data.frames import open_store
from iart.errors import DataError, UserError
from iart.image import read_image
from iart.ops.degradation import degrade_uint8
from iart.preparing import degrade as degrading
from iart.preparing.degrade import degrade_data


@pytest.mark.parametrize(('kind', 'scale'), [('BI', 4), ('BD', 4), ('BI', 2), ('BI', 3)])
def test_every_frame_of_a_tree(tmp_path, kind, scale):
    gt = write_gt(tmp_path / 'gt', {'a/b/c': 2, 'd': 1})
    assert degrade_data(gt, tmp_path / 'lr', kind=kind, scale=scale, jobs=2) == 3
    assert sorted(snapshot(tmp_path / 'lr')) == ['a/b/c/00000000.png', 'a/b/c/00000001.png', 'd/00000000.png']
    assert np.array_equal(read_image(tmp_path / 'lr/a/b/c/00000001.png'), degrade_uint8(texture(0, 1), kind, scale))


def test_a_video(tmp_path):
    video = write_video(tmp_path / 'clip 1.mp4', [texture(0, n) for n in range(5)])
    degrade_data(video, tmp_path / 'lr', kind='BD')
    frame = open_store(video).read('clip 1', '00000003')
    assert len(list((tmp_path / 'lr' / 'clip 1').iterdir())) == 5
    assert np.array_equal(read_image(tmp_path / 'lr' / 'clip 1' / '00000003.png'), degrade_uint8(frame, 'BD'))


def test_it_goes_on_where_it_stopped(tmp_path, monkeypatch):
    gt = write_gt(tmp_path / 'gt', {'000': 4})
    calls = []

    def stop_at_three(image, kind, scale):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return degrade_uint8(image, kind, scale)

    monkeypatch.setattr(degrading, 'degrade_uint8', stop_at_three)
    with pytest.raises(KeyboardInterrupt):
        degrade_data(gt, tmp_path / 'lr', kind='BI')
    assert not (tmp_path / 'lr').exists()
    assert degrade_data(gt, tmp_path / 'lr', kind='BI') <= 2
    assert len(snapshot(tmp_path / 'lr')) == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ['gt', 'lr']


def test_other_settings_are_refused(tmp_path):
    gt = write_gt(tmp_path / 'gt', {'000': 2})
    broken = gt / '000' / '00000001.png'
    broken.write_bytes(broken.read_bytes()[:3000])
    with pytest.raises(DataError, match=r'00000001\.png'):
        degrade_data(gt, tmp_path / 'lr', kind='BI')
    with pytest.raises(DataError, match='other settings'):
        degrade_data(gt, tmp_path / 'lr', kind='BD')


def test_sizes_that_are_no_multiple_are_cut(tmp_path):
    gt = write_gt(tmp_path / 'gt', {'000': 1}, size=(97, 131))
    degrade_data(gt, tmp_path / 'lr', kind='BI')
    assert np.array_equal(
        read_image(tmp_path / 'lr/000/00000000.png'), degrade_uint8(texture(0, 0, (97, 131))[:96, :128])
    )


@pytest.mark.parametrize(('kind', 'scale'), [('BD', 2), ('XX', 4), ('BI', 1)])
def test_no_such_degradation(tmp_path, kind, scale):
    with pytest.raises(UserError, match=kind):
        degrade_data(write_gt(tmp_path / 'gt', {'000': 1}), tmp_path / 'lr', kind=kind, scale=scale)
    assert not (tmp_path / 'lr.partial').exists()


def test_two_files_for_one_frame(tmp_path):
    gt = write_gt(tmp_path / 'gt', {'000': 1})
    (gt / '000' / '00000000.PNG').write_bytes((gt / '000' / '00000000.png').read_bytes())
    if len(list((gt / '000').iterdir())) == 1:
        pytest.skip('this file system does not distinguish upper and lower case')
    with pytest.raises(DataError, match='would both become'):
        degrade_data(gt, tmp_path / 'lr', kind='BI')


def test_a_chain_runs_over_whole_clips_and_continues(tmp_path, monkeypatch):
    gt = write_gt(tmp_path / 'gt', {'a': 3, 'b': 3}, size=(40, 52))
    degrade_data(gt, tmp_path / 'lr', kind='RealBasicVSR', seed=2)
    expected = snapshot(tmp_path / 'lr')
    assert len(expected) == 6
    assert read_image(tmp_path / 'lr/a/00000002.png').shape == (10, 13, 3)
    written, write = [], degrading.write_png

    def stop_at_five(*arguments):
        written.append(1)
        if len(written) == 5:
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(degrading, 'write_png', stop_at_five)
    with pytest.raises(KeyboardInterrupt):
        degrade_data(gt, tmp_path / 'again', kind='RealBasicVSR', seed=2)
    assert degrade_data(gt, tmp_path / 'again', kind='RealBasicVSR', seed=2) == 3, 'clip a was complete'
    assert snapshot(tmp_path / 'again') == expected
    with pytest.raises(UserError, match='--seed'):
        degrade_data(gt, tmp_path / 'other', kind='RealBasicVSR', seed=-1)
    with pytest.raises(UserError, match=r'--kind: got .*BI, BD, RealBasicVSR'):
        degrade_data(gt, tmp_path / 'other', kind='bicubic')
