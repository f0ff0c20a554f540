"""Everything that can be wrong with data: exit code 2, a message that names the file, and no half-written target."""

import os
import resource
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers.prepared_clips import snapshot, texture, write_benchmark, write_gt
from PIL import Image

from iart import cli
from iart.image import encode_png

MAKERS = {'degrade': ('degrade', '--kind', 'BI'), 'lmdb': ('lmdb',)}


@pytest.fixture
def gt(tmp_path):
    return write_gt(tmp_path / 'data' / 'GT', {'000': 5, '001': 5})


def run(capsys, *arguments):
    """Exit code and standard error of ``iart data ...``."""
    with pytest.raises(SystemExit) as stop:
        cli.main(['data', *map(str, arguments)])
    return stop.value.code, capsys.readouterr().err


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_tail(path):
    path.write_bytes(path.read_bytes()[:-30])


def empty(path):
    path.write_bytes(b'')


def rgba(path):
    Image.fromarray(np.dstack([texture(0, 0), texture(0, 0)[..., 0]])).save(path)


def sixteen_bits(path):
    Image.fromarray(texture(0, 0)[..., 0].astype(np.uint16) * 255).save(path)


def jpeg_named_png(path):
    Image.fromarray(texture(0, 0)).save(path, 'jpeg')


def jpeg_among(path):
    Image.fromarray(texture(0, 0)).save(path.with_suffix('.jpg'))
    path.unlink()


def other_size(path):
    path.write_bytes(encode_png(texture(0, 0, (48, 64))))


def link_to_itself(path):
    path.unlink()
    path.symlink_to(path.name)


SPOILERS = {
    truncate: 'cut short',
    cut_tail: 'cut short',
    empty: 'empty',
    rgba: 'alpha',
    sixteen_bits: '16 bits',
    jpeg_named_png: 'JPEG',
    jpeg_among: 'jpg',
    other_size: '64x48, expected 128x96',
    Path.unlink: 'missing',
    link_to_itself: 'symbolic links',
}


@pytest.mark.parametrize('maker', MAKERS)
@pytest.mark.parametrize('spoil', SPOILERS, ids=lambda s: s.__name__)
def test_spoiled_frame(gt, tmp_path, capsys, spoil, maker):
    path = gt / '001' / '00000002.png'
    spoil(path)
    target = tmp_path / 'out' / 'made.lmdb'
    code, output = run(capsys, MAKERS[maker][0], gt, target, *MAKERS[maker][1:])
    assert code == 2
    assert str(path.with_suffix('')) in output
    assert SPOILERS[spoil] in output
    assert not target.exists()


@pytest.mark.parametrize('spoil', [s for s in SPOILERS if s is not Path.unlink], ids=lambda s: s.__name__)
def test_check_names_the_frame(gt, tmp_path, capsys, spoil):
    data = write_benchmark(tmp_path / 'data', {'000': 5, '001': 5})
    spoil(gt / '001' / '00000002.png')
    with pytest.raises(SystemExit) as stop:
        cli.main(['data', 'check', str(data), '--deep'])
    output = capsys.readouterr().out
    assert stop.value.code == 1
    assert str(gt / '001' / '00000002') in output or '00000002' in output


def pairs(tmp_path):
    """A benchmark and the arguments that check it."""
    return write_benchmark(tmp_path / 'data', {'000': 5, '001': 5})


@pytest.mark.parametrize(
    ('spoil', 'words'),
    [
        (lambda d: (d / 'BIx4/001/00000002.png').unlink(), ['001', '00000002.png', '4 LR and 5 GT']),
        (lambda d: (d / 'GT/001/00000004.png').unlink(), ['001', '00000004.png']),
        (lambda d: shutil.rmtree(d / 'GT/000'), ['000', 'no frames', 'GT']),
        (
            lambda d: [p.write_bytes(encode_png(texture(0, 0, (98, 130)))) for p in (d / 'GT/000').iterdir()],
            ['130x98', '128x96', '000'],
        ),
    ],
    ids=['missing-lr', 'unequal-length', 'missing-clip', 'no-multiple-of-the-scale'],
)
@pytest.mark.parametrize('how', ['check', 'test'])
def test_pairs_that_do_not_fit(tmp_path, capsys, spoil, words, how):
    data = pairs(tmp_path)
    spoil(data)
    if how == 'check':
        with pytest.raises(SystemExit) as stop:
            cli.main(['data', 'check', str(data)])
        output, expected = capsys.readouterr().out, 1
    else:
        yml = tmp_path / 'x.yml'
        yml.write_text(
            f'name: x\nnetwork_g: {{type: BasicVSR, num_feat: 4, num_block: 1}}\npath: '
            f'{{results_root: {tmp_path}/results}}\ndatasets:\n'
            f'  test: {{type: VideoRecurrentTestDataset, dataroot_gt: {data}/GT, dataroot_lq: {data}/BIx4}}\n'
        )
        with pytest.raises(SystemExit) as stop:
            cli.main(['test', '-opt', str(yml), '--device', 'cpu', '--baseline', 'bicubic'])
        output, expected = capsys.readouterr().err, 2
    assert stop.value.code == expected, output
    assert [word for word in words if word not in output] == []


def test_lr_folder_of_another_clip(tmp_path, capsys):
    data = pairs(tmp_path)
    (data / 'BIx4' / '000').rename(data / 'BIx4' / '007')
    with pytest.raises(SystemExit) as stop:
        cli.main(['data', 'check', str(data)])
    assert stop.value.code == 1
    output = capsys.readouterr().out
    assert 'clip 000: no frames in' in output
    assert 'clip 007: no frames in' in output


