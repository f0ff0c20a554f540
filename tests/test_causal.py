"""Causal networks: a stream of frames gives exactly the offline frames, through Python and through pipes."""

import io
import os
import shutil
import subprocess
import sys
import threading
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.rebuilt import fill

from iart.archs.builder import build_network
from iart.archs.causal import is_causal
from iart.cli import main
from iart.errors import DataError, OptionsError, SettingError
from iart.image import to_tensor, to_uint8
from iart.upscaling import live
from iart.upscaling.api import upscale
from iart.upscaling.networks import Loaded
from iart.upscaling.upscale_options import UpscaleOptions
from iart.video.uncompressed import Y4M, RawRGB, y4m_header
from iart.weights import write_weights

FORWARD = {'propagation': {'passes': ['forward_1', 'forward_2']}}
CAUSAL = {**tiny.NETWORK, **FORWARD}


IABASICVSR = {
    'type': 'IABasicVSR',
    'num_feat': 8,
    'num_block': 1,
    'num_extract_block': 1,
    'num_heads': 2,
    'propagation': {'passes': ['forward']},
}


def causal(**changes):
    return fill(build_network(changes if 'type' in changes else {**CAUSAL, **changes}), 'causal').eval()


@pytest.fixture(scope='module')
def network():
    return causal()


def stream(network, frames, flows=None):
    outputs, state = [], None
    for i, frame in enumerate(frames):
        sr, state = network.step(frame, state, None if flows is None or not i else flows[:, i - 1])
        outputs.append(sr)
    return torch.stack(outputs, 1)


@torch.no_grad()
@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'propagation': {'passes': ['forward_1'], 'order': 1}, 'window_size': (2, 4, 4)},
        {'shared_alignment': False, 'scale': 2},
        {'alignment': {'type': 'FlowWarpAlignment'}},
        IABASICVSR,
        {**IABASICVSR, 'num_extract_block': 0, 'alignment': {'type': 'FlowWarpAlignment'}, 'head': 'pixelshuffle'},
    ],
    ids=str,
)
@pytest.mark.parametrize('size', [(16, 20), (9, 5)], ids=str)
def test_a_stream_gives_the_offline_frames(changes, size):
    network = causal(**changes)
    clip = torch.rand(1, 5, 3, *size)
    assert torch.equal(stream(network, clip.unbind(1)), network(clip))


@torch.no_grad()
def test_with_given_flows_and_without_the_future(network):
    clip, flow = torch.rand(1, 4, 3, 16, 20), torch.randn(1, 3, 2, 16, 20)
    assert torch.equal(stream(network, clip.unbind(1), flow), network(clip, flows=(flow, flow)))
    assert torch.equal(network(clip[:, :2]), network(clip)[:, :2])


@pytest.mark.parametrize('section', [CAUSAL, IABASICVSR], ids=lambda section: section['type'])
def test_the_steps_compute_what_training_does(section):
    network = fill(build_network(section), 'causal').eval()
    clip = torch.rand(1, 4, 3, 16, 20)
    with torch.no_grad():
        offline = network(clip)
    torch.testing.assert_close(network(clip).detach(), offline, atol=1e-5, rtol=0)


@torch.no_grad()
def test_what_does_not_fit_is_named(network):
    other = build_network(tiny.NETWORK)
    assert is_causal(network)
    assert not is_causal(other)
    with pytest.raises(ValueError, match=r'propagation.passes: got .*backward_1.*expected names that all begin with'):
        other.step(torch.rand(1, 3, 16, 16))
    with pytest.raises(OptionsError, match=r'propagation.passes: got .*backward.*, expected \[backward, forward\], or'):
        build_network({**IABASICVSR, 'propagation': {'passes': ['backward']}})
    _, state = network.step(torch.rand(1, 3, 16, 16))
    with pytest.raises(ValueError, match=r'got a frame of shape \(1, 3, 16, 20\), expected \(1, 3, 16, 16\)'):
        network.step(torch.rand(1, 3, 16, 20), state)


@pytest.mark.parametrize('space', ['420jpeg', '420', '422', '444', 'mono', '420p10', '444p16'])
@pytest.mark.parametrize('full', [False, True])
def test_y4m_frames_become_rgb_and_back(space, full):
    """What is read of a stream that was written is what was written, up to the rounding of its numbers."""
    form = Y4M(12, 22, space, full, ('F25:1', 'Ip'))
    picture = torch.full((3, 12, 22), 0.5)
    picture[1] = 0.5 if space == 'mono' else 0.25
    stream = io.BytesIO(form.header() + form.encode(picture) + form.encode(picture))
    header = y4m_header(stream)
    assert (header.height, header.width, header.space, header.full) == (12, 22, space, full)
    assert header.rest == ('F25:1', 'Ip')
    frames = list(header.frames(stream))
    assert len(frames) == 2
    assert (frames[1] - picture).abs().max() < 0.01


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'RIFF....', r"got b'RIFF....', expected a y4m stream"),
        (b'YUV4MPEG2 W8 H8 It C420\n', 'is interlaced'),
        (b'YUV4MPEG2 W8 C420\n', 'without a size'),
        (b'YUV4MPEG2 W8 H8 C411\n', 'got color space C411, expected one of 420jpeg'),
        (b'YUV4MPEG2 W8 H8 C444\nFRAME\n' + bytes(190), r'ends 2 bytes before frame 0 does'),
        (b'YUV4MPEG2 W8 H8 C444\nnext', r"frame 0: got b'next', expected FRAME"),
    ],
)
def test_streams_that_are_no_y4m_are_named(content, message):
    stream = io.BytesIO(content)
    with pytest.raises(DataError, match=message):
        list(y4m_header(stream).frames(stream))


