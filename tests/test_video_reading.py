"""Reading videos as users have them: one way to RGB through every entrance, damage, clocks, odd streams and names."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from helpers.upscale_clips import Enlarge, texture, write
from helpers.video_files import copy, encode, with_content

from iart.data.frames import open_store
from iart.data.loaders import build_part
from iart.data.store import Box
from iart.demo.bundled_clip import film_frames
from iart.errors import DataError
from iart.image import read_image, to_tensor, to_uint8, write_png
from iart.ops.degradation import degrade_uint8
from iart.preparing.degrade import degrade_data
from iart.upscaling import sources
from iart.upscaling.job import run
from iart.upscaling.networks import Loaded
from iart.upscaling.sources import find_jobs
from iart.upscaling.upscale_options import UpscaleOptions
from iart.video import index as video_index
from iart.video.color import Coding, coding_of
from iart.video.index import Facts, VideoIndex, index_of
from iart.video.orientation import Orientation, orientation_of
from iart.video.pictures import rgb_pixels, to_frame
from iart.video.pixel_formats import has_alpha, is_gray, is_rgb
from iart.video.siting import stream_siting

CPU = torch.device('cpu')


def shown(source, **settings):
    """The (time stamp, uint8 RGB) of every frame as upscaling reads them, and the clip."""
    options = UpscaleOptions(**settings)
    clip = sources.examine(Path(source), options)
    return [(s.pts, to_uint8(s.picture.rgb())) for s in sources.read(Path(source), clip, options)], clip


def upscaled(source, output):
    run(find_jobs([str(source)], output), Loaded(Enlarge(), 'Enlarge', ''), CPU, UpscaleOptions())
    return [read_image(path)[::4, ::4] for path in sorted(output.iterdir())]


@pytest.mark.parametrize(
    ('pix_fmt', 'tags', 'size'),
    [
        ('yuv420p', (1, 1, 1, 1), (34, 46)),
        ('yuv420p', (6, 6, 6, 2), (34, 46)),
        ('yuv422p', (9, 9, 16, 1), (34, 46)),
        ('yuv444p', (2, 2, 2, 0), (33, 45)),
        ('yuv420p', (2, 2, 2, 0), (33, 45)),
        ('bgr0', (0, 1, 1, 2), (33, 45)),
        ('gray', (2, 2, 2, 0), (33, 45)),
    ],
)
def test_every_entrance_gives_the_same_pixels(tmp_path, pix_fmt, tags, size):
    frames = [texture(n, *size) for n in range(3)]
    check_entrances(write(tmp_path / 'a.mkv', frames, codec='ffv1', pix_fmt=pix_fmt, tags=tags), size, tmp_path)


@pytest.mark.parametrize(('location', 'siting'), [(1, 'center'), (2, 'top left')])
def test_every_entrance_obeys_the_chroma_siting(tmp_path, location, siting):
    size = (36, 48)
    frames = [texture(n, *size) for n in range(3)]
    path = encode(tmp_path / 'a.mp4', frames, options={'x264-params': f'chromaloc={location}'})
    data = check_entrances(path, size, tmp_path)
    with av.open(str(path)) as container:
        decoded = next(container.decode(video=0))
        expected = rgb_pixels(decoded, coding_of(decoded, path, siting))
        assert np.array_equal(data[0], expected)
        assert not np.array_equal(data[0], rgb_pixels(decoded, coding_of(decoded, path, 'left')))


def check_entrances(path, size, folder):
    """Compare frames from data sets (whole and crops), degrading, upscaling, the report's data and the demo."""
    store = open_store(path)
    data = [store.read('a', name) for name in store.frames('a')]
    read, _ = shown(path)
    restored = upscaled(path, folder / 'out')
    for one, (_, other), third in zip(data, read, restored, strict=True):
        assert np.array_equal(one, other)
        assert np.array_equal(one, third)
    box = Box(5, 3, 20, 30)
    assert np.array_equal(store.read_crop('a', '00000001', box, size), box.cut(data[1]))
    degrade_data(path, folder / 'lr', kind='BI')
    made = sorted((folder / 'lr').rglob('*.png'))
    assert all(np.array_equal(read_image(p), degrade_uint8(d, 'BI', 4)) for p, d in zip(made, data, strict=True))
    section = {'type': 'VideoRecurrentTestDataset', 'dataroot_lq': str(path)}
    reported = build_part(section, ['a'], key='datasets.test', scale=4).read_lq(0)  # as reports read their frames
    assert np.array_equal(reported, data)
    assert np.array_equal(list(film_frames(path, 3)), data)
    return data


