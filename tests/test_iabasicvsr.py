"""IABasicVSR: bit-exactly BasicVSR without alignment, the paper's size with it, sizes, streaming, recognition, given
flows.
"""

import json
from pathlib import Path

import benchmark_compile
import pytest
import torch
from helpers.rebuilt import fill
from torch._dynamo.testing import CompileCounter

from iart.archs.builder import build_network, compile_network
from iart.archs.iabasicvsr_arch import IABasicVSR
from iart.archs.recognize import network_section, recognize
from iart.archs.stores import stores
from iart.errors import OptionsError, WeightsError
from iart.registry import ALIGNMENT_REGISTRY, ARCH_REGISTRY, find, ours
from iart.training.parameter_groups import freeze_all_but
from iart.weights import load_weights, write_weights

SMALL = {'num_feat': 8, 'num_block': 1, 'num_extract_block': 1, 'num_heads': 2, 'head': 'pixelshuffle4'}
WARP = {'type': 'FlowWarpAlignment'}


@pytest.fixture(scope='module')
def network():
    return fill(IABasicVSR(**SMALL), 'small').eval()


@torch.no_grad()
def test_equals_basicvsr_to_the_bit_and_loads_its_weights(tmp_path):
    theirs = find(ARCH_REGISTRY, 'BasicVSR')(num_feat=16, num_block=2).eval()
    torch.save({'params': theirs.state_dict()}, tmp_path / 'basicvsr.pth')
    same = IABasicVSR(num_feat=16, num_block=2, num_extract_block=0, alignment=WARP).eval()
    load_weights(same, tmp_path / 'basicvsr.pth')
    clip = torch.rand(2, 3, 3, 64, 72)
    assert torch.equal(same(clip), theirs(clip))


@pytest.mark.parametrize(
    ('arguments', 'parameters'),
    [({}, 8_521_263), ({'num_block': 45, 'num_extract_block': 0}, 8_519_471)],
    ids=['extractor', '45 blocks'],
)
def test_the_paper_s_8_5_million_parameters(arguments, parameters):
    with torch.device('meta'):
        network = build_network({'type': 'IABasicVSR', **arguments})
    assert sum(p.numel() for p in network.parameters()) == parameters


@torch.no_grad()
@pytest.mark.parametrize(('n', 't', 'h', 'w'), [(1, 1, 1, 1), (1, 2, 1, 5), (2, 3, 17, 9)])
@pytest.mark.parametrize(
    'changes', [{}, {'head': 'basicvsr'}, {'trunk_input': 'feature'}, {'num_extract_block': 0}], ids=str
)
def test_any_size_gives_exactly_four_times(changes, n, t, h, w):
    sr = IABasicVSR(**{**SMALL, **changes})(torch.rand(n, t, 3, h, w))
    assert sr.shape == (n, t, 3, 4 * h, 4 * w)
    assert sr.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize('place', ['device', 'disk'])
def test_streams_the_same_bits_wherever_features_wait(network, place, tmp_path):
    clip = torch.rand(1, 4, 3, 16, 20)
    with stores(place, torch.device('cpu'), folder=tmp_path) as store:
        streamed = torch.stack(list(network.frames(list(clip.unbind(1)), store)), 1)
    assert torch.equal(streamed, network(clip))


@pytest.mark.parametrize('name', ours(ALIGNMENT_REGISTRY))
@pytest.mark.parametrize('use_checkpoint', [False, True])
def test_every_alignment_works_and_learns(name, use_checkpoint):
    network = IABasicVSR(**SMALL, alignment={'type': name}, trunk_input='feature', use_checkpoint=use_checkpoint)
    network(torch.rand(1, 3, 3, 16, 16)).square().mean().backward()
    without = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not without, f'no gradient: {without}'


def test_recomputing_gives_the_same_gradients():
    gradients = []
    for use_checkpoint in (False, True):
        network = fill(IABasicVSR(**SMALL, use_checkpoint=use_checkpoint), 'small')
        network(torch.linspace(0, 1, 3 * 3 * 16 * 16).view(1, 3, 3, 16, 16)).square().mean().backward()
        gradients.append(network.backward_trunk.main[0].weight.grad)
    assert torch.equal(*gradients)


