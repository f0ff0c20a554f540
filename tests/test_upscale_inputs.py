"""``iart upscale``: folders of frames, several inputs, weights by name, bad inputs, and the Python function."""

import argparse
import errno
import itertools
import logging
import os
import resource
import shutil
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.tiny import NETWORK
from helpers.upscale_clips import Enlarge, look, texture, tiny_weights, write

import iart
from iart import shipped
from iart.archs.builder import build_network
from iart.archs.recognize import network_section, recognize
from iart.cli import main
from iart.commands import upscale
from iart.errors import DataError, UserError
from iart.image import read_image, write_png
from iart.inference.options import PlanOptions
from iart.upscaling import networks
from iart.upscaling.sources import find_jobs
from iart.upscaling.upscale_options import UpscaleOptions, parse_fps, parse_time
from iart.video.encoding_options import EncodingOptions
from iart.weights import write_weights


@pytest.fixture
def enlarge(monkeypatch):
    """No weights are needed."""
    monkeypatch.setattr(networks, 'load', lambda weights, device, key: networks.Loaded(Enlarge(), 'Enlarge', ''))


def write_frames(folder: Path, count: int = 4, size=(18, 22)) -> list[np.ndarray]:
    frames = [texture(n, *size) for n in range(count)]
    for n, frame in enumerate(frames):
        write_png(folder / f'im{n + 1}.png', frame)
    return frames


def test_frames_to_frames_and_to_a_video(tmp_path, enlarge):
    frames = write_frames(tmp_path / 'in', 11)
    main(['upscale', str(tmp_path / 'in'), str(tmp_path / 'out')])
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == sorted(f'im{n + 1}.png' for n in range(11))
    for n, frame in enumerate(frames):
        assert np.array_equal(read_image(tmp_path / 'out' / f'im{n + 1}.png'), frame.repeat(4, 0).repeat(4, 1))
    main(
        [
            'upscale',
            str(tmp_path / 'in' / '*.png'),
            str(tmp_path / 'out.mp4'),
            '--fps',
            '30000/1001',
            '--start',
            '0.1',
            '--preview',
            '3',
        ]
    )
    after = look(tmp_path / 'out.mp4')
    assert after.times == [n * Fraction(1001, 30000) for n in range(3)]
    assert after.tags == (1, 2, 2, 1)


@pytest.mark.parametrize('size', [(1, 1), (17, 33)])
def test_frames_of_any_size(tmp_path, enlarge, size):
    write_frames(tmp_path / 'in', 2, size)
    for output in ('out', 'out.mp4'):
        main(['upscale', str(tmp_path / 'in'), str(tmp_path / output)])
    assert read_image(tmp_path / 'out' / 'im1.png').shape == (4 * size[0], 4 * size[1], 3)
    assert look(tmp_path / 'out.mp4').size == (4 * size[0], 4 * size[1])


def test_deep_video_to_deep_frames(tmp_path, enlarge):
    write(tmp_path / 'in.mkv', [texture(0)], pix_fmt='yuv444p10le', tags=(1, 1, 1, 1))
    main(['upscale', str(tmp_path / 'in.mkv'), str(tmp_path / 'out')])
    pixels = cv2.imread(str(tmp_path / 'out' / '00000000.png'), cv2.IMREAD_UNCHANGED)
    assert (pixels.dtype, pixels.shape) == (np.uint16, (72, 88, 3))
    assert np.abs(pixels[::4, ::4, ::-1] / 257 - texture(0)).max() < 3


def test_frames_must_not_take_each_others_name(tmp_path, enlarge, capsys):
    write_frames(tmp_path / 'in', 2)
    cv2.imwrite(str(tmp_path / 'in' / 'im1.bmp'), texture(0))
    assert 'two frames that differ only in extension' in fails(capsys, tmp_path / 'in', tmp_path / 'out')


