"""RealVSR: cleaning before any network, dynamic refinement, streaming, and the names of released weights."""

import re

import pytest
import torch
from helpers.rebuilt import fill

from iart.archs.builder import build_network
from iart.archs.realvsr_arch import RealVSR
from iart.archs.recognize import network_section
from iart.archs.stores import stores, streams
from iart.errors import OptionsError, WeightsError
from iart.weights import load_weights, read_weights, write_weights

INNER = {'type': 'BasicVSR', 'num_feat': 8, 'num_block': 1}
SMALL = {'network': INNER, 'num_cleaning_feat': 8, 'num_cleaning_block': 1}


def small(**changes):
    return fill(RealVSR(**{**SMALL, **changes}), 'real').eval()


def released_names(network):
    """The names that mmagic gives these weights."""
    names = {}
    for name, tensor in network.state_dict().items():
        name = re.sub(r'^network\.', 'basicvsr.', name)
        name = re.sub(r'(backward|forward)_trunk', r'\1_resblocks', name)
        name = re.sub(r'upconv([12])\.', r'upsample\1.upsample_conv.', name)
        name = re.sub(r'(basic_module\.\d+\.basic_module\.)(\d+)\.', lambda m: f'{m[1]}{int(m[2]) // 2}.conv.', name)
        names[name] = tensor.clone()
    return names


def test_the_published_size():
    with torch.device('meta'):
        network = RealVSR()
    cleaning = sum(p.numel() for p in network.image_cleaning.parameters())
    basicvsr = build_network({'type': 'BasicVSR', 'num_feat': 64, 'num_block': 20})
    assert cleaning == 1792 + 20 * 73856 + 1731
    assert sum(p.numel() for p in network.network.parameters()) == sum(p.numel() for p in basicvsr.parameters())


@torch.no_grad()
@pytest.mark.parametrize(('threshold', 'passes'), [(255, 1), (0, 3)])
def test_refinement_stops_at_its_threshold(threshold, passes):
    network, calls = small(refine_threshold=threshold), []
    network.image_cleaning.register_forward_hook(lambda *_: calls.append(1))
    clip = torch.rand(1, 2, 3, 8, 12)
    cleaned = network.clean(clip)
    assert len(calls) == passes
    by_hand = clip
    for _ in range(passes):
        by_hand = by_hand + network.image_cleaning(by_hand.flatten(0, 1)).unflatten(0, (1, 2))
    torch.testing.assert_close(cleaned, by_hand)
    torch.testing.assert_close(network(clip), network.network(by_hand))
    network.train()
    calls.clear()
    network(clip)
    assert len(calls) == 1, 'training cleans once'


@torch.no_grad()
@pytest.mark.parametrize('place', ['host', 'disk'])
def test_frame_by_frame_from_any_store_gives_the_same_bits(place):
    network, clip = small(refine_threshold=0), torch.rand(1, 4, 3, 9, 10)
    whole = network(clip)
    assert whole.shape == (1, 4, 3, 36, 40)
    with stores(place, torch.device('cpu')) as store:
        assert torch.equal(torch.stack(list(network.frames(clip.unbind(1), store)), 1), whole)


def test_the_inner_network_is_any():
    iart = {
        'type': 'IART',
        'mid_channels': 8,
        'embed_dim': 8,
        'depths': [1],
        'num_heads': [2],
        'window_size': [3, 4, 4],
    }
    assert streams(RealVSR(**{**SMALL, 'network': iart}))
    icon = RealVSR(**{**SMALL, 'network': {'type': 'BasicVSRPlusPlus', 'mid_channels': 16, 'num_blocks': 1}})
    assert not streams(icon)
    with pytest.raises(OptionsError, match=r'network_g\.network'):
        RealVSR(network={'type': 'IABasicVSR', 'num_fet': 8})


def test_the_flow_network_is_found():
    network = small()
    assert network.spynet is network.network.spynet
    assert not any(name.startswith('spynet') for name in network.state_dict()), 'its weights have one name'


@pytest.mark.parametrize('wrapped', ['state_dict', 'training checkpoint', 'averaged'])
def test_released_weights_load(tmp_path, wrapped):
    network, file = small(), tmp_path / 'RealBasicVSR_x4.pth'
    state = {f'generator.{name}': tensor for name, tensor in released_names(network).items()}
    other = {f'generator_ema.{name}': tensor + 1 for name, tensor in released_names(network).items()}
    key, expected = 'params', network.state_dict()
    if wrapped != 'state_dict':
        state |= {**other, 'step_counter': torch.tensor([3]), 'discriminator.conv_0.weight': torch.zeros(1)}
    if wrapped == 'averaged':
        key, expected = 'params_ema', {name: tensor + 1 for name, tensor in expected.items()}
    torch.save({'meta': {'epoch': 1}, 'state_dict': state}, file)
    section = network_section(file, key)
    assert section == {'type': 'RealVSR', **SMALL}
    loaded = build_network(section)
    load_weights(loaded, file, key)
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in expected.items())


def test_a_missing_layer_is_named(tmp_path):
    network = small()
    state = released_names(network)
    del state['basicvsr.upsample1.upsample_conv.weight']
    torch.save(state, tmp_path / 'x.pth')
    with pytest.raises(WeightsError, match=r'missing \(1\): network\.upconv1\.weight'):
        load_weights(network, tmp_path / 'x.pth')


def test_own_files_keep_their_options(tmp_path):
    network = small()
    write_weights(tmp_path / 'x.safetensors', network, {'type': 'RealVSR', **SMALL})
    assert network_section(tmp_path / 'x.safetensors') == {'type': 'RealVSR', **SMALL}
    assert read_weights(tmp_path / 'x.safetensors').keys() == network.state_dict().keys()
