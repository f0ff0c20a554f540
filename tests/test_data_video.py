"""Video files as data: every frame is reached exactly, and colors are converted as the file specifies."""

import pickle
import random

import numpy as np
import pytest
from helpers.prepared_clips import texture
from helpers.video_files import write_video

from iart.data.frames import open_store
from iart.data.recurrent_dataset import VideoClipDataset
from iart.data.store import Box
from iart.errors import DataError
from iart.video import index as video_index

COUNT = 23


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp('videos') / 'moving.mp4', [texture(0, n) for n in range(COUNT)])


def test_frames_in_any_order(video):
    decoded = [open_store(video).read('moving', f'{n:08d}') for n in range(COUNT)]
    assert [
        int(np.argmin([np.abs(d.astype(int) - texture(0, n)).mean() for n in range(COUNT)])) for d in decoded
    ] == list(range(COUNT))
    store = open_store(video)
    order = [*range(COUNT), *reversed(range(COUNT))]
    random.Random(0).shuffle(order)
    assert all(np.array_equal(store.read('moving', f'{n:08d}'), decoded[n]) for n in order)
    again = pickle.loads(pickle.dumps(store))
    assert np.array_equal(again.read('moving', '00000017'), decoded[17])


def test_listing_and_crop(video):
    store = open_store(video.parent)
    assert store.clips() == ('moving',)
    assert store.frames('moving')[-1] == f'{COUNT - 1:08d}'
    assert store.frames('nowhere') == ()
    assert store.size('moving', '00000000') == (96, 128)
    box = Box(8, 16, 32, 40)
    assert np.array_equal(
        store.read_crop('moving', '00000004', box, (96, 128)), box.cut(store.read('moving', '00000004'))
    )
    with pytest.raises(DataError, match=r'moving\.mp4: frame 00000099'):
        store.read('moving', '00000099')


def rgb_of(y: int, cb: int, cr: int, matrix: str, full: bool):
    """Y'CbCr to R'G'B' by the book."""
    kr, kb = {'BT.709': (0.2126, 0.0722), 'BT.601': (0.299, 0.114)}[matrix]
    luma, blue, red = (
        (y / 255, (cb - 128) / 255, (cr - 128) / 255) if full else ((y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224)
    )
    r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
    return np.clip(255 * np.array([r, (luma - kr * r - kb * b) / (1 - kr - kb), b]), 0, 255)


@pytest.mark.parametrize(('colorspace', 'matrix'), [(1, 'BT.709'), (6, 'BT.601'), (None, 'BT.601')])
@pytest.mark.parametrize(('color_range', 'extent'), [(1, 'limited'), (2, 'full'), (None, 'limited')])
def test_colors_follow_the_tags(tmp_path, colorspace, matrix, color_range, extent):
    colors = [(60, 100, 160), (120, 140, 110), (200, 120, 130)]
    path = write_video(tmp_path / 'a.mp4', colors, colorspace=colorspace, color_range=color_range, gop=1)
    store = open_store(path)
    assert store.color('a') == f'{matrix}, {extent} range ({"tagged" if colorspace else "assumed"})'
    for number, color in enumerate(colors):
        result = store.read('a', f'{number:08d}').reshape(-1, 3).mean(0)
        assert np.abs(result - rgb_of(*color, matrix, extent == 'full')).max() <= 3, (
            result,
            rgb_of(*color, matrix, extent == 'full'),
        )


def test_index_is_kept_beside_long_videos(video, tmp_path, monkeypatch):
    monkeypatch.setattr(video_index, '_WORTH_KEEPING', 0)
    path = tmp_path / 'b.mp4'
    path.write_bytes(video.read_bytes())
    first = open_store(path).index('b')
    monkeypatch.setattr(video_index, 'make_index', lambda file: pytest.fail('made a second time'))
    assert open_store(path).index('b') == first
    monkeypatch.undo()
    path.write_bytes(video.read_bytes() + b'\0' * 8)  # another file by now
    assert video_index._load_index(path) is None


def test_training_from_videos(tmp_path):
    for name in ('a', 'b'):
        write_video(tmp_path / f'{name}.mp4', [texture(0, n) for n in range(5)])
    dataset = VideoClipDataset(dataroot_gt=str(tmp_path), degradation='BI', num_frame=3, gt_size=32)
    assert len(dataset) == 10
    assert dataset[7]['lq'].shape == (3, 3, 8, 8)


def test_not_a_video(tmp_path):
    (tmp_path / 'a.mp4').write_bytes(b'no video')
    with pytest.raises(DataError, match=r'a\.mp4: cannot be read as video'):
        open_store(tmp_path).frames('a')


def test_cut_video_names_the_frame(video, tmp_path):
    path = tmp_path / 'cut.mkv'
    write_video(path, [texture(0, n) for n in range(COUNT)])
    index = open_store(path).index('cut')
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    store = open_store(path)
    store._indexes['cut'] = index
    with pytest.raises(DataError, match=r'cut\.mkv: frame 22 of 23'):
        store.read('cut', '00000022')