@pytest.mark.parametrize(
    ('suffix', 'codec', 'pix_fmt', 'options', 'siting'),
    [
        ('.mp4', 'libx264', 'yuv420p', {'x264-params': 'chromaloc=1'}, 'center'),
        ('.mp4', 'libx264', 'yuv420p', {'x264-params': 'chromaloc=2'}, 'top left'),
        ('.ts', 'libx264', 'yuv420p', {'x264-params': 'chromaloc=0'}, 'left'),
        ('.mkv', 'mjpeg', 'yuvj420p', {}, 'center'),
        ('.ts', 'mpeg2video', 'yuv420p', {}, 'left'),
        ('.mkv', 'ffv1', 'yuv420p', {}, None),
    ],
)
def test_siting_is_read_from_the_stream(tmp_path, suffix, codec, pix_fmt, options, siting):
    path = encode(tmp_path / f'a{suffix}', [texture(n, 48, 64) for n in range(3)], codec, pix_fmt, options)
    with av.open(str(path)) as container:
        assert stream_siting(container.streams.video[0]) == siting
    assert index_of(path).facts.siting == siting


@pytest.mark.parametrize('codec', ['ffv1', 'mpeg4', 'libvpx-vp9', 'mjpeg', 'png'])
def test_damage_costs_the_frames_it_hits(tmp_path, codec):
    pix_fmt = {'png': 'rgb24', 'mjpeg': 'yuvj420p'}.get(codec, 'yuv420p')
    frames = [texture(3 * n, 48, 64) for n in range(10)]
    suffix = '.mov' if codec == 'png' else '.mkv'
    whole = encode(tmp_path / f'whole{suffix}', frames, codec, pix_fmt, gop=1)
    broken = copy(whole, tmp_path / f'a{suffix}', lambda n, p: with_content(p, b'\xff\xff\xff') if n == 5 else p)
    (read, clip), (expected, _) = shown(broken), shown(whole)
    assert clip.frames in (9, 10)  # a packet that is marked as never shown is not counted
    stored = dict(read)
    assert len(stored) >= 9
    for stamp, pixels in expected:
        if stamp in stored and stamp != expected[5][0]:
            assert np.array_equal(stored[stamp], pixels)
    store = open_store(broken)
    assert np.array_equal(store.read('a', store.frames('a')[-1]), expected[9][1]), 'frames after it can be read'


def test_empty_packets_repeat_a_frame(tmp_path):
    whole = encode(tmp_path / 'whole.mkv', [texture(n, 48, 64) for n in range(6)], 'ffv1')
    broken = copy(whole, tmp_path / 'a.nut', lambda n, p: with_content(p, b'') if n == 3 else p)
    assert len(shown(broken)[0]) >= 5


@pytest.mark.parametrize('start', [Fraction(2, 5), Fraction(13, 25), Fraction(1)])
@pytest.mark.parametrize('name', ['a.ts', 'a.mp4', 'a.mkv'])
def test_seeking_loses_no_frame(tmp_path, start, name):
    path = encode(tmp_path / name, [texture(3 * n, 48, 64) for n in range(37)], gop=12)
    everything, _ = shown(path)
    part, clip = shown(path, start=start)
    first = int(start * 25)
    assert len(part) == clip.frames == 37 - first
    assert part[0][0] == 0
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(part, everything[first:], strict=True))