def test_several_inputs(tmp_path, enlarge, capsys):
    for name in ('a.mp4', 'b.mkv'):
        write(tmp_path / name, [texture(n) for n in range(2)])
    write_frames(tmp_path / 'c', 2)
    arguments = ['upscale', str(tmp_path / '*.m*'), str(tmp_path / 'c'), str(tmp_path / 'out')]
    main(arguments)
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == ['a.mp4', 'b.mkv', 'c']
    before = (tmp_path / 'out' / 'a.mp4').stat().st_mtime_ns
    capsys.readouterr()
    main(arguments)
    assert 'a.mp4: exists already; skipped' in capsys.readouterr().out
    assert (tmp_path / 'out' / 'a.mp4').stat().st_mtime_ns == before


def test_a_folder_of_clips_is_several_inputs(tmp_path):
    for name in ('x', 'y'):
        write_frames(tmp_path / 'clips' / name, 1)
    assert [job.output.name for job in find_jobs([str(tmp_path / 'clips')], tmp_path / 'out')] == ['x', 'y']
    with pytest.raises(UserError, match='2 inputs for one video'):
        find_jobs([str(tmp_path / 'clips')], tmp_path / 'out.mp4')
    with pytest.raises(UserError, match='is an input'):
        find_jobs([str(tmp_path / 'clips' / 'x')], tmp_path / 'clips' / 'x')


def fails(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as caught:
        main(['upscale', *map(str, arguments)])
    assert caught.value.code == 2
    return capsys.readouterr().err


def cut_file(folder: Path) -> Path:
    """The duration is in the header, and half of the file is missing."""
    import av

    path = write(folder / 'whole.mkv', [texture(n, 64, 64) for n in range(100)])
    with (
        av.open(str(path)) as source,
        av.open(str(folder / 'cut.mp4'), 'w', options={'movflags': 'faststart'}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    cut = folder / 'cut.mp4'
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    return cut


def no_video(folder: Path) -> Path:
    import av

    with av.open(str(folder / 'sound.mp4'), 'w') as container:
        stream = container.add_stream('aac', rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format='fltp', layout='stereo')
        frame.sample_rate = 8000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return folder / 'sound.mp4'


def no_frames(folder: Path) -> Path:
    import av

    path = write(folder / 'whole.mkv', [texture(0)])
    with av.open(str(path)) as source, av.open(str(folder / 'empty.mkv'), 'w') as target:
        target.add_stream_from_template(source.streams.video[0])
        target.start_encoding()
    return folder / 'empty.mkv'


def no_images(folder: Path) -> Path:
    (folder / 'nothing').mkdir()
    return folder / 'nothing'


def not_a_video(folder: Path) -> Path:
    (folder / 'text.mp4').write_text('no video')
    return folder / 'text.mp4'


def unlike_frames(folder: Path) -> Path:
    write_frames(folder / 'unlike', 3)
    write_png(folder / 'unlike' / 'im2.png', texture(0, 20, 22))
    return folder / 'unlike'


BAD = [
    (cut_file, r'cut\.mp4: is cut short: its frames end .* --end'),
    (no_video, r'sound\.mp4: got no video stream'),
    (no_frames, r'empty\.mkv: got no frames'),
    (no_images, r'nothing: got no frames and no videos'),
    (not_a_video, r'text\.mp4: cannot be read as video'),
    (unlike_frames, r'im2\.png: got 22×20 pixels, expected 22×18'),
    (lambda folder: folder / 'missing.mp4', r'missing\.mp4: does not exist'),
    (lambda folder: folder / '*.none', r'no file matches'),
]


@pytest.mark.parametrize(('make', 'message'), BAD)
def test_bad_input(tmp_path, enlarge, capsys, make, message):
    import re

    output = fails(capsys, make(tmp_path), tmp_path / 'out.mp4')
    assert re.search(message, output), output
    assert not [p for p in tmp_path.iterdir() if 'out' in p.name], 'nothing is left'


@pytest.fixture
def video(tmp_path):
    return write(tmp_path / 'in.mp4', [texture(n) for n in range(3)])


@pytest.mark.parametrize(
    ('output', 'message'),
    [
        ('out.gif', "cannot write '.gif', expected a video file (.mp4"),
        ('in.mp4', 'is an input, expected another output'),
        ('file.txt/out.mp4', 'out.mp4: cannot be written (Not a directory)'),
    ],
)
def test_bad_output(tmp_path, enlarge, capsys, video, output, message):
    (tmp_path / 'file.txt').touch()
    assert message in fails(capsys, video, tmp_path / output)


def test_output_that_cannot_be_written(enlarge, capsys, video):
    if not Path('/proc/version').exists():
        pytest.skip('needs a folder that nobody can write to')
    assert 'out.mp4: cannot be written' in fails(capsys, video, '/proc/out.mp4')


def test_other_things_in_the_output_folder(tmp_path, enlarge, capsys, video):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'notes.txt').touch()
    assert 'contains other files than PNG, such as notes.txt' in fails(capsys, video, tmp_path / 'out', '--overwrite')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--codec', 'h246'], "did you mean 'h264'?"),
        (['--codec', 'aac'], "'aac' encodes audio"),
        (['--pix-fmt', 'pal8'], "libx264 has no 'pal8', expected one of"),
        (['--codec', 'ffv1', '--crf', '3'], 'ffv1 has no constant quality'),
        (['--codec', 'prores', '--lossless'], 'prores_ks cannot'),
        (['--lossless', '--crf', '3'], '--crf: got 3 and lossless'),
        (['--preset', 'fastest'], 'libx264 rejects 88×72 pixels'),
        (['--start', '1h'], "--start: got '1h', expected a time such as"),
        (['--start', '2', '--end', '1'], '--end: got 1 s, expected more than the start, 2 s'),
        (['--preview', '0'], '--preview: got 0, expected 1 frame or more'),
        (['--precision', 'fp8'], "invalid choice: 'fp8'"),
        (['--segment', '0'], '--segment: got 0, expected 1 frame or more'),
        (['--scale', '3'], '--scale: got 3, but this network enlarges by 4'),
    ],
)
def test_bad_options(tmp_path, enlarge, capsys, video, options, message):
    assert message in fails(capsys, video, tmp_path / 'out.mp4', *options)