@pytest.mark.parametrize('what', ['no-meta', 'cut', 'cut-to-nothing', 'garbage', 'broken-meta'])
def test_lmdb_that_is_not_whole(gt, tmp_path, capsys, what):
    target = tmp_path / 'gt.lmdb'
    cli.main(['data', 'lmdb', str(gt), str(target)])
    meta, stored = target / 'meta_info.txt', target / 'data.mdb'
    if what == 'no-meta':
        meta.unlink()
    elif what == 'broken-meta':
        meta.write_text('000/00000000.png\n')
    else:
        size = {'cut': stored.stat().st_size // 2, 'cut-to-nothing': 100}.get(what)
        stored.write_bytes(stored.read_bytes()[:size] if size else b'x' * 200_000)
    code, output = run(capsys, 'info', target)
    assert code == 2
    assert str(target) in output


def test_unreadable_folder(gt, tmp_path, capsys):
    folder = gt / '001'
    folder.chmod(0)
    try:
        if os.access(folder, os.R_OK):
            pytest.skip('this user may read everything (root): permissions do not bind')
        for maker in MAKERS.values():
            code, output = run(capsys, maker[0], gt, tmp_path / 'made.lmdb', *maker[1:])
            assert (code, str(folder) in output, 'Permission denied' in output) == (2, True, True)
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize('maker', MAKERS)
def test_unreadable_folder_pretended(gt, tmp_path, capsys, monkeypatch, maker):
    """The same for users whom permissions do not bind."""
    real = os.scandir

    def scandir(path='.'):
        if os.fspath(path).endswith('001'):
            raise PermissionError(13, 'Permission denied', os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, 'scandir', scandir)
    code, output = run(capsys, MAKERS[maker][0], gt, tmp_path / 'made.lmdb', *MAKERS[maker][1:])
    assert (code, str(gt / '001') in output, 'Permission denied' in output) == (2, True, True)
    assert not (tmp_path / 'made.lmdb').exists()


@pytest.mark.parametrize('maker', MAKERS)
def test_folder_of_links_in_a_loop(gt, tmp_path, capsys, maker):
    (gt / '002').symlink_to('002')
    code, output = run(capsys, MAKERS[maker][0], gt, tmp_path / 'made.lmdb', *MAKERS[maker][1:])
    assert (code, str(gt / '002') in output) == (2, True)
    (gt / '002').unlink()


def test_link_to_a_folder_above(gt, tmp_path, capsys):
    (gt / '001' / 'deeper').symlink_to(gt, target_is_directory=True)
    code, output = run(capsys, 'degrade', gt, tmp_path / 'lr', '--kind', 'BI')
    assert (code, 'leads back' in output, str(gt / '001' / 'deeper') in output) == (2, True, True)


@pytest.mark.parametrize(('maker', 'limit'), [('degrade', 500), ('lmdb', 100_000)])
def test_disk_full(gt, tmp_path, capsys, maker, limit):
    """A limit on the size of files replaces a full disk."""
    target = tmp_path / 'made.lmdb'
    arguments = [MAKERS[maker][0], str(gt), str(target), *MAKERS[maker][1:]]
    stored = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, stored[1]))
    try:
        code, output = run(capsys, *arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, stored)
    assert (code, str(target) in output, 'cannot be written' in output) == (2, True, True), output
    assert not target.exists()
    cli.main(['data', *arguments])  # with enough space it continues
    assert target.is_dir()


def test_two_runs_at_once(gt, tmp_path, capsys, monkeypatch):
    """The second is sent away, the first finishes untouched."""
    from iart.preparing import degrade as degrading

    begun, go_on, real = threading.Event(), threading.Event(), degrading.degrade_uint8

    def wait(*arguments):
        begun.set()
        go_on.wait(30)
        return real(*arguments)

    monkeypatch.setattr(degrading, 'degrade_uint8', wait)
    first = threading.Thread(target=degrading.degrade_data, args=(gt, tmp_path / 'lr'), kwargs={'kind': 'BI'})
    first.start()
    assert begun.wait(30)
    code, output = run(capsys, 'degrade', gt, tmp_path / 'lr', '--kind', 'BI')
    go_on.set()
    first.join()
    assert (code, str(tmp_path / 'lr') in output, 'another run' in output) == (2, True, True)
    assert len(snapshot(tmp_path / 'lr')) == 10
    assert sorted(p.name for p in tmp_path.iterdir()) == ['data', 'lr']


@pytest.mark.parametrize('maker', MAKERS)
def test_names_with_spaces_and_other_letters(tmp_path, maker):
    """Not bad at all."""
    gt = write_gt(tmp_path / 'ein Ordner', {'Straße 1': 2, '東京 (2)': 2}, names='Frame {:03d}')
    target = tmp_path / 'fertig ü.lmdb'
    cli.main(['data', MAKERS[maker][0], str(gt), str(target), *MAKERS[maker][1:]])
    assert target.is_dir()


@pytest.mark.parametrize('maker', MAKERS)
def test_nothing_there(tmp_path, capsys, maker):
    for source in (tmp_path / 'nowhere', tmp_path / 'empty'):
        (tmp_path / 'empty').mkdir(exist_ok=True)
        code, output = run(capsys, MAKERS[maker][0], source, tmp_path / 'made.lmdb', *MAKERS[maker][1:])
        assert (code, str(source) in output) == (2, True)
    assert not (tmp_path / 'made.lmdb').exists()