@pytest.mark.parametrize(('name', 'offset'), [('a.ts', 7 * 3600), ('a.mkv', 7 * 3600), ('a.ts', 0), ('a.mpg', 1)])
def test_an_inputs_own_clock_is_subtracted(tmp_path, name, offset):
    codec = 'mpeg2video' if name == 'a.mpg' else 'libx264'
    times = [offset * 25 + n for n in range(8)]
    path = encode(tmp_path / name, [texture(n, 48, 64) for n in range(8)], codec, times=times)
    read, clip = shown(path)
    assert [stamp * clip.time_base for stamp, _ in read] == pytest.approx([n / 25 for n in range(8)], abs=1e-3)
    assert float(shown(path, start=Fraction(4, 25))[1].frames) == 4


def raw_h264(folder):
    return encode(folder / 'a.h264', [texture(3 * n, 48, 64) for n in range(12)], options={'bf': '2'}, form='h264')


def equal_times(folder):
    path = encode(folder / 'w.mkv', [texture(3 * n, 48, 64) for n in range(12)], 'ffv1')

    def change(number, packet):
        packet.pts = packet.dts = packet.pts - (40 if number == 5 else 0)
        return packet

    return copy(path, folder / 'a.mkv', change)


@pytest.mark.parametrize('make', [raw_h264, equal_times])
def test_frames_without_times_are_counted(tmp_path, make):
    path = make(tmp_path)
    read, clip = shown(path)
    assert clip.frames == len(read) == 12
    assert [stamp * clip.time_base for stamp, _ in read] == [Fraction(n, 25) for n in range(12)]
    for number, (_, pixels) in enumerate(read):
        errors = [np.abs(pixels.astype(int) - texture(3 * n, 48, 64)).mean() for n in range(12)]
        assert int(np.argmin(errors)) == number
    again, clip = shown(path, fps=Fraction(50), start=Fraction(4, 50))
    assert (clip.rate, clip.frames) == (50, 8)
    assert np.array_equal(again[0][1], read[4][1])
    store = open_store(path)
    assert np.array_equal(store.read('a', '00000007'), read[7][1])
    assert np.array_equal(store.read('a', '00000002'), read[2][1])


def test_fps_on_a_video_with_times_is_reported(tmp_path):
    path = encode(tmp_path / 'a.mkv', [texture(n) for n in range(3)], 'ffv1')
    assert any('--fps' in note for note in shown(path, fps=Fraction(50))[1].notes)
    assert not shown(path)[1].notes


@pytest.mark.parametrize('codec', ['libvpx', 'libvpx-vp9'])
def test_hidden_packets_are_no_frames(tmp_path, codec):
    options = {'auto-alt-ref': '1', 'lag-in-frames': '16', 'deadline': 'realtime', 'b': '200k', 'arnr-maxframes': '5'}
    path = encode(tmp_path / 'a.webm', [texture(2 * n, 48, 64) for n in range(40)], codec, options=options, gop=128)
    read, clip = shown(path)
    assert len(read) == clip.frames == 40
    assert len(shown(path, preview=15)[0]) == 15


@pytest.mark.parametrize(
    ('pix_fmt', 'rgb', 'gray', 'alpha'),
    [
        *(('yuyv422', False, False, False), ('uyvy422', False, False, False), ('nv12', False, False, False)),
        *(('gray', False, True, False), ('ya8', False, True, True), ('monob', False, True, False)),
        *(('pal8', True, False, False), ('bgra', True, False, True), ('gbrp10le', True, False, False)),
        *(('vuyx', False, False, False), ('yuva420p', False, False, True), ('rgb565le', True, False, False)),
        *(('xyz12le', True, False, False), ('p010le', False, False, False), ('x2rgb10le', True, False, False)),
    ],
)
def test_formats_are_asked(pix_fmt, rgb, gray, alpha):
    assert (is_rgb(pix_fmt), is_gray(pix_fmt), has_alpha(pix_fmt)) == (rgb, gray, alpha)


