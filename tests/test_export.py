"""Graphs of a network: their parts make the whole, and what ONNX Runtime makes of them is what torch does."""

import json

import pytest
import torch
from helpers import tiny
from helpers.rebuilt import fill

from iart.archs.builder import build_network
from iart.cli import main
from iart.errors import DataError, SettingError, UserError
from iart.export import onnx_graphs
from iart.export.exported_network import ExportedNetwork
from iart.export.flow_graphs import AnySizeFlowGraph, FlowGraph
from iart.export.graph_folder import ExportOptions, export
from iart.export.graphs import ClipGraphs, WindowGraph
from iart.export.programs import load_program, takes_any_size, write_program
from iart.export.runtime_checks import TOLERANCES
from iart.export.samples import sample
from iart.weights import write_weights

IART = {**tiny.NETWORK, 'propagation': {'passes': ['backward_1', 'forward_1']}}
BASICVSR = {'type': 'IABasicVSR', 'num_feat': 8, 'num_block': 1, 'num_extract_block': 1, 'num_heads': 2}
SECTIONS = {
    'IART': IART,
    'first order, causal': {
        **IART,
        'propagation': {'order': 1, 'passes': ['forward_1', 'forward_2']},
        'window_size': [2, 4, 4],
    },
    'IABasicVSR': BASICVSR,
    'BasicVSR': {**BASICVSR, 'num_extract_block': 0, 'alignment': {'type': 'FlowWarpAlignment'}, 'scale': 2},
}


def weights_of(section, folder):
    network = fill(build_network(section), 'export').eval()
    write_weights(folder / 'w.safetensors', network, section)
    return network, folder / 'w.safetensors'


@torch.no_grad()
@pytest.mark.parametrize('section', SECTIONS.values(), ids=SECTIONS)
def test_the_graphs_make_up_the_network(section):
    network = fill(build_network(section), 'export').eval()
    clip, graphs = torch.rand(1, 4, 3, 20, 24), ClipGraphs(network)
    expected = network(clip)
    torch.testing.assert_close(torch.stack(graphs.restore(clip.unbind(1)), 1), expected, atol=2e-5, rtol=0)
    flat = WindowGraph(graphs, 4)(clip.flatten(1, 2))
    torch.testing.assert_close(flat, expected.flatten(1, 2), atol=2e-5, rtol=0)
    middle = WindowGraph(graphs, 4, middle=True, five=True)(clip)
    torch.testing.assert_close(middle, expected[:, 2], atol=2e-5, rtol=0)


