"""Programs that host the networks: VapourSynth, with the real package where it is installed, and ComfyUI."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.rebuilt import fill

from iart import comfyui
from iart.archs.builder import build_network
from iart.errors import DataError, SettingError, UserError
from iart.vapoursynth import upscale
from iart.weights import write_weights

SECTION = {**tiny.NETWORK, 'flow': {'type': 'zero'}, 'scale': 2}


@pytest.fixture(scope='module')
def network():
    return fill(build_network(SECTION), 'hosts').eval()


class Frame(list):
    """Three planes and properties, as VapourSynth's frames are used."""

    def __init__(self, planes, **props):
        super().__init__(planes)
        self.props = props

    def copy(self):
        return Frame([plane.copy() for plane in self], **self.props)


class Clip:
    """What the module uses of a ``VideoNode``: frames by number, and three functions of the plugin ``std``."""

    def __init__(self, frames, name='RGBS'):
        self.frames, self.format = frames, SimpleNamespace(name=name)
        self.num_frames, (self.height, self.width) = len(frames), frames[0][0].shape
        self.std, self.asked = self, Counter()

    def get_frame(self, n):
        self.asked[n] += 1
        return self.frames[n]

    def BlankClip(self, width, height, keep):  # noqa: N802
        blank = Frame([np.zeros((height, width), self.frames[0][0].dtype)] * 3)
        return Clip([blank] * self.num_frames, self.format.name)

    def ModifyFrame(self, clips, selector):  # noqa: N802
        made = Clip(clips.frames, self.format.name)
        made.get_frame = lambda n: selector(n=n, f=clips.frames[n])
        return made

    def CopyFrameProps(self, clip):  # noqa: N802
        get = self.get_frame
        self.get_frame = lambda n: Frame(get(n), **clip.frames[n].props)
        return self


def footage(count=7, dtype=np.float32):
    return np.random.default_rng(0).random((count, 3, 16, 20)).astype(dtype)


def clip_of(footage, cuts=(), prop='_SceneChangePrev', name='RGBS'):
    after = 1 if prop == '_SceneChangeNext' else 0
    return Clip([Frame(f, number=n, **({prop: 1} if n + after in cuts else {})) for n, f in enumerate(footage)], name)


def offline(network, footage):
    with torch.no_grad():
        return network(torch.from_numpy(footage.astype(np.float32))[None])[0].clamp(0, 1).numpy()


def frames_of(clip, order):
    return {n: np.stack(clip.get_frame(n)) for n in order}


def test_one_segment_gives_the_offline_frames_and_keeps_properties(network):
    source = clip_of(footage())
    large = upscale(source, network, length=7, device='cpu')
    got = frames_of(large, [5, 0, 1, 2, 3, 4, 6])
    for n, expected in enumerate(offline(network, footage())):
        np.testing.assert_allclose(got[n], expected, atol=1e-6)
    assert set(source.asked.values()) == {1}
    assert large.get_frame(3).props == {'number': 3}


def test_segments_read_their_context_and_do_not_depend_on_the_order(network):
    clip = footage()
    got = frames_of(upscale(clip_of(clip), network, length=3, overlap=2, device='cpu'), [6, 0, 3, 2, 4, 1, 5])
    expected = [*offline(network, clip[:5])[:3], *offline(network, clip[1:])[2:5], *offline(network, clip[4:])[2:]]
    for n in range(7):
        np.testing.assert_allclose(got[n], expected[n], atol=1e-6)


@pytest.mark.parametrize('prop', ['_SceneChangePrev', '_SceneChangeNext'])
def test_propagation_stops_at_cuts(network, prop):
    clip = footage()
    got = frames_of(upscale(clip_of(clip, {2, 5}, prop), network, length=4, overlap=3, device='cpu'), range(7))
    expected = [*offline(network, clip[:2]), *offline(network, clip[2:5]), *offline(network, clip[5:])]
    for n in range(7):
        np.testing.assert_allclose(got[n], expected[n], atol=1e-6)
    whole = upscale(clip_of(clip, {2, 5}, prop), network, length=7, scene_cuts=False, device='cpu').get_frame(2)
    np.testing.assert_allclose(np.stack(whole), offline(network, clip)[2], atol=1e-6)