def test_packed_ycbcr_and_gray_follow_the_stated_defaults(tmp_path):
    levels = np.full((720, 16, 3), (200, 60, 90), np.uint8)
    path = tmp_path / 'a.avi'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('rawvideo', rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 720, 'yuyv422'
        frame = to_frame(to_tensor(levels), 'yuv422p', Coding('BT.709', False, 8), 0, 1, Fraction(1, 25))
        container.mux(stream.encode(frame.reformat(format='yuyv422')))
        container.mux(stream.encode())
    (read, clip) = shown(path)
    assert (clip.pix_fmt, clip.coding.matrix) == ('yuyv422', 'BT.709')
    assert np.abs(read[0][1].astype(int) - levels).max() <= 1


@pytest.mark.parametrize(
    'name', ['2024-05-01T12:30:00.mp4', 'file:a.mkv', 'ü\n.mkv', os.fsdecode(b'caf\xe9.mkv'), '%d.mkv']
)
def test_names(tmp_path, name, capsys):
    path = encode(tmp_path / 'plain.mkv', [texture(n) for n in range(3)], 'ffv1')
    (tmp_path / 'in').mkdir()
    odd = path.rename(tmp_path / 'in' / name)
    assert len(shown(odd)[0]) == 3
    store = open_store(odd)
    assert len(store.frames(store.clips()[0])) == 3
    from iart.log import setup

    setup()
    run(find_jobs([str(odd)], tmp_path / 'out'), Loaded(Enlarge(), 'Enlarge', ''), CPU, UpscaleOptions())
    assert len(list((tmp_path / 'out').iterdir())) == 3


def test_covers_are_no_video(tmp_path):
    from av.stream import Disposition

    frames = [texture(n, 48, 64) for n in range(5)]
    video = encode(tmp_path / 'video.mkv', frames, 'ffv1')
    cover = encode(tmp_path / 'cover.mkv', [texture(0, 32, 32, seed=1)], 'mjpeg', 'yuvj420p')
    for name, with_video in (('cover_first.mp4', True), ('song.mp4', False)):
        video = encode(tmp_path / 'video.mp4', frames)
        with av.open(str(tmp_path / name), 'w') as target, av.open(str(cover)) as one, av.open(str(video)) as two:
            picture = target.add_stream_from_template(one.streams.video[0])
            picture.disposition = Disposition.attached_pic.value
            inputs = [(one, picture)]
            if with_video:
                inputs.append((two, target.add_stream_from_template(two.streams.video[0])))
            for container, stream in inputs:
                for packet in container.demux(container.streams.video[0]):
                    if packet.size:
                        packet.stream = stream
                        target.mux(packet)
    read, clip = shown(tmp_path / 'cover_first.mp4')
    assert (len(read), clip.height, clip.width) == (5, 48, 64)
    with pytest.raises(DataError, match=r'song\.mp4: got sound with an attached picture'):
        shown(tmp_path / 'song.mp4')


def test_pipes_are_refused_as_what_they_are(tmp_path):
    os.mkfifo(tmp_path / 'pipe.mp4')
    with pytest.raises(DataError, match=r'pipe\.mp4: is a pipe and can be read only once'):
        find_jobs([str(tmp_path / 'pipe.mp4')], tmp_path / 'out')
    with pytest.raises(DataError, match='is a pipe'):
        open_store(tmp_path / 'pipe.mp4')
    with pytest.raises(DataError, match='standard input'):
        find_jobs(['-'], tmp_path / 'out')


def names_of(tmp_path, *inputs):
    jobs = find_jobs([str(tmp_path / text) for text in inputs], tmp_path / 'out')
    return sorted(str(job.output.relative_to(tmp_path)) for job in jobs)


def test_folders_and_patterns(tmp_path, caplog):
    for folder, files in {
        'films': ['a.wmv', 'b.m2ts', 'c.3gp', 'd.mxf', 'e.flv', 'folder.jpg', 'notes.txt'],
        'one': ['a.mp4'],
    }.items():
        (tmp_path / folder).mkdir()
        for name in files:
            (tmp_path / folder / name).touch()
    for clip in ('x', 'y'):
        for n in range(2):
            write_png(tmp_path / 'cl' / clip / f'{n}.png', texture(n))
    assert names_of(tmp_path, 'films') == [f'out/{n}.mp4' for n in 'abcde']
    assert names_of(tmp_path, 'one') == ['out/a.mp4']
    assert names_of(tmp_path, 'one/*.mp4') == ['out/a.mp4']
    assert names_of(tmp_path, 'cl/*/*.png') == ['out/x', 'out/y']
    assert names_of(tmp_path, 'cl/x/*.png') == ['out']
    assert names_of(tmp_path, 'cl/x') == ['out']
    for n in range(8):
        write_png(tmp_path / 'films' / f'{n}.png', texture(n))
    with pytest.raises(DataError, match='expected one of both: give a pattern'):
        names_of(tmp_path, 'films')


def test_one_bad_file_does_not_stop_the_batch(tmp_path):
    (tmp_path / 'in').mkdir()
    for name in ('a', 'c'):
        encode(tmp_path / 'in' / f'{name}.mkv', [texture(0)], 'ffv1')
    (tmp_path / 'in' / 'b.mkv').write_text('no video')
    with pytest.raises(DataError, match=r'1 of 3 inputs could not be upscaled.*b\.mkv'):
        run(
            find_jobs([str(tmp_path / 'in')], tmp_path / 'out'), Loaded(Enlarge(), 'Enlarge', ''), CPU, UpscaleOptions()
        )
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == ['a.mkv', 'c.mkv']


def test_odd_frame_at_the_end_is_found_before_the_work(tmp_path):
    for n in range(4):
        write_png(tmp_path / 'in' / f'{n}.png', texture(n))
    write_png(tmp_path / 'in' / '5.png', texture(0, 20, 20))
    [job] = find_jobs([str(tmp_path / 'in')], tmp_path / 'out')
    with pytest.raises(DataError, match=r'5\.png: got 20×20 pixels, expected 22×18'):
        sources.examine(job.source, UpscaleOptions())
    write_png(tmp_path / 'in' / '5.png', texture(0))
    assert any('missing: 4' in note for note in sources.examine(job.source, UpscaleOptions()).notes)


@pytest.mark.parametrize(
    ('matrix', 'expected'),
    [
        (None, Orientation()),
        ((0, 1, 0, -1, 0, 0, 0, 0, 1), Orientation(transpose=True, mirror=True)),  # a phone held upright
        ((0, -1, 0, 1, 0, 0, 0, 0, 1), Orientation(transpose=True, flip=True)),
        ((-1, 0, 0, 0, -1, 0, 0, 0, 1), Orientation(mirror=True, flip=True)),
        ((-1, 0, 0, 0, 1, 0, 0, 0, 1), Orientation(mirror=True)),
    ],
)
def test_orientations(matrix, expected):
    full = matrix and tuple(n << 16 for n in matrix)
    assert orientation_of(full) == expected
    turned = expected.apply(np.arange(6).reshape(2, 3))
    if matrix == (0, 1, 0, -1, 0, 0, 0, 0, 1):
        assert np.array_equal(turned, np.rot90(np.arange(6).reshape(2, 3), -1)), 'clockwise'


def test_rotated_video_becomes_upright_frames(tmp_path):
    path = write(tmp_path / 'a.mp4', [texture(n, 18, 22) for n in range(2)], rotated=True, aspect=Fraction(4, 3))
    if index_of(path).facts.display_matrix is None:
        pytest.skip('this PyAV cannot write a rotation')
    clip = sources.examine(path, UpscaleOptions(), upright=True)
    assert (clip.height, clip.width) == (22, 18)
    assert any('upright' in note for note in clip.notes)
    assert any('4:3' in note for note in clip.notes)
    restored, store = upscaled(path, tmp_path / 'out'), open_store(path)
    assert np.array_equal(restored[0], store.read('a', '00000000'))
    assert store.size('a', '00000000') == (22, 18)


def test_ten_hours_of_frames_take_little(tmp_path):
    """36,000 s at 60 frames a second: 17 MB in memory, almost nothing on disk."""
    times = np.arange(36_000 * 60, dtype=np.int64) * 1500
    index = VideoIndex(times, times[::250].copy(), Facts((1080, 1920), end=int(times[-1]) + 1500))
    path = tmp_path / 'long.mp4'
    path.touch()
    video_index._save_index(path, index)
    assert video_index._index_file(path).stat().st_size < 100_000
    assert video_index._load_index(path) == index
    assert index.times.nbytes + index.keys.nbytes < 18_000_000
    assert index.key_before(int(times[1000]) + 1) == times[1000]
