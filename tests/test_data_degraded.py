"""LR made on the fly is bit-exactly that part of the degraded frame; crops of PNG files are crops of their frames."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from helpers.prepared_clips import texture, write_gt, write_lr
from PIL import Image

from iart.data import png
from iart.data.degraded import DegradedStore, TrimmedStore
from iart.data.frames import FolderStore
from iart.data.png import decode_crop
from iart.data.recurrent_dataset import VideoClipDataset
from iart.data.store import Box
from iart.errors import DataError, OptionsError
from iart.image import encode_png
from iart.ops.degradation import degrade_uint8


@pytest.mark.parametrize('kind', ['BI', 'BD'])
def test_every_crop_equals_the_degraded_frame(tmp_path, kind):
    store = DegradedStore(TrimmedStore(FolderStore(write_gt(tmp_path, {'a': 1}, size=(99, 130))), 4), kind, 4)
    whole, gt = degrade_uint8(texture(0, 0, (99, 130)), kind), texture(0, 0, (99, 130))
    assert store.size('a', '00000000') == (24, 32)
    for top in range(0, 17, 3):
        for left in (0, 1, 9, 16, 24):
            box = Box(top, left, 8, 8)
            lq, high = store.read_pair('a', '00000000', box, (24, 32))
            assert np.array_equal(lq, box.cut(whole))
            assert np.array_equal(high, box.times(4).cut(gt))


@pytest.mark.parametrize('kind', ['BI', 'BD'])
def test_training_from_ground_truth_alone(tmp_path, kind):
    """The items are bit-exactly those of LR files."""
    gt = write_gt(tmp_path / 'gt', {'000': 4, '001': 3})
    lq = write_lr(gt, tmp_path / 'lq', lambda image: degrade_uint8(image, kind))
    options = {'dataroot_gt': str(gt), 'num_frame': 3, 'gt_size': 32, 'use_hflip': True, 'use_rot': True, 'seed': 3}
    files = VideoClipDataset(**options, dataroot_lq=str(lq))
    made = VideoClipDataset(**options, degradation=kind)
    for position in range(len(files)):
        a, b = files[5, position], made[5, position]
        assert torch.equal(a['lq'], b['lq'])
        assert torch.equal(a['gt'], b['gt'])


def test_one_of_the_two(tmp_path):
    gt = str(write_gt(tmp_path, {'a': 1}))
    for lq in ({}, {'dataroot_lq': gt, 'degradation': 'BI'}):
        with pytest.raises(OptionsError, match='dataroot_lq'):
            VideoClipDataset(dataroot_gt=gt, num_frame=1, gt_size=16, **lq)


def _png(image, filters):
    """A PNG with a given filter for each row; as much of the format as the test needs."""
    h, w, _ = image.shape
    padded = np.zeros((h + 1, w + 1, 3), int)
    padded[1:, 1:] = image
    x, a, b, c = padded[1:, 1:], padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    paeth = np.where((pa <= pb) & (pa <= pc), a, np.where(pb <= pc, b, c))
    rows = [(x - [0, a, b, (a + b) // 2, paeth][f])[y] for y, f in enumerate(filters)]
    raw = b''.join(bytes([f]) + (row % 256).astype(np.uint8).tobytes() for f, row in zip(filters, rows, strict=True))
    return _file(w, h, 0, raw)


def _file(width, height, interlaced, raw):
    """PNG bytes around filtered rows, with a text chunk and the stream in two pieces."""
    packed = zlib.compress(raw)
    parts = [(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, interlaced)), (b'tEXt', b'a\0b')]
    parts += [(b'IDAT', packed[:100]), (b'IDAT', packed[100:]), (b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(d)) + k + d + struct.pack('>I', zlib.crc32(k + d)) for k, d in parts
    )


def test_crops_of_every_filter():
    rng = np.random.default_rng(0)
    image = texture(0, 0, (40, 52))
    data = _png(image, rng.integers(0, 5, 40))
    for _ in range(40):
        top, left = rng.integers(0, 30, 2)
        box = Box(int(top), int(left), int(rng.integers(1, 41 - top)), int(rng.integers(1, 53 - left)))
        assert np.array_equal(decode_crop(data, 'x', box, (40, 52)), box.cut(image))


def test_the_quick_way_is_taken_frame_after_frame(monkeypatch):
    """Frames of one size in a row: the decoder must not mix them."""
    monkeypatch.setattr(png, 'decode_image', lambda data, name: pytest.fail('took the slow way'))
    for n in range(4):
        assert np.array_equal(
            decode_crop(encode_png(texture(n, 0), n), 'x', Box(3, 5, 60, 70), (96, 128)), texture(n, 0)[3:63, 5:75]
        )


@pytest.mark.parametrize('how', ['interlaced', 'jpeg', 'bmp'])
def test_unusual_files_take_the_ordinary_way(how):
    image = texture(0, 0)
    if how == 'interlaced':
        data = _interlaced(image)
    else:
        stored = io.BytesIO()
        Image.fromarray(image).save(stored, how, **({'quality': 100, 'subsampling': 0} if how == 'jpeg' else {}))
        data = stored.getvalue()
    assert np.abs(decode_crop(data, 'x', Box(3, 5, 60, 70), (96, 128)).astype(int) - image[3:63, 5:75]).max() <= (
        8 if how == 'jpeg' else 0
    )


def _interlaced(image):
    """Adam7 by hand: seven small images, unfiltered."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    raw = b''.join(b'\0' + row.tobytes() for y, x, dy, dx in passes for row in image[y::dy, x::dx])
    return _file(image.shape[1], image.shape[0], 1, raw)


@pytest.mark.parametrize('cut', [0, 20, 60, 3000, -1])
def test_cut_files_are_refused(cut):
    with pytest.raises(DataError, match='frame 7'):
        decode_crop(encode_png(texture(0, 0))[:cut], 'frame 7', Box(0, 0, 8, 8), (96, 128))


def test_another_size_is_refused():
    with pytest.raises(DataError, match='frame 7: got 128x96, expected 130x96'):
        decode_crop(encode_png(texture(0, 0)), 'frame 7', Box(0, 0, 8, 8), (96, 130))
