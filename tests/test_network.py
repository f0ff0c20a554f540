"""The IART network: sizes, independence of clips, alignments, what goes where in memory."""

import pytest
import torch
from helpers.rebuilt import fill

import iart
from iart.archs.flow import is_mirrored, pad_to
from iart.archs.fusion_backbone import FusionBackbone
from iart.archs.iart_arch import IART
from iart.archs.recompute_policy import choose_policy
from iart.errors import OptionsError, UserError
from iart.ops.dense import dense
from iart.ops.taps import sampling_taps
from iart.ops.warp import flow_warp
from iart.ops.windows import change, enter, leave, reordering, window_layout

SMALL = {'mid_channels': 8, 'embed_dim': 8, 'depths': [2], 'num_heads': [2], 'window_size': (3, 4, 4)}


@pytest.fixture(scope='module')
def network():
    return fill(IART(**SMALL), 'small')


@torch.no_grad()
@pytest.mark.parametrize(('n', 't', 'h', 'w'), [(1, 1, 1, 1), (1, 2, 1, 5), (2, 3, 17, 9), (1, 3, 64, 20)])
def test_any_size_gives_exactly_four_times(network, n, t, h, w):
    sr = network(torch.rand(n, t, 3, h, w))
    assert sr.shape == (n, t, 3, 4 * h, 4 * w)
    assert sr.isfinite().all()


@torch.no_grad()
def test_nothing_is_remembered_between_clips(network):
    clip = torch.rand(1, 4, 3, 16, 16)
    first = network(clip)
    network(torch.cat([clip, clip.flip(1)], 1))  # mirrored: takes the short cut
    network(torch.rand(2, 3, 3, 20, 24))
    assert torch.equal(network(clip), first)


@torch.no_grad()
def test_a_clip_does_not_depend_on_its_batch(network):
    clips = torch.rand(2, 3, 3, 20, 20)
    torch.testing.assert_close(network(clips)[1:], network(clips[1:]), rtol=0, atol=1e-4)


