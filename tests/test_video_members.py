"""Videos as users have them: streams that change, transparency, times before 0, reordering in AVI, odd side data."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from helpers.upscale_clips import Enlarge, texture
from helpers.video_files import copy, encode, with_content

from iart.data.frames import open_store
from iart.data.guarded import Guarded
from iart.data.loaders import build_dataset
from iart.errors import DataError
from iart.upscaling.job import run
from iart.upscaling.networks import Loaded
from iart.upscaling.sources import find_jobs
from iart.upscaling.upscale_options import UpscaleOptions
from iart.video.index import index_of

CLOSED = {'x264-params': 'bframes=0'}
EXIF = b'Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\0\0\0\0'


def frames(count, height=48, width=64):
    return [texture(3 * number, height, width) for number in range(count)]


def upscale(source, output, **settings):
    """Return (count, width, height, format, times) of what is written."""
    run(
        find_jobs([str(source)], output),
        Loaded(Enlarge(), 'Enlarge', ''),
        torch.device('cpu'),
        UpscaleOptions(**settings),
    )
    with av.open(str(output)) as container:
        shown = list(container.decode(video=0))
    times = [round(float(frame.pts * frame.time_base), 4) for frame in shown]
    return len(shown), shown[0].width, shown[0].height, shown[0].format.name, times


def in_succession(path, *parts):
    """Write the packets of several (file, rate) one after the other as one stream."""
    with av.open(str(parts[0][0])) as first, av.open(str(path), 'w') as target:
        stream = target.add_stream_from_template(first.streams.video[0], opaque=True)
        moment = Fraction(0)
        for file, rate in parts:
            with av.open(str(file)) as source:
                for packet in source.demux(source.streams.video[0]):
                    if packet.size:
                        packet.time_base = Fraction(1, 90000)
                        packet.pts = packet.dts = int(moment * 90000)
                        packet.stream, moment = stream, moment + Fraction(1, rate)
                        target.mux(packet)
    return path


@pytest.mark.parametrize(
    ('size', 'pix_fmt', 'later'),
    [((64, 80), 'yuv420p', (320, 256, 'yuv420p')), ((48, 64), 'yuv444p', (256, 192, 'yuv444p'))],
    ids=['size', 'pixel format'],
)
def test_a_stream_that_changes_is_upscaled_part_by_part(tmp_path, size, pix_fmt, later):
    one = encode(tmp_path / 'one.ts', frames(4), options=CLOSED)
    other = encode(tmp_path / 'other.ts', frames(4, *size), pix_fmt=pix_fmt, options=CLOSED)
    path = in_succession(tmp_path / 'a.ts', (one, 25), (other, 25))
    with pytest.raises(DataError, match=r'at 0\.160 s, expected .* --end 0\.160  and  --start 0\.160'):
        upscale(path, tmp_path / 'whole.mp4')
    assert not (tmp_path / 'whole.mp4').exists()
    moment = Fraction('0.160')
    assert upscale(path, tmp_path / 'early.mp4', end=moment)[:4] == (4, 256, 192, 'yuv420p')
    assert upscale(path, tmp_path / 'late.mp4', start=moment)[:4] == (4, *later)


def test_a_rate_that_changes_keeps_the_times(tmp_path):
    part = encode(tmp_path / 'one.ts', frames(3), options=CLOSED)
    path = in_succession(tmp_path / 'a.ts', (part, 25), (part, 50))
    assert upscale(path, tmp_path / 'out.mp4')[4] == [0, 0.04, 0.08, 0.12, 0.14, 0.16]


def test_240_frames_a_second(tmp_path):
    path = encode(tmp_path / 'a.mp4', frames(8), rate=240)
    assert upscale(path, tmp_path / 'out.mp4')[4] == [round(n / 240, 4) for n in range(8)]


@pytest.mark.parametrize(
    ('codec', 'pix_fmt', 'ending'),
    [
        ('ffv1', 'yuva420p', '.mkv'),
        ('ffv1', 'bgra', '.mkv'),
        ('qtrle', 'argb', '.mov'),
        ('prores_ks', 'yuva444p10le', '.mov'),
        ('libvpx-vp9', 'yuva420p', '.webm'),
    ],
)
def test_transparency_is_said_to_be_left_out(tmp_path, caplog, codec, pix_fmt, ending):
    if codec not in av.codecs_available:
        pytest.skip(f'this FFmpeg has no {codec}')
    path = tmp_path / f'a{ending}'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        for number, pixels in enumerate(frames(2)):
            layers = np.dstack([pixels, np.full(pixels.shape[:2], 100, np.uint8)])
            frame = av.VideoFrame.from_ndarray(layers, format='rgba').reformat(format=pix_fmt)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert upscale(path, tmp_path / 'out.mp4')[0] == 2
    assert caplog.text.count('its transparency (') == 1


@pytest.mark.parametrize(
    ('ending', 'count', 'message'),
    [('.mkv', 6, 'no times or equal times'), ('.mp4', 4, 'its edit list cuts 2 of its 6 frames away')],
)
def test_frames_before_time_0(tmp_path, caplog, ending, count, message):
    def earlier(_, packet):
        packet.pts = packet.dts = packet.pts - 2 * int(Fraction(1, 25) / packet.time_base)
        return packet

    codec = 'ffv1' if ending == '.mkv' else 'mpeg4'
    whole = encode(tmp_path / f'whole{ending}', frames(6), codec, gop=1)
    path = copy(whole, tmp_path / f'a{ending}', earlier, options={'avoid_negative_ts': 'disabled'})
    assert upscale(path, tmp_path / f'out{ending}')[4] == [round(n / 25, 4) for n in range(count)]
    assert message in caplog.text


def test_reordered_frames_in_avi_are_all_shown_in_order(tmp_path):
    path = encode(tmp_path / 'a.avi', frames(12), options={'x264-params': 'bframes=2:b-adapt=0'}, gop=12)
    assert index_of(path).counted
    store = open_store(path)
    assert len(store.frames('a')) == 12
    for number, name in enumerate(store.frames('a')):
        errors = [np.abs(store.read('a', name).astype(int) - expected).mean() for expected in frames(12)]
        assert int(np.argmin(errors)) == number
    plain = encode(tmp_path / 'plain.avi', frames(4), 'mpeg4')
    assert not index_of(plain).counted


@pytest.mark.parametrize('ending', ['.avi', '.mkv'])
def test_side_data_without_a_name_is_ignored(tmp_path, ending):
    whole = encode(tmp_path / f'whole{ending}', frames(3), 'mjpeg', 'yuvj420p', gop=1)
    segment = b'\xff\xe1' + (len(EXIF) + 2).to_bytes(2, 'big') + EXIF

    def tagged(_, packet):
        content = bytes(packet)
        return with_content(packet, content[:2] + segment + content[2:])

    assert upscale(copy(whole, tmp_path / f'a{ending}', tagged), tmp_path / 'out.mp4')[0] == 3


def test_exr_is_refused_by_name(tmp_path):
    folder = tmp_path / 'clip'
    folder.mkdir()
    with av.open(str(folder / '0001.exr'), 'w', format='image2') as container:
        stream = container.add_stream('exr', rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'gbrpf32le'
        frame = av.VideoFrame.from_ndarray(texture(0, 48, 64), format='rgb24').reformat(format='gbrpf32le')
        frame.pts = 0
        container.mux([*stream.encode(frame), *stream.encode()])
    with pytest.raises(DataError, match=r'0001\.exr.*expected images'):
        upscale(folder, tmp_path / 'out.mp4')
    with pytest.raises(DataError, match=r'gbrpf32le \(floating-point.*ffmpeg -i 0001\.exr'):
        upscale(folder / '0001.exr', tmp_path / 'out.mp4')
    with pytest.raises(DataError, match=r'got 1 \.exr directly in it \(readable are \.png'):
        open_store(folder).clips()


def test_an_undecodable_frame_of_a_training_set_is_named_or_replaced(tmp_path):
    whole = encode(tmp_path / 'whole.mkv', frames(8, 64, 64), 'ffv1', gop=1)
    (tmp_path / 'gt').mkdir()
    copy(whole, tmp_path / 'gt' / 'a.mkv', lambda n, p: with_content(p, b'\xff\xff\xff') if n == 5 else p)
    section = {'type': 'VideoClipDataset', 'dataroot_gt': str(tmp_path / 'gt'), 'degradation': 'BI'}
    section |= {'num_frame': 2, 'gt_size': 64}
    dataset = build_dataset(section, key='datasets.train', scale=4)
    stopping = [Guarded(dataset, 'stop', 0)[0, position] for position in range(len(dataset))]
    assert {str(item) for item in stopping if isinstance(item, DataError)} == {
        f'{tmp_path}/gt/a.mkv: frame 5 of 8 cannot be decoded; the file is damaged or cut short: copy or download it '
        'again'
    }
    skipping = [Guarded(dataset, 'skip', 0)[0, position] for position in range(len(dataset))]
    replaced = [item['unreadable'] for item in skipping if 'unreadable' in item]
    assert len(replaced) == sum(isinstance(item, DataError) for item in stopping) == 2
    assert all(item['lq'].shape == (2, 3, 16, 16) for item in skipping)
