"""Networks for other scales than ×4: sizes, weights taken over, recognition, training, scoring, and upscaling."""

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.rebuilt import fill

from iart.archs.builder import build_network
from iart.archs.recognize import network_section, recognize
from iart.errors import OptionsError, WeightsError
from iart.options import resolve
from iart.training.trainer import Trainer
from iart.upscaling.api import upscale
from iart.weights import load_weights, write_weights

BASICVSR = {'type': 'IABasicVSR', 'num_feat': 8, 'num_block': 1, 'num_extract_block': 1, 'num_heads': 2}
BASICVSR['flow'] = {'type': 'zero'}
NETWORKS = {
    'IART': {**tiny.NETWORK, 'flow': {'type': 'zero'}},
    'basicvsr head': {**BASICVSR, 'head': 'basicvsr'},
    'pixelshuffle head': {**BASICVSR, 'head': 'pixelshuffle'},
}
each_network = pytest.mark.parametrize('section', NETWORKS.values(), ids=NETWORKS)
each_scale = pytest.mark.parametrize('scale', [1, 2, 3, 4])
CPU = torch.device('cpu')


@torch.no_grad()
@each_network
@each_scale
def test_every_scale_restores_and_its_weights_show_it(section, scale, tmp_path):
    network = fill(build_network({**section, 'scale': scale}), 'scale').eval()
    assert network(torch.rand(1, 2, 3, 9, 17)).shape == (1, 2, 3, 9 * scale, 17 * scale)
    recognized = {**recognize(network.state_dict()), 'flow': {'type': 'zero'}}
    assert recognized.get('scale', 4) == scale
    assert build_network(recognized).load_state_dict(network.state_dict())
    write_weights(tmp_path / 'w.safetensors', network, {**section, 'scale': scale})
    assert network_section(tmp_path / 'w.safetensors')['scale'] == scale


@each_network
@pytest.mark.parametrize(('of', 'to'), [(4, 1), (4, 2), (2, 3), (1, 4)])
def test_training_takes_over_the_trunk_of_another_scale(section, of, to, tmp_path, caplog, monkeypatch):
    source = fill(build_network({**section, 'scale': of}), 'source')
    torch.save({'params': source.state_dict()}, tmp_path / 'w.pth')
    target = build_network({**section, 'scale': to})
    fresh = {n for n in target.state_dict() if n.startswith('upconv')}
    before = {n: t.clone() for n, t in target.state_dict().items()}
    with pytest.raises(WeightsError, match='another scale'):
        load_weights(target, tmp_path / 'w.pth')
    monkeypatch.setattr('iart.log.logger.propagate', True)
    with caplog.at_level('INFO', 'iart'):
        load_weights(target, tmp_path / 'w.pth', other_scale=True)
    state = source.state_dict()
    for layer in ('conv_hr', 'conv_last'):
        if before[f'{layer}.weight'].shape != state[f'{layer}.weight'].shape:
            fresh |= {f'{layer}.weight', f'{layer}.bias'}
    assert 'start fresh' in caplog.text
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, before[name] if name in fresh else state[name]), name


def test_a_scale_that_does_not_exist_or_is_not_the_networks_is_named():
    with pytest.raises(OptionsError, match=r'network_g.scale.*got 5'):
        build_network({**tiny.NETWORK, 'scale': 5})
    with pytest.raises(OptionsError, match=r'scale: got 2, expected 4, the scale of IART.*network_g.scale: 2'):
        resolve({'name': 'x', 'scale': 2, 'network_g': tiny.NETWORK})


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp('scales')
    tiny.write_clips(root, clips=1, frames=3)
    return root


@pytest.mark.parametrize('scale', [1, 2])
def test_trains_from_weights_of_four_and_validates(scale, clips, tmp_path):
    torch.save({'params': build_network(tiny.NETWORK).state_dict()}, tmp_path / 'four.pth')
    made = {'datasets__train__dataroot_lq': None, 'datasets__train__degradation': 'BI'}
    made |= {'datasets__val__dataroot_lq': None, 'datasets__val__degradation': 'BI'}
    content = tiny.options(
        clips,
        scale=scale,
        network_g__scale=scale,
        path__experiments_root=str(tmp_path),
        path__pretrain_network_g=str(tmp_path / 'four.pth'),
        train__total_iter=1,
        datasets__train__gt_size=16 * scale,
        datasets__train__batch_size_per_gpu=1,
        **made,
    )
    trainer = Trainer(resolve(content), device=CPU)
    trainer.fit()
    saved = next((tmp_path / 'tiny' / 'models').glob('*.pth'))
    assert (network_section(saved) or {}).get('scale', 4) == scale


@pytest.mark.parametrize('scale', [1, 3])
def test_upscales_by_the_scale_of_the_network(scale):
    network = fill(build_network({**tiny.NETWORK, 'scale': scale}), 'scale')
    frames = list(np.random.default_rng(0).integers(0, 256, (2, 12, 17, 3), dtype=np.uint8))
    outputs = list(upscale(frames, network, device='cpu', scene_cuts=False))
    assert [frame.shape for frame in outputs] == [(12 * scale, 17 * scale, 3)] * 2
