"""The layout of model hubs: written by ``iart convert --hub``, read by ``iart.from_pretrained``."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from helpers import tiny
from helpers.rebuilt import fill
from safetensors import safe_open

import iart
from iart.archs.builder import build_network
from iart.archs.conversion import convert
from iart.errors import DataError, UserError, WeightsError
from iart.weights import write_weights

SECTION = {**tiny.NETWORK, 'flow': {'type': 'zero'}, 'scale': 2}


@pytest.fixture(scope='module')
def network():
    return fill(build_network(SECTION), 'hub').eval()


@pytest.fixture
def folder(network, tmp_path):
    write_weights(tmp_path / 'w.safetensors', network, SECTION)
    sets = [{'label': 'Vid4-BI', 'total': {'psnr': 27.5, 'ssim': None}}]
    (tmp_path / 'report.json').write_text(json.dumps({'sets': sets}))
    about = {'license': 'Apache-2.0', 'description': 'A small one.'}
    convert(tmp_path / 'w.safetensors', tmp_path / 'small', hub=True, report=tmp_path, about=about)
    return tmp_path / 'small'


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_folder_holds_config_weights_and_card_and_loads(network, folder):
    assert {p.name for p in folder.iterdir()} == {'config.json', 'model.safetensors', 'README.md'}
    config = json.loads((folder / 'config.json').read_text())
    assert (config['architectures'], config['scale'], config['network_g']) == (['IART'], 2, SECTION)
    with safe_open(folder / 'model.safetensors', 'pt') as file:
        assert file.metadata()['modelspec.architecture'] == 'IART'
        assert file.metadata()['modelspec.title'] == 'small'
    card = (folder / 'README.md').read_text()
    assert card.startswith('---\nlibrary_name: iart\n')
    assert 'license: "apache-2.0"' in card
    assert '| Vid4-BI | 27.5000 | – |' in card
    loaded = iart.from_pretrained(folder)
    assert not loaded.training
    assert same(loaded, network)
    assert same(iart.from_pretrained(folder / 'model.safetensors'), network)


def test_a_name_on_a_hub_is_fetched(network, folder, monkeypatch):
    asked = []

    def snapshot_download(name, allow_patterns):
        asked.append(name)
        return str(folder)

    monkeypatch.setitem(sys.modules, 'huggingface_hub', SimpleNamespace(snapshot_download=snapshot_download))
    assert same(iart.from_pretrained('someone/small'), network)
    assert asked == ['someone/small']


def test_offline_and_not_installed_are_named(monkeypatch):
    def unreachable(name, allow_patterns):
        raise ConnectionError('Name or service not known')

    monkeypatch.setitem(sys.modules, 'huggingface_hub', SimpleNamespace(snapshot_download=unreachable))
    with pytest.raises(WeightsError, match=r'someone/small is no file .*ConnectionError: Name or service not known'):
        iart.from_pretrained('someone/small')
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(WeightsError, match='pip install huggingface_hub'):
        iart.from_pretrained('someone/small')
    with pytest.raises(UserError, match=r"got neither a file nor a name 'basicvsr-red'.*did you mean"):
        iart.from_pretrained('basicvsr-red')


def test_folders_that_do_not_fit_are_named(folder, tmp_path):
    with pytest.raises(WeightsError, match=r'is a folder without model\.safetensors'):
        iart.from_pretrained(tmp_path)
    (folder / 'config.json').write_text('{}')
    with pytest.raises(WeightsError, match=r'config\.json has no section network_g'):
        iart.from_pretrained(folder)
    (tmp_path / 'report.json').write_text('[]')
    with pytest.raises(UserError, match=r'--report: .*got another file'):
        convert(tmp_path / 'w.safetensors', tmp_path / 'again', hub=True, report=tmp_path)
    assert not (tmp_path / 'again').exists()
    with pytest.raises(DataError, match=r'w\.safetensors/hub: cannot be written'):
        convert(folder / 'model.safetensors', tmp_path / 'w.safetensors' / 'hub', hub=True)
