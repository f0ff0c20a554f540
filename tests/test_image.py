"""Frames in and out: strict decoding, headers, natural order, tensors, video files."""

import cv2
import numpy as np
import pytest
import torch

from iart.errors import DataError
from iart.image import (
    decode_image,
    encode_png,
    image_size,
    natural_key,
    read_image,
    to_tensor,
    to_uint8,
    video_frames,
    write_png,
)


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
    """Bytes of a frame that must be refused, and what the message must say."""
    png, jpeg = (cv2.imencode(s, frame)[1].tobytes() for s in ('.png', '.jpg'))
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF
    return {
        'empty': (b'', 'is empty'),
        'cut png': (png[: len(png) // 2], 'cut short'),
        'cut jpeg': (jpeg[: len(jpeg) // 2], 'cut short'),
        'damaged png': (bytes(flipped), 'cannot be decoded'),
        'text': (b'hello', 'cannot be decoded'),
        'grey': (cv2.imencode('.png', frame[..., 0])[1].tobytes(), '1 channel '),
        'alpha': (cv2.imencode('.png', np.dstack([frame, frame[..., :1]]))[1].tobytes(), '4 channels'),
        '16 bits': (cv2.imencode('.png', frame.astype(np.uint16) * 257)[1].tobytes(), '16 bits'),
    }[how]


@pytest.mark.parametrize('how', ['empty', 'cut png', 'cut jpeg', 'damaged png', 'text', 'grey', 'alpha', '16 bits'])
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
    for read in (read_image, image_size, lambda p: next(video_frames(p))):
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


def test_uint8_clamps_and_rounds_half_to_even():
    values = torch.tensor([-0.1, 0.5 / 255, 1.5 / 255, 2.5 / 255, 1.2], dtype=torch.float64).float()
    assert to_uint8(values.view(1, 1, 5).expand(3, 1, 5))[0, :, 0].tolist() == [0, 0, 2, 2, 255]
    assert to_uint8(torch.ones(3, 2, 2, dtype=torch.bfloat16)).max() == 255


def test_video_frames_are_read_in_order(tmp_path):
    av = pytest.importorskip('av')
    path = tmp_path / 'a.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('ffv1', rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 16, 'bgr0'
        for level in (10, 100, 200):
            picture = np.full((16, 32, 3), (level, 0, 0), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode())
    frames = list(video_frames(path))
    assert [f[0, 0].tolist() for f in frames] == [[10, 0, 0], [100, 0, 0], [200, 0, 0]]
    assert frames[0].shape == (16, 32, 3)
    path.write_bytes(b'no video')
    with pytest.raises(DataError, match='cannot be read as video'):
        next(video_frames(path))
