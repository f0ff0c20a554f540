"""Every network, loss and metric of BasicSR: those that docs/basicsr.md calls working work, the others are refused."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny import TinyFlow
from helpers.upscale_clips import texture

from iart.archs.builder import build_network
from iart.archs.probe import show_clip
from iart.errors import OptionsError
from iart.inference.restorer import plan_restorer
from iart.models.vsr_model import VSRModel
from iart.options import resolve
from iart.registry import ARCH_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, build
from iart.scoring.measures import build_metrics

CPU = torch.device('cpu')
PAGE = (Path(__file__).parents[1] / 'docs' / 'basicsr.md').read_text(encoding='utf-8')
ROWS = {
    title.split(' ')[0].lower(): dict(re.findall(r'^\| `(\w+)` \| (yes|no) \|', text, re.MULTILINE))
    for title, text in re.findall(r'^## (.+?)\n(.*?)(?=^## |\Z)', PAGE, re.MULTILINE | re.DOTALL)
}
SMALL = {
    'BasicVSR': {'num_feat': 4, 'num_block': 1},
    'IconVSR': {'num_feat': 8, 'num_block': 1},
    'BasicVSRPlusPlus': {'mid_channels': 16, 'num_blocks': 1},
}


def listed(kind, answer):
    return [name for name, works in ROWS[kind].items() if works == answer]


@pytest.mark.parametrize(
    ('kind', 'registry'), [('networks', ARCH_REGISTRY), ('losses', LOSS_REGISTRY), ('metrics', METRIC_REGISTRY)]
)
def test_the_page_lists_all_of_basicsr(kind, registry):
    components = {name.removesuffix('_basicsr'): component.__module__ for name, component in registry._obj_map.items()}
    registered = {name for name, module in components.items() if module.startswith('basicsr.')}
    assert set(ROWS[kind]) == registered


@pytest.fixture
def quick(monkeypatch):
    """Build networks with a flow network that takes no time."""
    build_network({'type': 'BasicVSR', **SMALL['BasicVSR']})
    for name in ('basicvsr_arch', 'basicvsrpp_arch'):
        monkeypatch.setattr(sys.modules[f'basicsr.archs.{name}'], 'SpyNet', lambda path: TinyFlow())


@pytest.mark.filterwarnings('error:Deformable')
@pytest.mark.parametrize('name', listed('networks', 'yes'))
def test_networks_that_work(quick, name):
    network = build_network({'type': name, **SMALL[name]})
    assert show_clip(network, (64, 64), 5, scale=4, device=CPU).shape == (1, 5, 3, 256, 256)
    if name == 'IconVSR':  # whose memory must not be measured on fewer frames than it takes
        restored = list(plan_restorer(network, CPU)(torch.rand(1, 5, 3, 64, 64)))
        assert [tuple(frame.shape) for frame in restored] == [(1, 3, 256, 256)] * 5
    model = VSRModel(network=network.train(), losses={'l_pix': build(LOSS_REGISTRY, {'type': 'CharbonnierLoss'})})
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-3)
    batch = {'lq': torch.rand(1, 5, 3, 64, 64), 'gt': torch.rand(1, 5, 3, 256, 256)}
    before = [p.detach().clone() for p in network.upconv1.parameters()]
    model(batch)['loss'].backward()
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, network.upconv1.parameters(), strict=True))


def problems(**changes):
    """Return the message for a training file with these sections; empty if there is none."""
    content = {
        'name': 'x',
        'network_g': {'type': 'BasicVSR'},
        'datasets': {
            'train': {'type': 'REDSRecurrentDataset', 'dataroot_gt': 'a', 'dataroot_lq': 'b', 'num_frame': 5}
            | {'gt_size': 256},
        },
        'train': {'total_iter': 10, 'optim_g': {'type': 'Adam', 'lr': 1e-4}, 'pixel_opt': {'type': 'L1Loss'}}
        | {'scheduler': {'type': 'CosineAnnealingRestartLR', 'periods': [10]}},
    }
    train = content['train'] | changes.pop('train', {})
    try:
        resolve(content | changes | {'train': train})
    except OptionsError as error:
        return str(error)
    return ''


@pytest.mark.parametrize('name', listed('networks', 'no'))
def test_networks_that_are_refused(name):
    assert f'network_g.type: got {name!r}' in problems(network_g={'type': name})


@pytest.mark.parametrize('name', ['UNetDiscriminatorSN', 'VGGStyleDiscriminator'])
def test_discriminators_that_work(name):
    discriminator = build(ARCH_REGISTRY, {'type': name, 'num_in_ch': 3, 'num_feat': 4}, key='network_d')
    gan = build(LOSS_REGISTRY, {'type': 'GANLoss', 'gan_type': 'vanilla'})
    gan(discriminator(torch.rand(2, 3, 128, 128)), True).backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in discriminator.parameters())


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
@pytest.mark.parametrize('name', [name for name in listed('losses', 'yes') if name != 'PerceptualLoss'])
def test_losses_that_work(name, reduction):
    section = {'type': name, 'reduction': reduction}
    assert problems(train={'pixel_opt': section}) == ''
    model = VSRModel(network=torch.nn.Conv3d(3, 3, 1), losses={'l_pix': build(LOSS_REGISTRY, section)})
    model.network.forward = lambda lq: lq * model.network.weight.mean()
    clip = torch.rand(1, 2, 3, 8, 8)
    model({'lq': clip, 'gt': 1 - clip})['loss'].backward()
    assert model.network.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('key', ['pixel_opt', 'teacher_opt', 'perceptual_opt'])
@pytest.mark.parametrize('name', listed('losses', 'no'))
def test_losses_that_are_refused(name, key):
    assert f'train.{key}.type: got {name!r}' in problems(train={key: {'type': name}})


@pytest.mark.parametrize('name', listed('metrics', 'yes'))
def test_metrics_that_work(name):
    metric = build_metrics({'m': {'type': name, 'crop_border': 0}})['m']
    smooth = texture(0, 192, 192)
    noisy = np.clip(smooth + np.random.default_rng(0).normal(0, 20, smooth.shape), 0, 255).astype(np.uint8)
    better, worse = metric(smooth, smooth), metric(noisy, smooth)
    assert np.isfinite(worse)
    assert better > worse if name != 'calculate_niqe' else better != worse


@pytest.mark.parametrize('name', listed('metrics', 'no'))
def test_metrics_that_are_refused(name):
    message = problems(val={'metrics': {'m': {'type': name, 'crop_border': 0}}})
    assert f'val.metrics.m.type: got {name!r}' in message