def test_half_precision_clips_stay_in_half_precision(network):
    clip = footage(2, np.float16)
    got = upscale(clip_of(clip, name='RGBH'), network, device='cpu').get_frame(1)
    assert got[0].dtype == np.float16
    np.testing.assert_allclose(np.stack(got), offline(network, clip)[1], atol=2e-3)


def test_other_clips_and_lengths_are_refused(network):
    with pytest.raises(UserError, match=r'got a clip of format YUV420P8, expected RGBS or RGBH'):
        upscale(clip_of(footage(), name='YUV420P8'), network)
    with pytest.raises(SettingError, match='length: got 0, expected 1 or more'):
        upscale(clip_of(footage()), network, length=0)


@pytest.mark.parametrize('name', ['RGBS', 'RGBH'])
def test_in_vapoursynth(network, name):
    vs = pytest.importorskip('vapoursynth', reason='VapourSynth is not installed (its wheel needs Python 3.12)')
    core = vs.core
    clips = [
        core.std.BlankClip(format=getattr(vs, name), width=20, height=16, length=4, color=c)
        for c in ([0.2, 0.5, 0.7], [0.9, 0.1, 0.3])
    ]
    clip = core.std.SetFrameProps(clips[0], shot=0) + core.std.SetFrameProps(clips[1], shot=1, _SceneChangePrev=0)
    cut = core.std.FrameEval(clip, lambda n: clip.std.SetFrameProps(_SceneChangePrev=int(n == 4)))
    large = upscale(cut, network, length=4, overlap=2, device='cpu')
    assert (large.width, large.height, large.num_frames, large.format.name) == (40, 32, 8, name)
    values = [[0.2, 0.5, 0.7]] * 4, [[0.9, 0.1, 0.3]] * 4
    expected = np.concatenate(
        [offline(network, np.broadcast_to(np.float32(v)[:, :, None, None], (4, 3, 16, 20)).copy()) for v in values]
    )
    for n, frame in enumerate(large.frames()):
        got = np.stack([np.asarray(frame[plane], np.float32) for plane in range(3)])
        np.testing.assert_allclose(got, expected[n], atol=2e-3 if name == 'RGBH' else 1e-5)
        assert frame.props['shot'] == n // 4


def test_the_node_upscales_a_batch_as_one_clip(network, tmp_path):
    write_weights(tmp_path / 'w.safetensors', network, SECTION)
    assert set(comfyui.NODE_CLASS_MAPPINGS) == set(comfyui.NODE_DISPLAY_NAME_MAPPINGS)
    (node,) = (kind() for kind in comfyui.NODE_CLASS_MAPPINGS.values())
    inputs = node.INPUT_TYPES()
    assert inputs['required']['weights'][1]['default'] in inputs['required']['weights'][0]
    chosen = {name: given[1]['default'] for name, given in inputs['required'].items() if name != 'images'}
    assert node.RETURN_TYPES == ('IMAGE',)
    images = torch.from_numpy(footage(3)).permute(0, 2, 3, 1)
    with_alpha = torch.cat((images, torch.ones_like(images[..., :1])), dim=-1)
    call = getattr(node, node.FUNCTION)
    (got,) = call(with_alpha, **{**chosen, 'scene_cuts': False}, weight_file=str(tmp_path / 'w.safetensors'))
    assert got.shape == (3, 32, 40, 3)
    np.testing.assert_allclose(got.permute(0, 3, 1, 2).numpy(), offline(network, footage(3)), atol=1e-6)
    with pytest.raises(DataError, match=r'images: got shape \(3, 16, 20\), expected \(B, H, W, 3\)'):
        call(images[..., 0], weight_file=str(tmp_path / 'w.safetensors'))