def test_weights_that_are_not_there(tmp_path, capsys, video):
    assert "did you mean 'basicvsr-reds4'?" in fails(capsys, video, tmp_path / 'out.mp4', '--weights', 'basicvsr-red4')
    torch.save({'params': {'conv.weight': torch.zeros(1)}}, tmp_path / 'w.pth')
    assert 'without options and with unknown names' in fails(
        capsys, video, tmp_path / 'out.mp4', '--weights', tmp_path / 'w.pth'
    )


def test_a_full_disk_keeps_what_is_finished(tmp_path, enlarge, capsys):
    """A limit on the size of files replaces the full disk: segments fit, the video does not."""
    write(tmp_path / 'in.mkv', [texture(n, 64, 64) for n in range(12)])
    arguments = [tmp_path / 'in.mkv', tmp_path / 'out.mp4', '--segment', '4', '--chunk-overlap', '0', '--crf', '1']
    main(['upscale', *map(str, arguments)])
    (tmp_path / 'out.mp4').rename(tmp_path / 'whole.mp4')
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / 'whole.mp4').stat().st_size // 2, hard))
    try:
        output = fails(capsys, *arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f'out.mp4: cannot be written ({os.strerror(errno.EFBIG)}); make room' in output
    assert (
        sorted(p.suffix for p in (tmp_path / '.out.mp4.partial').iterdir() if p.suffix == '.packets')
        == ['.packets'] * 3
    )
    main(['upscale', *map(str, arguments)])
    assert (tmp_path / 'out.mp4').read_bytes() == (tmp_path / 'whole.mp4').read_bytes()


def test_a_name_is_fetched_where_it_belongs(tmp_path, monkeypatch):
    fetched = []

    def obtain(manifest, names, root):
        fetched.extend(names)
        (root / manifest.weights[names[0]].path).parent.mkdir(parents=True)
        shutil.copy(tiny_weights(tmp_path), root / manifest.weights[names[0]].path)

    monkeypatch.setattr(networks, 'obtain', obtain)
    monkeypatch.setattr(networks, 'weights_root', lambda: tmp_path / 'root')
    for _ in range(2):
        assert networks.find('basicvsr-reds4').name == 'BasicVSR_REDS4.pth'
    assert fetched == ['basicvsr-reds4']


def test_an_installed_package_has_a_folder_of_its_own(tmp_path, monkeypatch):
    assert (shipped.weights_root() / 'pyproject.toml').is_file()
    monkeypatch.setattr(shipped, 'ROOT', tmp_path)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    assert shipped.weights_root() == tmp_path / 'cache' / 'iart'


@pytest.mark.parametrize(
    'section',
    [
        {**NETWORK, 'depths': [2, 1], 'num_heads': [2, 4], 'embed_dim': 16, 'mlp_ratio': 4.0},
        {**NETWORK, 'window_size': [3, 8, 8], 'qkv_bias': False, 'alignment': {'type': 'FlowWarpAlignment'}},
        {'type': 'BasicVSR', 'num_feat': 8, 'num_block': 3},
    ],
)
def test_networks_are_recognized(tmp_path, section):
    network = build_network(section)
    write_weights(tmp_path / 'w.pth', network, section)
    result = network_section(tmp_path / 'w.pth')
    assert result is not None
    assert {k: result[k] for k in section} == section
    build_network(result).load_state_dict(network.state_dict())
    assert recognize({'other': torch.zeros(1)}) is None


def test_python_takes_and_gives_frames_as_they_are_needed():
    taken = []
    source = (taken.append(n) or texture(n) for n in itertools.count())
    restored = iart.upscale(source, Enlarge(), device='cpu', segment=4)
    assert not taken
    for n, frame in enumerate(itertools.islice(restored, 9)):
        assert np.array_equal(frame, texture(n).repeat(4, 0).repeat(4, 1))
        assert len(taken) <= n + 4 + 6 + 3 + 1
    assert list(iart.upscale([], Enlarge(), device='cpu')) == []


@pytest.mark.parametrize(
    ('frames', 'message'),
    [
        ([np.zeros((4, 4, 3))], r'frame 0: got \(4, 4, 3\) of float64'),
        ([texture(0), texture(0, 4, 4)], r'frame 1: got \(4, 4, 3\), expected \(18, 22, 3\)'),
    ],
)
def test_python_names_the_frame(frames, message):
    with pytest.raises(DataError, match=message):
        list(iart.upscale(frames, Enlarge(), device='cpu'))


def test_times_and_rates():
    assert parse_time('00:01:30.5') == parse_time('1:30.5') == parse_time('90.5') == Fraction(181, 2)
    assert parse_fps('30000/1001') == Fraction(30000, 1001)
    with pytest.raises(UserError, match="got 'fast', expected a rate"):
        parse_fps('fast')


@pytest.fixture(autouse=True)
def _forget_handlers():
    yield
    logging.getLogger('iart').handlers.clear()


@pytest.mark.parametrize(
    ('arguments', 'precision'),
    [([], 'fp32'), (['--fp16'], 'fp16'), (['--bf16'], 'bf16'), (['--precision', 'fp16'], 'fp16')],
)
def test_the_command_line_gives_every_setting(arguments, precision):
    """Settings that are not on the command line have the dataclass's defaults."""
    parser = argparse.ArgumentParser()
    upscale.add_commands(parser.add_subparsers())
    given = parser.parse_args(['upscale', 'in.mp4', 'out.mp4', *arguments])
    assert upscale.settings_of(given) == UpscaleOptions(precision=precision)
    others = ['--start', '1:30', '--scene-cuts', 'off', '--crf', '3', '--plan', 'chunks', '--half-features']
    assert upscale.settings_of(parser.parse_args(['upscale', 'in.mp4', 'out.mp4', *others])) == UpscaleOptions(
        start=Fraction(90), scene_cuts=False, encode=EncodingOptions(crf=3), plan=PlanOptions('chunks', half=True)
    )
