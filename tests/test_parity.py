"""Outputs of the released implementation, from fixed inputs and weights that are rebuilt from their names."""

import copy
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from helpers.rebuilt import fill
from safetensors.torch import load_file
from torch import nn

import iart
from iart.alignments.implicit_alignment import ImplicitAlignment
from iart.archs.fusion_backbone import FusionBackbone
from iart.archs.iart_arch import IART
from iart.ops.sine import offset_code, tap_code
from iart.ops.windows import window_layout
from iart.registry import LOSS_REGISTRY, build

MODULE_TOLERANCE = 1e-5


@pytest.fixture(scope='module')
def modules():
    """The module tensors of the reference, kept in the repository."""
    return load_file(Path(__file__).parent / 'golden' / 'iart_modules.safetensors')


@pytest.fixture(scope='module')
def reference(shared):
    return load_file(shared / 'parity' / 'iart_parity.safetensors')


def error(a, b):
    assert a.shape == b.shape
    return (a - b).abs().max().item()


def tiny(shared):
    network = IART(mid_channels=16, embed_dim=24, depths=[2, 2], num_heads=[2, 2])
    fill(network, 'tiny')
    iart.load_weights(
        network.spynet, shared / 'weights' / 'spynet_basicvsr_reds4.safetensors', optional=('mean', 'std')
    )
    return network


class SteadyFlow(nn.Module):
    """SPyNet in float64, its flow in float32 and moved by ``shift`` pixels.

    Each clip has sampling points within 1e-5 pixels of a whole number, which is as much as the float32 convolutions of
    two kinds of processor differ. On which side of floor() such a point falls is chance, and one point moves a third of
    a percent of the pixels. In float64 it is the same side everywhere; it is the reference's side, but for one point of
    the even clip that lies 5e-7 pixels above a whole number where the reference's float32 came out below: there
    everything is moved by 2e-6 pixels.
    """

    SHIFTS: ClassVar = {'even': -2e-6, 'odd': 0.0, 'mirror': 0.0}

    def __init__(self, spynet, shift=0.0):
        super().__init__()
        self.exact, self.shift = copy.deepcopy(spynet).double(), shift

    def forward(self, ref, supp):
        return (self.exact(ref.double(), supp.double()) + self.shift).float()


@pytest.fixture(scope='module')
def backbone():
    return fill(FusionBackbone(channels=24, depths=[2, 2], num_heads=[2, 2], window=(3, 8, 8)), 'irfm')


def test_position_codes(modules):
    assert error(tap_code(2, 24, torch.device('cpu')).unsqueeze(0), modules['align.window_pe']) < MODULE_TOLERANCE
    assert error(offset_code(modules['align.points'], 2, 24), modules['align.points_pe']) < MODULE_TOLERANCE


@torch.no_grad()
def test_alignment(modules):
    align = fill(ImplicitAlignment(channels=24, num_heads=2), 'align')
    out = align(modules['align.src'], modules['align.ref'], modules['align.flow'].permute(0, 3, 1, 2))
    assert error(out, modules['align.out']) < MODULE_TOLERANCE


@torch.no_grad()
def test_shifted_block_with_padding(modules, backbone):
    x = modules['block.in']
    n, d, h, w, c = x.shape
    block = backbone.layers[0].residual_group.blocks[1]
    layout = window_layout((n, d, h, w), (8, 8), block.shift, x.device)
    out = block(x.reshape(-1, c)[layout.from_grid], layout)[layout.to_grid].view(x.shape)
    assert error(out, modules['block.out']) < MODULE_TOLERANCE


def test_fusion_backbone(modules, backbone):
    with torch.no_grad():
        assert error(backbone(modules['irfm.in']), modules['irfm.out']) < MODULE_TOLERANCE
    assert error(backbone(modules['irfm.in']).detach(), modules['irfm.out']) < MODULE_TOLERANCE, 'with gradients'


def test_golden_modules_are_the_reference(modules, reference):
    assert all(torch.equal(tensor, reference[name]) for name, tensor in modules.items())


@torch.no_grad()
@pytest.mark.parametrize('case', ['even', 'odd', 'mirror'])
def test_whole_network(reference, shared, case):
    network = tiny(shared)
    network.spynet = SteadyFlow(network.spynet, SteadyFlow.SHIFTS[case])
    sr, expected = network(reference[f'net.{case}.lq']), reference[f'net.{case}.sr']
    assert sr.shape == expected.shape
    difference = (sr - expected).abs()
    assert (difference < 1e-4).float().mean() >= 0.999
    assert -10 * torch.log10(difference.double().square().mean()) > 70


@torch.no_grad()
def test_flow_of_single_precision_is_that_of_double(reference, shared):
    spynet = tiny(shared).spynet
    first, second = reference['net.odd.lq'][:, :2].unbind(1)
    assert error(spynet(first, second), SteadyFlow(spynet)(first, second)) < 1e-3


def test_loss_and_gradients(reference, shared):
    network = tiny(shared)
    lq, shape = reference['net.even.lq'], reference['net.even.sr'].shape
    gt = torch.from_numpy(np.random.RandomState(zlib.crc32(b'net/gt')).random_sample(shape).astype(np.float32))
    loss = build(LOSS_REGISTRY, {'type': 'CharbonnierLoss'})(network(lq), gt)
    loss.backward()
    assert abs(loss.item() - reference['grad.loss'].item()) < 1e-5
    expected = {k.removeprefix('grad.norm/'): v.item() for k, v in reference.items() if k.startswith('grad.norm/')}
    norms = {name: p.grad.norm().item() for name, p in network.named_parameters() if not name.startswith('spynet.')}
    spynet = torch.stack([p.grad.norm() for p in network.spynet.parameters()]).norm().item()
    total = next(k for k in expected if k.startswith('spynet'))
    norms[total] = spynet
    assert set(norms) == set(expected), 'every used weight gets a gradient, and no other weight exists'
    # The keys' bias has no gradient but rounding: it moves all logits of a pixel alike, and softmax does not see that.
    worst = {n: abs(norms[n] - w) / max(w, 1e-6) for n, w in expected.items()}
    assert max(worst.values()) < 1e-3, sorted(worst.items(), key=lambda item: -item[1])[:5]
