"""Window attention: its formula and gradients, heads padded for a GPU's kernels, and windows at the border in one
call.
"""

import pytest
import torch
from helpers.rebuilt import fill

from iart.archs import swin
from iart.archs.fusion_backbone import FusionBackbone
from iart.ops.attention import biased_attention
from iart.ops.windows import window_layout


@pytest.mark.parametrize('per_window', [False, True])
@pytest.mark.parametrize('padding', [0, 5])
def test_attention_has_the_gradients_of_its_formula(per_window, padding):
    q, k, v = (torch.rand(5, 2, n, 3, dtype=torch.float32) for n in (4, 6, 6))
    bias = torch.rand(5, 2, 4, 6) if per_window else torch.rand(2, 4, 6)
    inputs = [x.requires_grad_() for x in (q, k, v, bias)]
    plain = ((q * 3**-0.5) @ k.transpose(-1, -2) + bias).softmax(-1) @ v
    padded = [torch.nn.functional.pad(x, (0, padding)) for x in (q, k, v)]
    out = biased_attention(*padded, bias, 3**-0.5)[..., :3]
    torch.testing.assert_close(out, plain)
    weight = torch.rand_like(out)
    for ours, expected in zip(
        torch.autograd.grad(out, inputs, weight), torch.autograd.grad(plain, inputs, weight), strict=True
    ):
        torch.testing.assert_close(ours, expected)


def run_backbone(size, *, dtype=torch.float32):
    """Return output and gradients of a backbone with the heads of the published network, 20 channels each."""
    backbone = fill(
        FusionBackbone(channels=40, depths=[2, 2], num_heads=[2, 2], window=(3, 4, 4), drop_path_rate=0), 'small'
    )
    x = (
        torch.linspace(-1, 1, size[0] * 3 * 40 * size[1] * size[2])
        .sin()
        .view(size[0], 3, 40, *size[1:])
        .requires_grad_()
    )
    with torch.autocast('cpu', torch.bfloat16, enabled=dtype != torch.float32):
        out = backbone(x)
        with torch.no_grad():
            assert torch.equal(backbone(x), out), 'with and without gradients'
    out.float().backward(torch.linspace(-1, 1, out.numel()).view(out.shape))
    return out.detach(), {'input': x.grad} | {name: p.grad for name, p in backbone.named_parameters()}


def assert_close_gradients(ours, expected, tolerance):
    assert ours.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (ours[name] - gradient).norm() <= tolerance * gradient.norm(), name


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_padded_heads_give_the_same_bits(monkeypatch, dtype):
    out, gradients = run_backbone((1, 12, 9), dtype=dtype)
    monkeypatch.setattr(swin.devices, 'head_multiple', lambda device, dtype: 8)
    seen = []
    attention = swin.biased_attention
    monkeypatch.setattr(swin, 'biased_attention', lambda q, *rest: seen.append(q.shape[-1]) or attention(q, *rest))
    padded, padded_gradients = run_backbone((1, 12, 9), dtype=dtype)
    assert set(seen) == {24}
    assert torch.equal(padded, out)
    assert_close_gradients(padded_gradients, gradients, 1e-6 if dtype == torch.float32 else 1e-2)


@pytest.mark.parametrize('size', [(1, 12, 9), (2, 8, 16), (1, 4, 12), (1, 12, 4), (1, 4, 4)])
def test_border_windows_in_one_call_give_the_same_bits(monkeypatch, size):
    out, gradients = run_backbone(size)
    monkeypatch.setattr(swin.devices, 'saves_launches', lambda device: True)
    calls = []
    attention = swin.biased_attention
    monkeypatch.setattr(swin, 'biased_attention', lambda *args: calls.append(1) or attention(*args))
    merged, merged_gradients = run_backbone(size)
    plain, shifted = 2, 2 if size != (1, 4, 4) else 1
    assert len(calls) <= 2 * (plain * 1 + 2 * shifted), (
        'at most two calls for the windows of a block, with and without gradients'
    )
    assert torch.equal(merged, out)
    assert_close_gradients(merged_gradients, gradients, 1e-6)


def test_a_layout_lists_its_padding():
    layout = window_layout((2, 3, 5, 9), (4, 4), (2, 2), torch.device('cpu'))
    assert layout.padding is not None
    rows = torch.zeros(2 * 3 * 5 * 9) + 1
    listed = torch.zeros(len(layout.order)).index_fill(0, layout.padding, 5)
    assert (listed[layout.to_grid] == 0).all(), 'no pixel of the image is padding'
    assert (listed == 5).sum() == len(layout.order) - len(rows), 'everything else is'
    assert layout.clips == 2