def test_wrong_shapes_are_named(network):
    with pytest.raises(ValueError, match=r'\(1, 3, 8, 8\).*expected \(n, t, 3, h, w\)'):
        network(torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize(
    ('argument', 'value'),
    [
        ('num_frames', 5),
        ('window_size', (1, 8, 8)),
        ('is_low_res_input', False),
        ('in_channels', 1),
        ('num_heads', [7]),
    ],
)
def test_sizes_that_do_not_fit_are_named(argument, value):
    with pytest.raises((ValueError, UserError), match=argument):
        IART(**{**SMALL, argument: value})


def test_upstream_names_are_taken():
    section = {
        **SMALL,
        'type': 'IART',
        'img_size': [64, 64],
        'patch_size': 1,
        'cpu_cache_length': 100,
        'is_low_res_input': True,
    }
    assert isinstance(iart.build_network({'network_g': section}), IART)


def test_a_typing_error_in_the_options_is_named():
    with pytest.raises(OptionsError, match=r"network_g\.embed_dims.*did you mean 'embed_dim'"):
        iart.build_network({'type': 'IART', 'embed_dims': 8})


@pytest.mark.parametrize('window', [2, 3, 4])
def test_taps_surround_the_sampling_point(window):
    index, offset = sampling_taps(torch.full((1, 2, 9, 9), 0.25), window)
    center = 4 * 9 + 4
    rows, columns = index[:, center] // 9, index[:, center] % 9
    first = -((window - 1) // 2)
    assert rows.view(window, window)[:, 0].tolist() == list(range(4 + first, 4 + first + window))
    assert columns.view(window, window)[0].tolist() == list(range(4 + first, 4 + first + window))
    assert offset[center].tolist() == [0.25, 0.25]


def test_taps_survive_a_wild_flow():
    index, _ = sampling_taps(torch.full((2, 2, 3, 4), 1e30), 2)
    assert index.view(4, 2, 12)[:, 1].unique().tolist() == [23]


def test_flow_warp_moves_by_the_flow():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    flow = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    torch.testing.assert_close(flow_warp(x, flow)[..., :3], x[..., 1:])


@pytest.mark.parametrize('shift', [(0, 0), (2, 2)])
@pytest.mark.parametrize('size', [(1, 3, 8, 8), (2, 3, 5, 9)])
def test_windows_and_back(size, shift):
    n, d, h, w = size
    layout = window_layout(size, (4, 4), shift, torch.device('cpu'))
    rows = torch.rand(n * d * h * w, 2)
    inside = enter(rows, layout)
    assert torch.equal(leave(inside, layout), rows)
    other = window_layout(size, (4, 4), (0, 0), torch.device('cpu'))
    assert torch.equal(leave(change(inside, reordering(layout, other)), other), rows)
    if shift == (0, 0):
        first = rows.view(n, d, h, w, 2)[0, :, :4, :4].reshape(-1, 2)
        assert torch.equal(inside[: layout.tokens], first), 'a window is a block of pixels of all frames'


def test_checkpointing_changes_no_gradient():
    clip, gradients = torch.rand(1, 2, 3, 16, 16), []
    for use_checkpoint in (False, True, 'none', 'mlp', 'blocks', 'backbones', 'auto'):
        network = fill(IART(**SMALL, use_checkpoint=use_checkpoint, drop_path_rate=0), 'small').train()
        network(clip).square().mean().backward()
        gradients.append([p.grad for p in network.parameters()])
    for others in gradients[1:]:
        for a, b in zip(gradients[0], others, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize('policy', ['mlp', 'blocks', 'backbones'])
def test_checkpointing_draws_the_same_paths_again(policy):
    """Stochastic depth must leave out the same branches when a part is computed again."""
    clip, gradients = torch.rand(1, 2, 3, 16, 16), []
    for use_checkpoint in ('none', policy):
        network = fill(IART(**SMALL, use_checkpoint=use_checkpoint, drop_path_rate=0.5), 'small').train()
        torch.manual_seed(0)
        network(clip).square().mean().backward()
        gradients.append([p.grad for p in network.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_checkpointing_keeps_less():
    backbone = fill(FusionBackbone(channels=8, depths=[2, 2], num_heads=[2, 2], window=(3, 4, 4)), 'small')
    x, stored = torch.rand(1, 3, 8, 16, 16, requires_grad=True), []
    for policy in ('none', 'mlp', 'blocks', 'backbones'):
        prepared, sizes = backbone.prepare(backbone.layouts((1, 16, 16), x.device), policy), []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t):
            backbone(x, prepared)
        stored.append(sum(sizes))
    assert stored[1] < 0.9 * stored[0]
    assert stored[2] < 0.5 * stored[1]
    assert stored[3] < 0.5 * stored[2]


@pytest.mark.parametrize(
    ('free_mb', 'frames', 'policy'),
    [(1e6, 6, 'none'), (32_000, 6, 'mlp'), (8_000, 6, 'backbones'), (8_000, 1, 'none'), (500, 2, 'blocks')],
)
def test_auto_takes_the_fastest_policy_that_fits(monkeypatch, free_mb, frames, policy):
    monkeypatch.setattr('iart.archs.recompute_policy.devices.free_memory', lambda device: free_mb * 2**20)
    sizes = {'tokens': 3 * 64 * 64, 'channels': 120, 'calls': 4 * frames, 'blocks': 18, 'mlp_ratio': 2.0}
    assert choose_policy('auto', torch.device('cpu'), **sizes) == policy


def test_new_weights_count_at_once(network):
    """Nothing that was prepared from weights outlives the clip."""
    clip = torch.rand(1, 2, 3, 16, 16)
    changed = fill(IART(**SMALL), 'small')
    with torch.inference_mode():
        changed(clip)
    fill(changed, 'other')
    with torch.no_grad():
        assert torch.equal(changed(clip), fill(IART(**SMALL), 'other')(clip))


@pytest.mark.parametrize('shape', [(7,), (2, 512), (16, 100), (1, 521), (3, 64, 64)])
@pytest.mark.parametrize('bias', [False, True])
def test_dense_layers_are_linear_layers(shape, bias, monkeypatch):
    x, weight = torch.rand(*shape, 6, requires_grad=True), torch.rand(10, 6, requires_grad=True)
    inputs = [x, weight, *([torch.rand(10, requires_grad=True)] if bias else [])]
    results = [function(*inputs, *([] if bias else [None])) for function in (dense, torch.nn.functional.linear)]
    assert results[0].is_contiguous()
    torch.testing.assert_close(*results)
    toward = torch.rand_like(results[0])
    for a, b in zip(*(torch.autograd.grad(y, inputs, toward) for y in results), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr('iart.ops.dense._convolves', lambda *_: False)
    torch.testing.assert_close(dense(*inputs, *([] if bias else [None])), results[0])


def test_half_precision_keeps_coordinates_whole(network):
    """Under bfloat16 autocast the flow and the codes stay float32, so the result stays close."""
    clip = torch.rand(1, 2, 3, 16, 280)  # wider than the 256 that bfloat16 counts to
    with torch.no_grad():
        exact = network(clip)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            half = network(clip)
    psnr = -10 * torch.log10((half.float() - exact).square().mean())
    assert psnr > 30


def test_mirror_is_seen_to_the_bit():
    clip = torch.rand(1, 3, 3, 8, 8)
    mirrored = torch.cat([clip, clip.flip(1)], 1)
    assert is_mirrored(mirrored)
    assert not is_mirrored(clip)
    mirrored[0, 5, 0, 0, 0] += 1e-7
    assert not is_mirrored(mirrored)


def test_padding_reflects_as_far_as_it_can():
    assert pad_to(torch.tensor([1.0, 2, 3]).view(1, 1, 1, 1, 3), 6)[0, 0, 0, 0].tolist() == [1, 2, 3, 2, 1, 2]
    assert pad_to(torch.ones(1, 1, 1, 1, 1), 4).shape[-2:] == (4, 4)


def test_released_size():
    network = IART()
    dead = sum(t.numel() for t in network.released_extras().values() if t.is_meta)
    assert sum(p.numel() for p in network.parameters()) + dead == 13_410_503
