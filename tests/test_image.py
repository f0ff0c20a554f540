"""Frames in and out: strict decoding, headers, natural order, tensors."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from iart.errors import DataError
from iart.image import (
    decode_image,
    encode_png,
    image_size,
    natural_key,
    read_image,
    to_tensor,
    to_uint8,
    write_png,
)
from iart.video.stills import ImageHeader, read_deep, read_header


@pytest.fixture
def frame():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_png_round_trip_keeps_rgb_order(tmp_path, frame):
    write_png(tmp_path / 'new' / 'a.png', frame)
    assert np.array_equal(read_image(tmp_path / 'new' / 'a.png'), frame)
    assert np.array_equal(cv2.imread(str(tmp_path / 'new' / 'a.png'))[..., ::-1], frame)
    assert [p.name for p in (tmp_path / 'new').iterdir()] == ['a.png']  # no temporary file is left


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp', '.tif'])
def test_size_comes_from_the_header(tmp_path, frame, suffix):
    path = tmp_path / f'a{suffix}'
    cv2.imwrite(str(path), frame)
    assert image_size(path) == (20, 30)
    assert read_image(path).shape == (20, 30, 3)


def test_size_needs_the_header_only(tmp_path, frame):
    (tmp_path / 'a.png').write_bytes(encode_png(frame)[:60])
    assert image_size(tmp_path / 'a.png') == (20, 30)


def spoil(frame, how):
    """Bytes of a frame that must be refused, and a part of the message."""
    png, jpeg = (cv2.imencode(s, frame)[1].tobytes() for s in ('.png', '.jpg'))
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF
    return {
        'empty': (b'', 'is empty'),
        'cut png': (png[: len(png) // 2], 'cut short'),
        'cut jpeg': (jpeg[: len(jpeg) // 2], 'cut short'),
        'damaged png': (bytes(flipped), 'cannot be decoded'),
        'text': (b'hello', 'cannot be decoded'),
        'alpha': (cv2.imencode('.png', np.dstack([frame, frame[..., :1]]))[1].tobytes(), 'transparent.*ffmpeg'),
        '16 bits': (cv2.imencode('.png', frame.astype(np.uint16) * 256)[1].tobytes(), '16 bits.*ffmpeg'),
        'float': (cv2.imencode('.tiff', frame.astype(np.float32))[1].tobytes(), 'float32.*ffmpeg'),
    }[how]


@pytest.mark.parametrize('how', ['empty', 'cut png', 'cut jpeg', 'damaged png', 'text', 'alpha', '16 bits', 'float'])
def test_bad_image_is_named(tmp_path, frame, how):
    data, expected = spoil(frame, how)
    (tmp_path / 'bad.png').write_bytes(data)
    with pytest.raises(DataError, match=expected) as caught:
        read_image(tmp_path / 'bad.png')
    assert 'bad.png' in str(caught.value)


def test_jpeg_with_bytes_after_its_end_is_read(frame):
    data = cv2.imencode('.jpg', frame)[1].tobytes()
    assert decode_image(data + b'\0' * 5000, 'a.jpg').shape == frame.shape


def test_missing_files_are_named(tmp_path, frame):
    for read in (read_image, image_size, read_header, read_deep):
        with pytest.raises(DataError, match='absent'):
            read(tmp_path / 'absent.png')
    (tmp_path / 'zero.png').touch()
    with pytest.raises(DataError, match=r'zero\.png: got an empty file'):
        image_size(tmp_path / 'zero.png')
    (tmp_path / 'file').touch()
    with pytest.raises(DataError, match='cannot be written'):
        write_png(tmp_path / 'file' / 'a.png', frame)


def test_natural_order():
    assert sorted(['im10', 'im2', 'im1', 'a', '10', '9', 'im02'], key=natural_key) == [
        '9',
        '10',
        'a',
        'im1',
        'im02',
        'im2',
        'im10',
    ]


def test_tensor_and_back_is_the_identity(frame):
    clip = np.stack([frame, frame[::-1]])
    tensor = to_tensor(clip)
    assert tensor.shape == (2, 3, 20, 30)
    assert tensor.dtype == torch.float32
    assert tensor.max() <= 1
    assert np.array_equal(to_uint8(tensor), clip)


def test_a_conversion_on_the_device_gives_the_same_bits(monkeypatch):
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    expected = to_tensor(every)
    monkeypatch.setattr('iart.device.shares_host_memory', lambda device: False)
    there = to_tensor(every, torch.device('cpu'))
    assert torch.equal(there, expected)
    assert not torch.equal(there, torch.from_numpy(every).permute(2, 0, 1) * torch.tensor(1 / 255)), 'as a GPU divides'


def test_uint8_clamps_and_rounds_half_to_even():
    values = torch.tensor([-0.1, 0.5 / 255, 1.5 / 255, 2.5 / 255, 1.2], dtype=torch.float64).float()
    assert to_uint8(values.view(1, 1, 5).expand(3, 1, 5))[0, :, 0].tolist() == [0, 0, 2, 2, 255]
    assert to_uint8(torch.ones(3, 2, 2, dtype=torch.bfloat16)).max() == 255


GRAY = np.random.default_rng(1).integers(0, 256, (20, 30), dtype=np.uint8)
RGB = np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8)
LOSSLESS = {
    'gray': ('L', GRAY, ImageHeader((20, 30))),
    '1 bit': ('1', (GRAY > 127).astype(np.uint8) * 255, ImageHeader((20, 30))),
    'gray with opaque alpha': ('LA', np.dstack([GRAY, np.full_like(GRAY, 255)]), ImageHeader((20, 30), alpha=True)),
    'opaque alpha': ('RGBA', np.dstack([RGB, np.full_like(GRAY, 255)]), ImageHeader((20, 30), alpha=True)),
    'palette': ('P', RGB, ImageHeader((20, 30))),
    'rgb': ('RGB', RGB, ImageHeader((20, 30))),
}


@pytest.mark.parametrize('kind', LOSSLESS)
@pytest.mark.parametrize('suffix', ['.png', '.tif'])
def test_kinds_that_become_rgb_without_loss(tmp_path, kind, suffix):
    mode, pixels, header = LOSSLESS[kind]
    path = tmp_path / f'a{suffix}'
    picture = Image.fromarray(pixels)
    picture = picture.quantize(8) if mode == 'P' else picture.convert(mode)
    picture.save(path)
    expected = np.asarray(picture.convert('RGB'))
    for read in (read_image, read_deep):
        assert np.array_equal(read(path), expected)
    assert read_header(path) == header


def test_sixteen_bits_keep_their_depth_or_lose_nothing(tmp_path):
    deep = np.random.default_rng(3).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    for suffix in ('.png', '.tif'):
        cv2.imwrite(str(tmp_path / f'deep{suffix}'), deep)
        assert np.array_equal(read_deep(tmp_path / f'deep{suffix}'), deep[..., ::-1])
        assert read_header(tmp_path / f'deep{suffix}') == ImageHeader((20, 30), bits=16)
        cv2.imwrite(str(tmp_path / f'narrow{suffix}'), RGB.astype(np.uint16) * 257)
        assert np.array_equal(read_image(tmp_path / f'narrow{suffix}'), RGB[..., ::-1])


def test_pages_are_counted(tmp_path):
    pictures = [Image.fromarray(RGB), Image.fromarray(RGB[::-1])]
    for name in ('pages.tif', 'animated.png'):
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:])
        assert read_header(tmp_path / name).pages == 2
