"""Weight files: every name is accounted for, nothing is executed, nothing is half loaded."""

import json
import pickle

import pytest
import torch
from helpers.rebuilt import fill
from safetensors.torch import save_file
from torch import nn

import iart
from iart.archs.conversion import convert
from iart.archs.iart_arch import IART
from iart.errors import WeightsError
from iart.weights import released_state_dict, stored_options

SMALL = {'mid_channels': 8, 'embed_dim': 8, 'depths': [1], 'num_heads': [2], 'window_size': (3, 4, 4)}


def small(tag: str) -> IART:
    return fill(IART(**SMALL), tag)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.fixture(scope='module')
def source():
    return small('source')


@pytest.mark.parametrize('layout', ['params', 'params_ema', 'bare', 'module', 'safetensors', 'without tables'])
def test_every_layout_loads(source, tmp_path, layout):
    state, key, path = released_state_dict(source), 'params', tmp_path / 'w.pth'
    if layout == 'params':
        torch.save({'params': state}, path)
    elif layout == 'params_ema':
        key = 'params_ema'
        torch.save({'params': {n: t * 0 for n, t in state.items()}, 'params_ema': state}, path)
    elif layout == 'bare':
        torch.save(state, path)
    elif layout == 'module':
        torch.save({'params': {f'module.{n}': t for n, t in state.items()}}, path)
    elif layout == 'safetensors':
        path = path.with_suffix('.safetensors')
        save_file(state, path)
    else:
        torch.save({'params': source.state_dict()}, path)
    target = small('target')
    iart.load_weights(target, path, key)
    assert same(target, source)


def test_released_names_and_shapes_are_all_known(shared, tmp_path):
    listed = json.loads((shared / 'parity' / 'checkpoint_layout_IART_REDS.json').read_text())
    dtypes = {'float32': torch.float32, 'int64': torch.int64}
    state = {name: torch.zeros(entry['shape'], dtype=dtypes[entry['dtype']]) for name, entry in listed.items()}
    torch.save({'params': state}, tmp_path / 'released.pth')
    network = IART()
    iart.load_weights(network, tmp_path / 'released.pth')
    written = released_state_dict(network)
    assert set(written) == set(listed)
    assert all(
        list(written[n].shape) == e['shape'] and written[n].dtype == dtypes[e['dtype']] for n, e in listed.items()
    )
    used = {n for n, e in listed.items() if e['kind'] == 'parameter' and e.get('used', True)}
    assert {n for n, _ in network.named_parameters()} == used


def test_names_that_do_not_fit_are_listed_and_nothing_is_loaded(source, tmp_path):
    state = source.state_dict()
    del state['conv_hr.weight']
    state['conv_hr.wait'] = torch.zeros(1)
    state['conv_last.bias'] = torch.zeros(5)
    torch.save({'params': state}, tmp_path / 'w.pth')
    target, before = small('target'), small('target')
    with pytest.raises(
        WeightsError,
        match=(
            r'(?s)missing \(1\): conv_hr\.weight.*unexpected \(1\): conv_hr\.wait.*conv_last\.bias is \[5\], '
            r'expected \[3\]'
        ),
    ):
        iart.load_weights(target, tmp_path / 'w.pth')
    assert same(target, before)


def test_not_strict_lists_what_it_skips(source, tmp_path, caplog, monkeypatch):
    state = source.state_dict()
    del state['conv_hr.weight']
    torch.save({'params': state}, tmp_path / 'w.pth')
    target = small('target')
    monkeypatch.setattr('iart.log.logger.propagate', True)
    iart.load_weights(target, tmp_path / 'w.pth', strict=False)
    assert 'conv_hr.weight' in caplog.text
    assert torch.equal(target.conv_last.weight, source.conv_last.weight)


class _Payload:
    """Would leave a mark if it were unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return open, (self.mark, 'w')


def test_pickled_code_is_refused_before_it_runs(source, tmp_path):
    mark, path = tmp_path / 'mark', tmp_path / 'w.pth'
    torch.save({'params': source.state_dict(), 'more': _Payload(mark)}, path)
    with pytest.raises(WeightsError, match='holds something other than tensors'):
        iart.load_weights(small('target'), path)
    assert not mark.exists()


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 cut', pickle.dumps([1, 2])])
@pytest.mark.parametrize('name', ['w.pth', 'w.safetensors'])
def test_damaged_files_are_named(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=name):
        iart.load_weights(small('target'), path)


def test_a_missing_file_names_the_remedy(tmp_path):
    with pytest.raises(WeightsError, match=r'does not exist.*iart weights'):
        iart.load_weights(small('target'), tmp_path / 'none.pth')


def test_conversion_there_and_back(source, tmp_path):
    section = {'type': 'IART', **SMALL, 'window_size': [3, 4, 4]}
    options = tmp_path / 'o.yml'
    options.write_text(json.dumps({'name': 'o', 'network_g': section}))
    torch.save({'params': source.state_dict()}, tmp_path / 'ours.pth')
    convert(tmp_path / 'ours.pth', tmp_path / 'w.safetensors', options_file=options)
    assert stored_options(tmp_path / 'w.safetensors')['embed_dim'] == 8
    convert(tmp_path / 'w.safetensors', tmp_path / 'released.pth')
    released = torch.load(tmp_path / 'released.pth', weights_only=True)['params']
    assert 'swin_backbone.forward_2.conv_first_feat.weight' in released
    assert 'implicit_warp.window_idx_offset' in released
    target = small('target')
    iart.load_weights(target, tmp_path / 'released.pth')
    assert same(target, source)


def test_half_written_files_do_not_appear(tmp_path, source, monkeypatch):
    from iart import weights

    def fail(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(torch, 'save', fail)
    with pytest.raises(OSError, match='No space'):
        weights.write_weights(tmp_path / 'w.pth', source, {'type': 'IART'})
    assert list(tmp_path.iterdir()) == []


def test_half_precision_halves_the_file_and_comes_back_as_float32(tmp_path, source):
    from iart.weights import read_weights, write_weights

    for name, half in (('whole', False), ('half', True)):
        write_weights(tmp_path / f'{name}.safetensors', source, {'type': 'IART', **SMALL}, half=half)
    assert (tmp_path / 'half.safetensors').stat().st_size < 0.6 * (tmp_path / 'whole.safetensors').stat().st_size
    assert {t.dtype for t in read_weights(tmp_path / 'half.safetensors').values() if t.is_floating_point()} == {
        torch.half
    }
    target = small('target')
    iart.load_weights(target, tmp_path / 'half.safetensors')
    for got, expected in zip(target.parameters(), source.parameters(), strict=True):
        assert got.dtype == torch.float32
        assert torch.equal(got, expected.half().float())


def test_metadata_of_the_modelspec_standard(tmp_path, source):
    from safetensors import safe_open

    from iart.weights import write_weights

    about = {'title': 'A title', 'license': 'Apache-2.0'}
    write_weights(tmp_path / 'w.safetensors', source, {'type': 'IART'}, about=about)
    with safe_open(tmp_path / 'w.safetensors', 'pt') as file:
        metadata = file.metadata()
    assert metadata['modelspec.title'] == 'A title'
    assert metadata['modelspec.license'] == 'Apache-2.0'
    assert metadata['modelspec.architecture'] == 'IART'
    assert metadata['modelspec.sai_model_spec'] == '1.0.0'
    with pytest.raises(WeightsError, match='safetensors'):
        write_weights(tmp_path / 'w.pth', source, {'type': 'IART'}, about=about)