def test_raw_frames_that_end_early_are_named():
    with pytest.raises(DataError, match='ends 5 bytes before frame 1'):
        list(RawRGB(2, 4).frames(io.BytesIO(bytes(24 + 19))))


def test_the_iterator_of_frames_gives_each_frame_when_it_comes(network):
    clip = np.random.default_rng(0).integers(0, 256, (5, 16, 20, 3), dtype=np.uint8)
    read = []

    def frames():
        for number, frame in enumerate(clip):
            read.append(number)
            yield frame

    outputs = []
    for number, frame in enumerate(upscale(frames(), network, device='cpu', scene_cuts=False)):
        assert read == list(range(number + 1))
        outputs.append(frame)
    with torch.no_grad():
        offline = network(to_tensor(clip)[None])[0]
    assert all(np.array_equal(sr, to_uint8(frame)) for sr, frame in zip(outputs, offline, strict=True))


class Kept(io.BytesIO):
    """A stream whose content can be read after it was closed."""

    content = b''

    def close(self):
        self.content = self.content or self.getvalue()
        super().close()


def between(network, content, raw=None, **settings):
    sink, loaded = Kept(), Loaded(network, 'a causal network', '')
    try:
        live.run(io.BytesIO(content), sink, loaded, torch.device('cpu'), UpscaleOptions(**settings), raw=raw)
    finally:
        sink.close()
        between.content = sink.content
    return sink.content


def test_raw_frames_between_pipes_are_the_offline_frames(network):
    clip = np.random.default_rng(1).integers(0, 256, (4, 16, 20, 3), dtype=np.uint8)
    restored = between(network, clip.tobytes(), live.parse_size('20x16'), scene_cuts=False)
    with torch.no_grad():
        offline = network(to_tensor(clip)[None])[0]
    assert restored == b''.join(to_uint8(frame).tobytes() for frame in offline)
    with pytest.raises(DataError, match='standard input ends 7 bytes before frame 3'):
        between(network, clip.tobytes()[:-7], live.parse_size('20x16'), scene_cuts=False)
    assert between.content == restored[: 3 * len(restored) // 4]


def test_settings_without_effect_are_refused(network):
    with pytest.raises(SettingError, match='fps: has no effect between pipes'):
        between(network, b'', fps=Fraction(24))


@pytest.mark.skipif(shutil.which('ffmpeg') is None, reason='FFmpeg is not installed')
def test_between_two_ffmpeg(network, tmp_path):
    write_weights(weights := tmp_path / 'causal.safetensors', network, CAUSAL)
    made = (
        'ffmpeg',
        '-nostdin',
        '-v',
        'error',
        '-f',
        'lavfi',
        '-i',
        'testsrc=size=32x24:rate=5:duration=0.6',
        '-pix_fmt',
        'yuv420p',
    )
    first = subprocess.Popen([*made, '-f', 'yuv4mpegpipe', '-'], stdout=subprocess.PIPE)
    command = [sys.executable, '-m', 'iart', 'upscale', '-', '-', '--weights', str(weights), '--device', 'cpu']
    with first:
        done = subprocess.run(command, stdin=first.stdout, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    subprocess.run(
        ['ffmpeg', '-v', 'error', '-i', '-', '-c:v', 'ffv1', str(tmp_path / 'out.mkv')], input=done.stdout, check=True
    )
    with av.open(str(tmp_path / 'out.mkv')) as container:
        frames = list(container.decode(video=0))
        assert [(f.width, f.height, f.format.name) for f in frames] == [(128, 96, 'yuv420p')] * 3
        assert container.streams.video[0].average_rate == 5


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='this system has no named pipes')
def test_named_pipes_carry_the_offline_frames(network, tmp_path):
    write_weights(weights := tmp_path / 'causal.safetensors', network, CAUSAL)
    clip = np.random.default_rng(2).integers(0, 256, (3, 16, 20, 3), dtype=np.uint8)
    for name in ('in', 'out'):
        os.mkfifo(tmp_path / name)
    arguments = ('--raw', '20x16', '--scene-cuts', 'off', '--weights', str(weights), '--device', 'cpu')
    command = [sys.executable, '-m', 'iart', 'upscale', str(tmp_path / 'in'), str(tmp_path / 'out'), *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
        feeding = threading.Thread(target=(tmp_path / 'in').write_bytes, args=(clip.tobytes(),), daemon=True)
        feeding.start()
        received = []
        reading = threading.Thread(target=lambda: received.append((tmp_path / 'out').read_bytes()), daemon=True)
        reading.start()
        _, errors = running.communicate(timeout=240)
        assert running.returncode == 0, errors
        reading.join(10)
    with torch.no_grad():
        offline = network(to_tensor(clip)[None])[0]
    assert received == [b''.join(to_uint8(frame).tobytes() for frame in offline)]


def test_a_pipe_at_one_end_only_is_refused(tmp_path, capsys):
    (tmp_path / 'in.mp4').touch()
    with pytest.raises(SystemExit):
        main(['upscale', str(tmp_path / 'in.mp4'), '-'])
    assert 'expected frames from a pipe as well' in capsys.readouterr().err
