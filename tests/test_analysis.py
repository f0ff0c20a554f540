"""Frequency response, errors on known flow, attention over taps: against closed forms and by construction."""

import json

import numpy as np
import pytest
import torch
import yaml
from helpers.rebuilt import fill
from helpers.tiny import options

from iart.analysis import plots
from iart.analysis.cost import costs
from iart.analysis.frequency import KERNELS, exact, ideal_shift, measure, response
from iart.analysis.known_flow import Pair, alignment_error
from iart.analysis.tap_curves import tap_curves
from iart.analysis.trained import TrainedNetwork, distinct, inputs_of
from iart.archs.builder import build_network
from iart.cli import main
from iart.errors import UserError
from iart.ops.warp import flow_warp
from iart.registry import ALIGNMENT_REGISTRY, build

RECURRENT = {'type': 'IABasicVSR', 'num_feat': 8, 'num_block': 1, 'num_extract_block': 1, 'head': 'pixelshuffle'}
STUDY = {'type': 'AlignmentStudyNet', 'mid_channels': 4, 'embed_dim': 8, 'depths': [1], 'num_heads': [2]}
STUDY |= {'window_size': [4, 4]}
TRANSFORMER = {**STUDY, 'type': 'IART', 'window_size': [3, 4, 4]}


def align(name, **arguments):
    return build(ALIGNMENT_REGISTRY, {'type': name, **arguments}, channels=12, num_heads=3)


@pytest.mark.parametrize('name', KERNELS)
def test_closed_forms_are_the_mean_over_shifts(name):
    f = np.linspace(0.01, 0.5, 7)
    shifts = (np.arange(4000) + 0.5) / 4000
    relative = [response(name, f, d) * np.exp(-2j * np.pi * f * d) for d in shifts]
    curves = exact(name, f)
    np.testing.assert_allclose(np.mean(relative, 0).real, curves.gain, atol=1e-4)
    np.testing.assert_allclose(np.mean(np.abs(relative) ** 2, 0), curves.energy, atol=1e-4)
    np.testing.assert_allclose(np.mean(np.abs(np.array(relative) - 1) ** 2, 0), curves.error, atol=2e-4)


def test_published_values():
    assert [round(float(exact(name, np.array(0.5)).gain), 3) for name in KERNELS] == [0.637, 0.405, 0.493]
    assert [round(float(exact(name, np.array(0.5)).energy), 3) for name in KERNELS] == [1.0, 0.333, 0.486]
    quarter = [float(exact(name, np.array(0.25)).error) for name in KERNELS]
    np.testing.assert_allclose(quarter, [0.199, 0.046, 0.0004], atol=6e-4)
    assert exact('bicubic', np.zeros(1)).gain == pytest.approx(1, abs=1e-3)


def test_ideal_shift_by_whole_pixels_rolls():
    feature = torch.rand(1, 2, 3, 16, dtype=torch.float64)
    torch.testing.assert_close(ideal_shift(feature, 3.0), feature.roll(-3, -1))


@pytest.mark.parametrize(('axis', 'size'), [('x', (24, 256)), ('y', (256, 24))])
@pytest.mark.parametrize('name', KERNELS)
def test_measured_curves_of_fixed_kernels_are_the_exact_ones(name, axis, size):
    torch.manual_seed(0)
    warp = align('FlowWarpAlignment', resampling=name, padding='border')
    measured = measure(warp, torch.randn(1, 12, *size), axis=axis, shifts=8)
    curves = exact(name, measured.f)
    assert np.abs(measured.energy - curves.energy)[:-2].max() < 0.06
    assert np.abs(measured.error - curves.error)[:-2].max() < 0.12


def test_axes_are_told_apart():
    """A warp that ignores the y of its flow shifts along x only."""
    torch.manual_seed(0)

    def along_x(source, current, flow):
        return flow_warp(source, flow * torch.tensor([1.0, 0.0]).view(1, 2, 1, 1), padding='border')

    feature = torch.randn(1, 4, 32, 32)
    assert measure(along_x, feature, axis='y', shifts=2).energy == pytest.approx(1)
    assert measure(along_x, feature, axis='x', shifts=2).energy[-2] < 0.8


def test_errors_are_sorted_by_phase_and_distance():
    """Offsets of 0 and ½, a hidden column, and an error planted beside it."""
    current = torch.randn(1, 3, 8, 32, generator=torch.Generator().manual_seed(0))
    source, flow = current.clone(), torch.zeros(1, 2, 8, 32)
    flow[..., 16:] = 0.5
    hidden = np.zeros((8, 32), bool)
    hidden[:, 0] = True
    source[..., 1] += 10
    error = alignment_error(align('NoAlignment'), [Pair(source, current, flow, hidden, current)])
    assert error.visible > 1
    assert error.hidden == 0
    assert error.by_distance[0] > 10
    assert error.by_distance[1:].max() == 0
    assert error.by_phase[-1] == 0
    assert np.isnan(error.by_phase[1:-1]).all()


