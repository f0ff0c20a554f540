"""LMDBs: BasicSR reads them, they can be continued, and are there only when they are whole."""

import numpy as np
import pytest
from helpers.prepared_clips import snapshot, texture, write_gt

from iart.data.frames import LmdbStore
from iart.errors import DataError
from iart.preparing import lmdbs
from iart.preparing.lmdbs import make_lmdb

CLIPS = {'000': 4, '001': 3}


@pytest.fixture
def gt(tmp_path):
    return write_gt(tmp_path / 'gt', CLIPS)


@pytest.mark.parametrize('compression', [None, 0, 1])
def test_frames_come_back(gt, tmp_path, compression):
    target = tmp_path / 'out' / 'gt.lmdb'
    assert make_lmdb(gt, target, jobs=2, compression=compression) == 7
    store = LmdbStore(target)
    assert store.clips() == ('000', '001')
    assert np.array_equal(store.read('001', '00000002'), texture(1, 2))
    assert store.size('001', '00000002') == (96, 128)
    assert sorted(p.name for p in target.iterdir()) == ['data.mdb', 'lock.mdb', 'meta_info.txt']
    assert sorted(p.name for p in target.parent.iterdir()) == ['gt.lmdb']
    if compression is None:
        assert store.encoded('000', '00000001') == (gt / '000' / '00000001.png').read_bytes()


def test_basicsr_reads_it(gt, tmp_path):
    from basicsr.data.data_util import paths_from_lmdb
    from basicsr.utils import FileClient, imfrombytes

    target = tmp_path / 'gt.lmdb'
    make_lmdb(gt, target)
    assert paths_from_lmdb(str(target)) == [f'{clip}/{n:08d}' for clip, count in CLIPS.items() for n in range(count)]
    client = FileClient('lmdb', db_paths=[str(target)], client_keys=['gt'])
    image = imfrombytes(client.get('001/00000001', 'gt'), float32=False)
    client.client._client['gt'].close()
    assert np.array_equal(image[..., ::-1], texture(1, 1))


def test_basicsr_writes_the_same(gt, tmp_path):
    from basicsr.utils.lmdb_util import make_lmdb_from_imgs

    keys = [f'{clip}/{n:08d}' for clip, count in CLIPS.items() for n in range(count)]
    make_lmdb_from_imgs(str(gt), str(tmp_path / 'theirs.lmdb'), [f'{k}.png' for k in keys], keys)
    make_lmdb(gt, tmp_path / 'ours.lmdb', compression=1)
    ours, theirs = (tmp_path / name / 'meta_info.txt' for name in ('ours.lmdb', 'theirs.lmdb'))
    assert ours.read_text() == theirs.read_text()
    stores = [LmdbStore(tmp_path / name) for name in ('ours.lmdb', 'theirs.lmdb')]
    assert len({s.encoded('000', '00000002') for s in stores}) == 1


def test_it_goes_on_where_it_stopped(gt, tmp_path, monkeypatch):
    whole = gt / '001' / '00000001.png'
    stored = whole.read_bytes()
    whole.write_bytes(stored[:2000])
    monkeypatch.setattr(lmdbs, '_BATCH', 1)
    target = tmp_path / 'gt.lmdb'
    with pytest.raises(DataError, match=r'00000001\.png'):
        make_lmdb(gt, target)
    assert not target.exists()
    whole.write_bytes(stored)
    assert make_lmdb(gt, target) == 2
    assert len(LmdbStore(target).frames('001')) == 3
    assert not target.with_name('gt.lmdb.partial').exists()


def test_other_settings_are_refused(gt, tmp_path):
    broken = gt / '001' / '00000001.png'
    broken.write_bytes(broken.read_bytes()[:2000])
    for compression, expected in ((0, 'cut short'), (1, 'other settings')):
        with pytest.raises(DataError, match=expected):
            make_lmdb(gt, tmp_path / 'gt.lmdb', compression=compression)


def test_the_map_grows(gt, tmp_path, monkeypatch):
    monkeypatch.setattr(lmdbs, '_FIRST_MAP', 2**15)
    make_lmdb(gt, tmp_path / 'gt.lmdb', compression=0)
    assert np.array_equal(LmdbStore(tmp_path / 'gt.lmdb').read('000', '00000003'), texture(0, 3))


def test_chosen_clips_only(gt, tmp_path):
    make_lmdb(gt, tmp_path / 'gt.lmdb', clips=['001'])
    assert LmdbStore(tmp_path / 'gt.lmdb').clips() == ('001',)
    with pytest.raises(DataError, match='no clip named 7'):
        make_lmdb(gt, tmp_path / 'other.lmdb', clips=['7'])


def test_a_finished_one_is_not_touched(gt, tmp_path):
    make_lmdb(gt, tmp_path / 'gt.lmdb')
    before = snapshot(tmp_path / 'gt.lmdb')
    with pytest.raises(DataError, match='exists already'):
        make_lmdb(gt, tmp_path / 'gt.lmdb')
    assert snapshot(tmp_path / 'gt.lmdb') == before


def test_keys_of_any_letters(tmp_path):
    gt = write_gt(tmp_path / 'my clips', {'Straße 1': 2, '東京': 1})
    make_lmdb(gt, tmp_path / 'ä b.lmdb')
    store = LmdbStore(tmp_path / 'ä b.lmdb')
    assert set(store.clips()) == {'Straße 1', '東京'}
    assert np.array_equal(store.read('東京', '00000000'), texture(1, 0))