@pytest.mark.parametrize('size', [(64, 64), (70, 101)], ids=str)
@torch.no_grad()
def test_flow_for_any_size_is_the_networks_flow(size):
    network = fill(build_network(BASICVSR), 'export').eval()
    frames = torch.rand(2, 1, 3, *size)
    expected = FlowGraph(network)(*frames)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(AnySizeFlowGraph(network)(*frames), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(not takes_any_size(), reason='torch.export of this torch has no deferred assertions')
@torch.no_grad()
def test_a_program_of_a_step_with_shifted_windows_takes_any_size(tmp_path):
    network = fill(build_network({**IART, 'depths': [2]}), 'export').eval()
    step = ClipGraphs(network).parts()['step_forward_1'].eval()
    write_program(tmp_path / 'step.pt2', step, sample(step, (67, 74), 8, torch.float32, seed=0), True)
    _, program = load_program(tmp_path / 'step.pt2')
    # windows are 4×4: neither side needs padding, height does, width does, both do
    for size in ((64, 72), (65, 72), (64, 67), (69, 83)):
        inputs = sample(step, size, 8, torch.float32, seed=1)
        torch.testing.assert_close(program(inputs), step(*inputs), atol=1e-5, rtol=1e-5)
    with pytest.raises(DataError, match=r'step\.pt2: got inputs of shapes .*\(1, 8, 32, 48\).*expected'):
        program(sample(step, (32, 48), 8, torch.float32, seed=1))
    frame = sample(step, (64, 72), 8, torch.float32, seed=1)[0]
    with pytest.raises(DataError, match=r'step\.pt2: got inputs of shapes'):
        program([frame, *sample(step, (72, 72), 8, torch.float32, seed=1)[1:]])


@pytest.mark.skipif(not takes_any_size(), reason='torch.export of this torch has no deferred assertions')
@torch.no_grad()
def test_onnx_runtime_alone_restores_clips_of_any_size_as_torch_does(tmp_path):
    for package in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(package, reason=f'{package} is not installed (extra [export])')
    from run_onnx import Graphs

    network, file = weights_of({**BASICVSR, 'flow': {'type': 'zero'}}, tmp_path)
    rows = export(file, tmp_path / 'graphs', ExportOptions(size=None))
    assert {row.graph for row in rows} == {'flow', 'step_backward', 'step_forward', 'reconstruct'}
    assert len({row.size for row in rows}) == 2
    assert max(row.difference for row in rows) <= 1e-4
    clip = torch.rand(12, 3, 66, 73)
    graphs = Graphs(tmp_path / 'graphs')
    expected = network(clip[None])[0]  # of random weights: values up to 7
    assert (torch.from_numpy(graphs.restore(clip.numpy())) - expected).abs().max() <= 1e-4 * expected.abs().max()
    with pytest.raises(SystemExit, match='got frames of 48×32, expected 64 pixels a side or more'):
        graphs.restore(clip[:, :, :32, :48].numpy())
    exported = ExportedNetwork(tmp_path / 'graphs')
    assert (exported(clip[None, :2])[0] - network(clip[None, :2])[0]).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.skipif(not takes_any_size(), reason='torch.export of this torch has no deferred assertions')
@torch.no_grad()
def test_a_window_of_any_size_in_onnx_runtime(tmp_path):
    for package in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(package, reason=f'{package} is not installed (extra [export])')
    causal = {**SECTIONS['BasicVSR'], 'flow': {'type': 'zero'}, 'propagation': {'passes': ['forward']}}
    network, file = weights_of(causal, tmp_path)
    rows = export(file, tmp_path / 'graphs', ExportOptions(size=None, window=2))
    assert [(row.graph, row.size) for row in rows] == [('window', (64, 96)), ('window', (83, 69))]
    _, window = onnx_graphs.load_onnx(tmp_path / 'graphs' / 'window.onnx', ('frames',))
    clip = torch.rand(1, 2, 3, 66, 73)
    expected = network(clip).flatten(1, 2)
    assert (window([clip.flatten(1, 2)]) - expected).abs().max() <= 1e-4 * expected.abs().max()
    with pytest.raises(UserError, match='got one graph of 2 frames, expected graphs of steps'):
        ExportedNetwork(tmp_path / 'graphs')


@pytest.mark.skipif(not takes_any_size(), reason='torch.export of this torch has no deferred assertions')
@torch.no_grad()
def test_a_graph_that_differs_is_not_kept(tmp_path, monkeypatch):
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed (extra [export])')
    pytest.importorskip('onnxscript', reason='onnxscript is not installed (extra [export])')
    _, file = weights_of(BASICVSR, tmp_path)
    monkeypatch.setitem(TOLERANCES, 'fp32', -1.0)
    with pytest.raises(UserError, match=r'flow at 20×16 differs by .* from torch in ONNX Runtime'):
        export(file, tmp_path / 'graphs', ExportOptions(size=(16, 20)))
    assert [path.name for path in tmp_path.iterdir()] == ['w.safetensors']


def test_programs_of_torch_export(tmp_path):
    network, file = weights_of({**BASICVSR, 'flow': {'type': 'zero'}}, tmp_path)
    rows = export(file, tmp_path / 'programs', ExportOptions(format='pt2', size=(16, 20)))
    assert max(row.difference for row in rows) <= 1e-6
    assert {row.size for row in rows} == {(16, 20), (20, 28)}
    assert {path.name for path in (tmp_path / 'programs').iterdir()} == {
        'flow.pt2',
        'step_backward.pt2',
        'step_forward.pt2',
        'reconstruct.pt2',
        'graphs.json',
    }
    facts = json.loads((tmp_path / 'programs' / 'graphs.json').read_text())
    assert facts['passes'] == ['backward', 'forward']
    assert facts['graphs']['step_forward']['inputs'] == ['frame', 'source1', 'flow', 'has1']
    stored = torch.export.load(tmp_path / 'programs' / 'reconstruct.pt2').state_dict
    assert {name.split('.')[1] for name in stored} == {'fusion', 'upconv1', 'upconv2', 'conv_hr', 'conv_last'}
    exported, clip = ExportedNetwork(tmp_path / 'programs'), torch.rand(1, 3, 3, 16, 20)
    with torch.no_grad():
        torch.testing.assert_close(exported(clip), network(clip), atol=1e-5, rtol=1e-5)
    with pytest.raises(DataError, match='got frames of 20×24, expected 20×16, the exported size'):
        exported(torch.rand(1, 3, 3, 24, 20))
    with pytest.raises(DataError, match=r'got a clip of shape \(3, 3, 16, 20\), expected \(1, t, 3, h, w\)'):
        exported(clip[0])


def test_folders_and_files_that_are_no_exports_are_named(tmp_path):
    with pytest.raises(UserError, match=r'got no readable graphs\.json, expected a folder that  iart export  wrote'):
        ExportedNetwork(tmp_path)
    (tmp_path / 'flow.pt2').write_bytes(b'PK')
    with pytest.raises(UserError, match=r'flow\.pt2: torch\.export cannot read it .*expected a program'):
        load_program(tmp_path / 'flow.pt2')


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'size': (8, 320)}, 'size: got 320x8, expected 16 pixels a side or more'),
        ({'middle': True}, 'middle: got it without --window'),
        ({'window': 0}, 'window: got 0'),
    ],
)
def test_values_that_do_not_go_together_are_named(values, message):
    with pytest.raises(SettingError, match=message):
        ExportOptions(**values)


def test_a_missing_package_and_a_wrong_size_are_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(UserError, match=r'onnx, onnxscript, onnxruntime is not installed, expected  pip install'):
        onnx_graphs.require_onnx()
    with pytest.raises(SystemExit):
        main(['export', str(tmp_path / 'w.pth'), str(tmp_path / 'out'), '--size', '320'])
    assert "--size: got '320', expected WIDTHxHEIGHT" in capsys.readouterr().err