def test_taps_follow_the_offset():
    torch.manual_seed(0)
    implicit = fill(align('ImplicitAlignment', window=3), 'taps')
    curves = tap_curves(implicit, torch.rand(2, 12, 12, 12), torch.rand(2, 12, 12, 12))
    assert curves.attention.shape == (len(curves.offsets), 3, 9)
    assert curves.spread.shape == (len(curves.offsets), 2, 9)
    mean = curves.attention.mean(1)
    assert (curves.spread[:, 0] < curves.spread[:, 1]).all()
    assert ((curves.spread[:, 0] < mean) & (mean < curves.spread[:, 1])).all()
    np.testing.assert_allclose(curves.attention.sum(2), 1, atol=1e-5)
    np.testing.assert_allclose(curves.bilinear.sum(1), 1, atol=1e-6)
    assert plots.taps(curves).axes[4].lines


def test_costs_count_parameters_and_memory():
    measured = costs(
        [('warp', {'type': 'FlowWarpAlignment'}), ('fgda', {'type': 'DeformableAttentionAlignment'})],
        torch.device('cpu'),
        channels=12,
        num_heads=3,
        size=(12, 12),
        repeats=1,
    )
    assert measured[0].parameters == 0
    assert measured[1].megabytes > 2 * measured[0].megabytes


def test_the_command_writes_figures_and_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr('iart.commands.analyze._ROWS', ('bilinear', 'implicit'))
    torch.save({'params': fill(build_network(RECURRENT), 'trained').state_dict()}, tmp_path / 'small.pth')
    arguments = ['--output', str(tmp_path / 'out'), '--clips', '1', '--folder', str(tmp_path / 'rendered')]
    main(['analyze', *arguments, '--weights', str(tmp_path / 'small.pth')])
    facts = json.loads((tmp_path / 'out' / 'analysis.json').read_text())
    visible = {name: error['visible'] for name, error in facts['known_flow'].items()}
    assert visible['bicubic, image'] < visible['none, image']
    assert 'Error on known flow' in (tmp_path / 'out' / 'index.html').read_text()
    assert facts['taps'].keys() == facts['frequency'].keys() == {'small'}
    assert facts['known_flow']['small']['visible'] > 0
    names = {path.name for path in (tmp_path / 'out').iterdir()}
    assert names >= {
        f'{name}.{kind}'
        for name in ('frequency', 'shifts', 'known_flow', 'cost', 'taps_small')
        for kind in plots.FORMATS
    }


def test_weights_of_another_network_are_refused(tmp_path, capsys):
    torch.save({'params': {'a': torch.zeros(1)}}, tmp_path / 'a.pth')
    arguments = [
        'analyze',
        '--weights',
        str(tmp_path / 'a.pth'),
        '--clips',
        '1',
        '--folder',
        str(tmp_path / 'rendered'),
    ]
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert 'got weights of an unknown network, expected AlignmentStudyNet, IABasicVSR' in capsys.readouterr().err


def trained(section, path):
    # The type of the alignment and its order are not recognized by shapes: stored like the options of a run.
    (path / 'models').mkdir()
    torch.save({'params': fill(build_network(section), 'trained').state_dict()}, path / 'models' / 'net_g_1.pth')
    (path / 'options.yml').write_text(yaml.safe_dump(options(path, network_g=section)))
    return TrainedNetwork(path / 'models' / 'net_g_1.pth')


@pytest.mark.parametrize('section', [RECURRENT, TRANSFORMER, STUDY], ids=lambda section: section['type'])
@pytest.mark.parametrize('alignment', ['ImplicitAlignment', 'FlowWarpAlignment'])
def test_alignments_get_what_one_frame_gives(tmp_path, section, alignment):
    """Source and current feature depend on their own frame, and are those of the network."""
    section = {**section, 'alignment': {'type': alignment}, 'flow': {'type': 'zero'}}
    loaded = trained(section, tmp_path)
    assert loaded.label == tmp_path.name
    frames = torch.rand(2, 3, 64, 64)
    inputs = inputs_of(loaded.network, list(frames))
    assert inputs.source.shape == inputs.current.shape == (2, 8, 64, 64)
    alone = inputs_of(loaded.network, [frames[1]])
    torch.testing.assert_close(alone.source, inputs.source[1:], atol=1e-5, rtol=1e-5)
    network = loaded.network
    with torch.no_grad():
        if section['type'] == 'IABasicVSR':
            current = network.extractor(frames)
            source = network.backward_trunk(torch.cat([frames, torch.zeros_like(current)], 1))
        elif section['type'] == 'IART':
            current = network.first_feature(frames)
            source = network.swin_backbone['backward_1'](torch.stack([current] * 3, dim=1))
        else:
            current = source = network.swin_backbone_1(network.conv_first(frames).unsqueeze(1))
    torch.testing.assert_close(inputs.current, current, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(inputs.source, source, atol=1e-5, rtol=1e-5)
    assert 'prepare' not in vars(loaded.align), 'the network is as before'
    assert list(distinct([loaded] * 2)) == [loaded.label, f'{loaded.label}_2']


def test_an_alignment_of_two_neighbors_is_refused(tmp_path):
    joint = {'type': 'DeformableConvAlignment', 'order': 2}
    section = {**TRANSFORMER, 'window_size': [2, 4, 4], 'alignment': joint, 'flow': {'type': 'zero'}}
    with pytest.raises(UserError, match='takes both neighbors at once'):
        trained(section, tmp_path)
