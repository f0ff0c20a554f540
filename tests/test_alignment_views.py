"""What reports show of an alignment: measured on the alignment itself, written for every order."""

import json

import pytest
import torch
from helpers.tiny import NETWORK, TinyFlow

from iart.alignments.implicit_alignment import ImplicitAlignment, _pixel_rows
from iart.archs.builder import build_network
from iart.image import read_image, write_png
from iart.ops.sine import offset_code, tap_code
from iart.ops.taps import sampling_taps
from iart.scoring import alignment_views
from iart.scoring.alignment_views import bilinear_weights, color_offsets, watch, write_views
from iart.scoring.evaluator import SetScores
from iart.scoring.set_report import Material, SetReport

CPU = torch.device('cpu')


@pytest.fixture(autouse=True)
def _tiny_flow(monkeypatch):
    monkeypatch.setattr('iart.archs.flow.spynet_class', lambda: TinyFlow)


@pytest.mark.parametrize('window', [2, 3, 4])
def test_tap_weights_are_the_attention(window):
    """Against the paper's formula, where no tap was moved by the edge."""
    torch.manual_seed(window)
    align = ImplicitAlignment(channels=12, num_heads=3, window=window)
    source, current = torch.randn(2, 2, 12, 9, 10)
    flow = torch.randn(2, 2, 9, 10)
    with torch.no_grad():
        weights = align.tap_weights(source, current, flow)
        index, offset = sampling_taps(flow, window)
        query = align.q(_pixel_rows(current) + offset_code(offset, window, 12)) * 4**-0.5
        keys = align.k(_pixel_rows(source)[index] + tap_code(window, 12, CPU).unsqueeze(1))
        expected = (
            (query * keys)
            .unflatten(2, (3, 4))
            .sum(3)
            .softmax(0)
            .permute(2, 0, 1)
            .unflatten(2, (2, 9, 10))
            .permute(2, 0, 1, 3, 4)
        )
    assert weights.shape == (2, 3, window**2, 9, 10)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 3, 9, 10))
    pixels = index.view(window**2, 2, 9, 10)
    inside = (pixels.sort(0)[0].diff(dim=0) > 0).all(0)
    assert inside.sum() > 20
    chosen = inside[:, None, None].expand_as(weights)
    torch.testing.assert_close(weights[chosen], expected[chosen], atol=1e-5, rtol=1e-4)


def test_bilinear_weights_reproduce_the_place():
    offset = torch.tensor([[0.0, 0.0], [0.25, 0.5]])
    assert bilinear_weights(offset, 2).tolist() == [[1, 0, 0, 0], [0.375, 0.375, 0.125, 0.125]]
    wide = bilinear_weights(offset, 4).view(2, 4, 4)
    assert wide[1, 1:3, 1:3].flatten().tolist() == [0.375, 0.375, 0.125, 0.125]
    assert wide.sum() == 2


def test_last_pass_is_watched():
    network = build_network(NETWORK).eval()
    calls = watch(network, torch.rand(1, 3, 3, 16, 20))
    assert len(calls) == 2
    assert all(call.current.shape == (1, 8, 16, 20) and call.flow.shape == (1, 2, 16, 20) for call in calls)
    assert torch.equal(calls[0].current, calls[1].current)
    assert len(watch(network, torch.rand(1, 2, 3, 16, 20))) == 1
    assert watch(network, torch.rand(1, 1, 3, 16, 20)) == []
    assert not any(module._forward_pre_hooks for module in network.modules())


def report_on(root, frames):
    random = torch.Generator().manual_seed(0)
    for j in range(frames):
        write_png(
            root / 'lq' / 'a' / f'{j}.png',
            torch.randint(0, 256, (20, 18, 3), dtype=torch.uint8, generator=random).numpy(),
        )
    section = {'type': 'VideoRecurrentTestDataset', 'dataroot_lq': str(root / 'lq')}
    return SetReport('test', SetScores('Set', (), (), 0.0), None, (), Material(section, {}, ('a',)))


def test_views_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(alignment_views, '_LARGEST', 18)
    network = build_network(NETWORK).eval()
    assert write_views(network, report_on(tmp_path, 6), tmp_path / 'views', scale=4, device=CPU)
    folder = tmp_path / 'views' / 'Set' / 'a'
    facts = json.loads((folder / 'alignment.json').read_text())
    assert facts['frames'] == ['1', '2', '3']
    assert facts['box'] == [1, 0, 18, 18]
    assert [(o['order'], o['source']) for o in facts['orders']] == [(1, 1), (2, 0)]
    for order in facts['orders']:
        assert sum(order['attention']) == pytest.approx(1, abs=1e-4)
        assert sum(order['bilinear']) == pytest.approx(1, abs=1e-4)
        assert 1 <= len(order['points']) <= 3
        assert read_image(folder / f'taps_{order["order"]}.png').shape == (38, 38, 3)
        assert read_image(folder / f'offsets_{order["order"]}.png').shape == (18, 18, 3)


def test_nothing_to_look_at(tmp_path):
    network = build_network({**NETWORK, 'alignment': {'type': 'FlowWarpAlignment'}}).eval()
    assert not write_views(network, report_on(tmp_path, 4), tmp_path / 'views', scale=4, device=CPU)
    single = build_network(NETWORK).eval()
    assert not write_views(single, report_on(tmp_path / 'one', 1), tmp_path / 'views', scale=4, device=CPU)
    assert not (tmp_path / 'views').exists()


def test_colors_of_offsets():
    flow = torch.tensor([[0.0, 2.0, -2.0], [0.0, 0.0, 0.0]]).view(2, 1, 3).numpy()
    assert color_offsets(flow, 2.0)[0].tolist() == [[255, 255, 255], [255, 0, 0], [0, 255, 255]]
