"""The transcription of the specification and the fast network give the outputs of the released implementation."""

import json
from pathlib import Path

import benchmark_network
import pytest
import torch
from helpers.rebuilt import fill
from reference.alignment import ReferenceAlignment, sine_code
from reference.backbone import ReferenceBackbone
from reference.network import ReferenceIART
from safetensors.torch import load_file
from test_parity import SteadyFlow

import iart
from iart.alignments.implicit_alignment import ImplicitAlignment
from iart.archs.fusion_backbone import FusionBackbone
from iart.archs.iart_arch import IART

TOLERANCE = 1e-5
TINY = {'mid_channels': 16, 'embed_dim': 24, 'depths': [2, 2], 'num_heads': [2, 2]}


@pytest.fixture(scope='module')
def modules():
    return load_file(Path(__file__).parent / 'golden' / 'iart_modules.safetensors')


def error(a, b):
    assert a.shape == b.shape
    return (a - b).abs().max().item()


@torch.no_grad()
def test_alignment(modules):
    assert (
        error(sine_code(modules['align.points'] / (2 + 1e-6) * 2 * torch.pi, 24), modules['align.points_pe'])
        < TOLERANCE
    )
    align = fill(ReferenceAlignment(channels=24, num_heads=2), 'align')
    flow = modules['align.flow'].permute(0, 3, 1, 2)
    assert error(align(modules['align.src'], modules['align.ref'], flow), modules['align.out']) < TOLERANCE


@torch.no_grad()
def test_backbone(modules):
    backbone = fill(ReferenceBackbone(channels=24, depths=[2, 2], num_heads=[2, 2]), 'irfm')
    block = backbone.layers[0].residual_group.blocks[1]
    assert error(block(modules['block.in']), modules['block.out']) < TOLERANCE
    assert error(backbone(modules['irfm.in']), modules['irfm.out']) < TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize('case', ['even', 'mirror'])
def test_network(shared, case):
    expected = load_file(shared / 'parity' / 'iart_parity.safetensors')
    network = fill(ReferenceIART(**TINY), 'tiny')
    iart.load_weights(
        network.spynet, shared / 'weights' / 'spynet_basicvsr_reds4.safetensors', optional=('mean', 'std')
    )
    network.spynet = SteadyFlow(network.spynet, SteadyFlow.SHIFTS[case])
    difference = (network(expected[f'net.{case}.lq']) - expected[f'net.{case}.sr']).abs()
    assert (difference < 1e-4).float().mean() >= 0.999
    assert -10 * torch.log10(difference.double().square().mean()) > 70


@pytest.mark.parametrize('size', [(1, 16, 16), (2, 13, 20)])
def test_our_alignment_is_the_same_with_its_gradients(size):
    n, h, w = size
    given = [torch.randn(n, 8, h, w), torch.randn(n, 8, h, w), 3 * torch.randn(n, 2, h, w)]
    both = [fill(kind(channels=8, num_heads=2), 'align') for kind in (ReferenceAlignment, ImplicitAlignment)]
    assert_same(both, given)


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('size', [(1, 16, 24), (2, 13, 20)])
def test_our_backbone_is_the_same_with_its_gradients(size, training):
    n, h, w = size
    sizes = {'channels': 8, 'depths': [2, 3], 'num_heads': [2, 4], 'drop_path_rate': 0}
    both = [fill(ReferenceBackbone(**sizes), 'irfm'), fill(FusionBackbone(**sizes, window=(3, 8, 8)), 'irfm')]
    assert_same([module.train(training) for module in both], [torch.randn(n, 3, 8, h, w)])


def assert_same(both, given):
    """Same output, with and without gradients, and same gradients of weights and inputs."""
    results = []
    for module in both:
        inputs = [x.clone().requires_grad_() for x in given]
        out = module(*inputs)
        with torch.no_grad():
            assert error(module(*inputs), out) < TOLERANCE
        out.backward(torch.linspace(-1, 1, out.numel()).view(out.shape))
        gradients = {name: p.grad for name, p in module.named_parameters()}
        results.append((out, gradients | {f'input {i}': x.grad for i, x in enumerate(inputs)}))
    (out, gradients), (out_ours, ours) = results
    assert error(out, out_ours) < TOLERANCE
    assert gradients.keys() == ours.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(
            ours[name], gradient, rtol=1e-4, atol=2e-4, msg=lambda text, name=name: f'{name}: {text}'
        )


def test_both_networks_have_the_same_weights():
    expected, result = ReferenceIART(**TINY).state_dict(), IART(**TINY).state_dict()
    assert {name: tuple(t.shape) for name, t in result.items()} == {
        name: tuple(t.shape) for name, t in expected.items()
    }


def test_the_benchmark_measures_both(tmp_path, monkeypatch):
    figures = tmp_path / 'figures.json'
    few = [
        '--sizes',
        '64x64',
        '--frames',
        '1',
        '--train-frames',
        '1',
        '--rounds',
        '1',
        '--ours',
        'blocks',
        '--device',
        'cpu',
    ]
    monkeypatch.setattr(
        'sys.argv', ['benchmark_network.py', '--small', '--parts', 'forward', 'train', *few, '--json', str(figures)]
    )
    benchmark_network.main()
    result = json.loads(figures.read_text())
    (forward,) = result['forward']
    assert 0 < forward['ours GFLOP/frame'] < forward['reference GFLOP/frame'], 'what reaches nothing is not computed'
    assert [row['network'] for row in result['train']['rows']] == ['reference', 'ours, blocks']