@torch.no_grad()
def test_given_flows_take_the_place_of_the_flow_network(network):
    clip = torch.rand(1, 3, 3, 16, 16)
    flow = torch.full((1, 2, 2, 16, 16), 1.5)
    assert not torch.equal(network(clip, flows=(flow, -flow)), network(clip))
    still = IABasicVSR(**SMALL).eval()  # its flow network begins with zero flow
    assert torch.equal(still(clip, flows=(0 * flow, 0 * flow)), still(clip))
    with pytest.raises(ValueError, match=r'flows: got shape \(1, 1, 2, 16, 16\), expected \(1, 2, 2, 16, 16\)'):
        network(clip, flows=(flow[:, :1], flow))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'num_block': -1}, 'num_block: got -1'),
        ({'num_extract_block': 0, 'trunk_input': 'feature'}, 'trunk_input: got feature'),
    ],
)
def test_sizes_that_do_not_fit_are_named(arguments, message):
    with pytest.raises(OptionsError, match=message):
        build_network({'type': 'IABasicVSR', **arguments})


@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'alignment': WARP},
        {'trunk_input': 'feature', 'head': 'basicvsr'},
        {'num_extract_block': 0, 'alignment': WARP},
    ],
    ids=str,
)
def test_a_weight_file_shows_its_network(changes, tmp_path):
    section = {'type': 'IABasicVSR', **SMALL, 'num_heads': 8, **changes}
    network = build_network(section)
    recognized = recognize(network.state_dict())
    assert build_network(recognized).load_state_dict(network.state_dict())
    write_weights(tmp_path / 'own.safetensors', network, section)
    assert network_section(tmp_path / 'own.safetensors') == section


def test_residual_alignment_in_a_trained_network_changes_nothing_at_first_and_trains_alone(tmp_path):
    """BasicVSR's weights load without the alignment's, the output is bit-exact, and the rest stays as it is."""
    theirs = fill(find(ARCH_REGISTRY, 'BasicVSR')(num_feat=8, num_block=1), 'theirs')
    torch.save({'params': theirs.state_dict()}, tmp_path / 'basicvsr.pth')
    section = {'type': 'IABasicVSR', 'num_feat': 8, 'num_block': 1, 'num_extract_block': 0, 'num_heads': 2}
    alignment = {'type': 'ImplicitAlignment', 'residual': 'bilinear'}
    network = build_network({**section, 'alignment': alignment}).eval()
    load_weights(network, tmp_path / 'basicvsr.pth')
    clip = torch.rand(1, 3, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(clip), theirs(clip))
    freeze_all_but(network, ['alignment'])
    network(clip).square().mean().backward()
    trained = {name for name, p in network.named_parameters() if p.grad is not None}
    assert trained == {f'alignment.{name}' for name, _ in network.alignment.named_parameters()}
    plain = build_network({**section, 'alignment': {'type': 'ImplicitAlignment'}})
    with pytest.raises(WeightsError, match=r'missing \(6\): alignment'):
        load_weights(plain, tmp_path / 'basicvsr.pth')
    with pytest.raises(OptionsError, match=r"got 'alignmnt'.*did you mean 'alignment'"):
        freeze_all_but(network, ['alignmnt'])


def test_compiled_parts_are_shared_by_all_frames_and_change_no_value():
    torch._dynamo.reset()
    plain, compiled = (fill(IABasicVSR(**SMALL), 'compiled') for _ in range(2))
    counted = CompileCounter()
    compile_network(compiled, backend=counted, fullgraph=True)
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    clip = torch.rand(1, 4, 3, 8, 8)
    expected, got = plain(clip), compiled(clip)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    expected.square().mean().backward()
    got.square().mean().backward()
    for (name, one), other in zip(plain.named_parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, atol=1e-5, rtol=1e-3, msg=name)
    # extractor, alignment, and each trunk once: no graph per frame
    assert counted.frame_count <= 4


def test_the_benchmark_of_compilation_times_the_options_of_a_run(tmp_path, monkeypatch):
    options = Path(__file__).parents[1] / 'options/small/IART_small.yml'
    (tmp_path / 'tiny.yml').write_text(
        f'base: {options}\nname: tiny\nnetwork_g: {{num_feat: 8, num_block: 1, num_heads: 2}}\n'
        'datasets: {train: {gt_size: 32, num_frame: 3, batch_size_per_gpu: 2}}\n'
    )
    figures = tmp_path / 'figures.json'
    few = ['--rounds', '1', '--backend', 'eager', '--device', 'cpu', '--json', str(figures)]
    monkeypatch.setattr('sys.argv', ['benchmark_compile.py', '-opt', str(tmp_path / 'tiny.yml'), *few])
    benchmark_compile.main()
    result = json.loads(figures.read_text())
    assert '2 × 3 frames, LR 8×8' in result['title']
    assert [row['variant'] for row in result['rows']] == ['as it is', 'network compiled', 'network and loss compiled']
