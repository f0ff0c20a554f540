"""Frame stores: arrangements of folders, BasicSR's LMDBs, order of names, pickling, messages."""

import multiprocessing
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import lmdb
import numpy as np
import pytest
from helpers.data_clips import gt_frame, lr_frame, write_clips, write_lmdbs

from iart.data.frames import FolderStore, LmdbStore, open_store
from iart.errors import DataError
from iart.image import write_png


@pytest.fixture(params=['disk', 'lmdb'])
def store(request, tmp_path):
    """Two clips of GT frames, behind either kind of store."""
    write = write_clips if request.param == 'disk' else write_lmdbs
    return open_store(write(tmp_path, {'000': 3, '001': 2})['dataroot_gt'], {'type': request.param})


def test_stores_tell_the_same(store):
    assert store.clips() == ('000', '001')
    assert store.frames('000') == ('00000000', '00000001', '00000002')
    assert store.frames('nowhere') == ()
    assert store.size('001', '00000001') == (32, 48)
    assert np.array_equal(store.read('001', '00000001'), gt_frame(1, 1))
    assert '00000001' in store.where('001', '00000001')


def test_missing_frame_is_named(store):
    with pytest.raises(DataError, match='00000099'):
        store.read('000', '00000099')


def test_pickled_store_reads(store):
    before = store.read('000', '00000000')
    assert np.array_equal(pickle.loads(pickle.dumps(store)).read('000', '00000000'), before)


def _read(store, results):
    results.put(store.read('000', '00000001'))


def _read_elsewhere(store, method):
    """A frame of a store that is handed to a new process after it was read in this one."""
    store.read('000', '00000000')
    context = multiprocessing.get_context(method)
    results = context.Queue()
    process = context.Process(target=_read, args=(store, results))
    process.start()
    frame = results.get(timeout=60)
    process.join()
    assert np.array_equal(store.read('000', '00000001'), frame)
    return frame


def test_store_crosses_a_fork(store):
    assert np.array_equal(_read_elsewhere(store, 'fork'), gt_frame(0, 1))


def test_lmdb_crosses_a_spawn(tmp_path):
    store = LmdbStore(write_lmdbs(tmp_path, {'000': 2})['dataroot_gt'])
    assert np.array_equal(_read_elsewhere(store, 'spawn'), gt_frame(0, 1))


def test_threads_that_read_at_once_open_an_lmdb_once(tmp_path, monkeypatch):
    store = LmdbStore(write_lmdbs(tmp_path, {'000': 4})['dataroot_gt'])
    real = lmdb.open

    def slowly(*arguments, **options):
        time.sleep(0.05)
        return real(*arguments, **options)

    monkeypatch.setattr(lmdb, 'open', slowly)
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(lambda frame: store.read('000', frame), store.frames('000')))) == 4


def test_two_stores_on_one_lmdb(tmp_path):
    root = write_lmdbs(tmp_path, {'000': 1})['dataroot_lq']
    for store in (LmdbStore(root), LmdbStore(root)):
        assert np.array_equal(store.read('000', '00000000'), lr_frame(0, 0))


@pytest.mark.parametrize(
    ('clip', 'names', 'scale_folder'),
    [('000', '{:08d}', ''), ('calendar', 'Frame {:03d}', ''), ('000', '{:03d}', 'X4'), ('00001/0001', 'im{}', '')],
)
def test_arrangements_of_folders(tmp_path, clip, names, scale_folder):
    store = FolderStore(write_clips(tmp_path, {clip: 3}, names, 1, scale_folder=scale_folder)['dataroot_lq'])
    assert store.clips() == (clip,)
    assert store.frames(clip) == tuple(names.format(i) for i in (1, 2, 3))
    assert np.array_equal(store.read(clip, names.format(2)), lr_frame(0, 1))


def test_clips_below_a_scale_folder(tmp_path):
    write_clips(tmp_path / 'lq' / 'X4', {'000': 1, '001': 1})
    (tmp_path / 'lq' / 'X4' / 'lq').rename(tmp_path / 'moved')
    moved = tmp_path / 'moved'
    (tmp_path / 'new').mkdir()
    moved.rename(tmp_path / 'new' / 'X4')
    assert FolderStore(tmp_path / 'new').clips() == ('000', '001')


@pytest.mark.parametrize(('kind', 'write'), [(FolderStore, write_clips), (LmdbStore, write_lmdbs)])
def test_natural_order_of_clips_and_frames(tmp_path, kind, write):
    store = kind(write(tmp_path, {'clip10': 12, 'clip9': 1}, 'im{}', 1)['dataroot_gt'])
    assert store.clips() == ('clip9', 'clip10')
    assert store.frames('clip10') == tuple(f'im{i}' for i in range(1, 13))
    assert np.array_equal(store.read('clip10', 'im10'), gt_frame(0, 9))


def test_other_files_are_left_out(tmp_path):
    root = write_clips(tmp_path, {'000': 1})['dataroot_gt']
    for name in ('000/Thumbs.db', '000/._00000000.png', 'readme.txt', '.hidden/a.png'):
        (tmp_path / 'gt' / name).parent.mkdir(exist_ok=True)
        (tmp_path / 'gt' / name).touch()
    assert FolderStore(root).clips() == ('000',)
    assert FolderStore(root).frames('000') == ('00000000',)


def test_cache_reads_a_file_once(tmp_path):
    store = FolderStore(write_clips(tmp_path, {'000': 2})['dataroot_gt'], cache=True)
    store.read('000', '00000000')
    (tmp_path / 'gt' / '000' / '00000000.png').write_bytes(b'')
    assert np.array_equal(store.read('000', '00000000'), gt_frame(0, 0))


def test_wrong_roots_say_what_is_wanted(tmp_path):
    clips = write_clips(tmp_path, {'000': 1})
    lmdbs = write_lmdbs(tmp_path, {'000': 1})
    with pytest.raises(DataError, match='no such folder'):
        FolderStore(tmp_path / 'absent')
    with pytest.raises(DataError, match=r'io_backend: \{type: lmdb\}'):
        FolderStore(lmdbs['dataroot_gt'])
    with pytest.raises(DataError, match=r'got no data\.mdb'):
        LmdbStore(clips['dataroot_gt'])
    with pytest.raises(DataError, match='1 images directly in it'):
        FolderStore(tmp_path / 'gt' / '000').clips()
    write_png(tmp_path / 'gt' / '000' / '00000000.bmp', gt_frame(0, 0))
    with pytest.raises(DataError, match=r'both 00000000\.bmp and 00000000\.png'):
        FolderStore(tmp_path / 'gt').frames('000')


def test_lmdb_keys_with_underscore(tmp_path):
    root = write_lmdbs(tmp_path, {'000': 1})['dataroot_gt']
    (tmp_path / 'gt.lmdb' / 'meta_info.txt').write_text('000_00000000.png (32,48,3) 1\n')
    assert LmdbStore(root).clips() == ('000',)
    with pytest.raises(DataError, match='key 000_00000000: listed'):
        LmdbStore(root).read('000', '00000000')
    (tmp_path / 'gt.lmdb' / 'meta_info.txt').write_text('000/00000000.png\n')
    with pytest.raises(DataError, match=r'meta_info\.txt:1'):
        LmdbStore(root)
