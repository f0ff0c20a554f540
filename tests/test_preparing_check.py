"""``iart data check`` on right data and on data that are wrong in a known way."""

import json
import shutil

import numpy as np
import pytest
from helpers.prepared_clips import texture, write_benchmark, write_gt, write_lr

from iart import cli
from iart.ops.degradation import degrade_uint8
from iart.preparing.data_check import Depth, check_folder
from iart.preparing.frame_checks import choose
from iart.preparing.likeness import _blurred, estimate_shift, likeness

CLIPS = {'000': 5, '001': 5, '002': 4}


@pytest.fixture
def data(tmp_path):
    return write_benchmark(tmp_path, CLIPS)


def check(folder, **options):
    (report,) = check_folder(folder, protocol=options.pop('protocol', None), depth=Depth(**options))
    return report, {row.check: row for row in report.rows}


def failed(folder, **options):
    report, rows = check(folder, **options)
    assert report.ok == all(row.verdict != 'FAILED' for row in rows.values())
    return {name: row.found for name, row in rows.items() if row.verdict == 'FAILED'}


@pytest.mark.parametrize('kind', ['BI', 'BD'])
def test_right_data(tmp_path, kind):
    write_benchmark(tmp_path, CLIPS, lambda gt: degrade_uint8(gt, kind))
    report, rows = check(tmp_path, jobs=2)
    assert report.ok
    assert f'looks like {kind} in 14 of 14 frames (bit-exact)' in rows['degradation'].found


def test_shifted_blur(tmp_path):
    write_benchmark(tmp_path, CLIPS, lambda gt: _blurred(gt, 0, 13))
    wrong = failed(tmp_path)
    assert list(wrong) == ['degradation']
    assert 'BD with a 13x13 kernel, sampled from 0 in 14 of 14' in wrong['degradation']
    assert '(-1.50, -1.50) GT pixels' in wrong['degradation']


def test_the_other_degradation(data):
    wrong = failed(data, protocol='Vid4-BD')
    assert 'looks like BI' in wrong['degradation']
    assert 'expected BD' in wrong['degradation']


def test_swapped_clips(data):
    lr = data / 'BIx4'
    (lr / '000').rename(lr / 'x')
    (lr / '001').rename(lr / '000')
    (lr / 'x').rename(lr / '001')
    wrong = failed(data)
    assert list(wrong) == ['LR paired with its own clip']
    assert '10 of 14 frames' in wrong['LR paired with its own clip']
    assert 'LR 000/00000000 belongs to GT 001/00000000' in wrong['LR paired with its own clip']


def test_reordered_frames(data):
    lr = data / 'BIx4' / '001'
    (lr / '00000001.png').rename(lr / 'x')
    (lr / '00000003.png').rename(lr / '00000001.png')
    (lr / 'x').rename(lr / '00000003.png')
    wrong = failed(data)
    assert list(wrong) == ['order of frames']
    assert '2 of 14 frames' in wrong['order of frames']
    assert 'LR 001/00000001 belongs to GT 001/00000003' in wrong['order of frames']


def test_something_else(tmp_path):
    write_benchmark(
        tmp_path, {'000': 3}, lambda gt: np.clip(degrade_uint8(gt).astype(int) + 9, 0, 255).astype(np.uint8)
    )
    assert 'something else' in failed(tmp_path)['degradation']


def test_unreadable_pixels(data):
    path = data / 'GT' / '000' / '00000002.png'
    path.write_bytes(path.read_bytes()[:2000])
    assert str(path) in failed(data, deep=True)['pixels']


def test_counts_and_protocol(data):
    assert 'clips that REDS4 does not have' in failed(data, protocol='REDS4')['protocol REDS4']
    shutil.rmtree(data / 'BIx4' / '001')
    assert 'clip 001: no frames' in failed(data)['clips and frames']


def test_shift_is_estimated():
    low = degrade_uint8(texture(0, 0, (256, 256)))[..., 0].astype(np.float32)
    for down, right in ((0, 0), (3, -2), (-1, 5)):
        moved = np.roll(low, (-down, -right), (0, 1))
        (y, x), _ = estimate_shift(low[8:-8, 8:-8].copy(), moved[8:-8, 8:-8].copy())
        assert (y, x) == pytest.approx((down, right), abs=0.1)


def test_odd_shifts_are_named():
    gt = texture(0, 0, (256, 256))
    result = likeness(gt[4:-4, 4:-4].copy(), degrade_uint8(gt[2:-6, 5:-3].copy()), 4)
    assert result.how == 'shifted'
    assert result.label.startswith('BI shifted by')
    assert result.shift == pytest.approx((-2, 1), abs=0.3)


def test_samples_are_spread():
    class Clip:
        def __init__(self, count):
            self.frames, self.gt_frames = tuple(map(str, range(count))), ()

    clips = [Clip(100) for _ in range(270)]
    chosen = choose(clips, 400)
    assert 380 <= len(chosen) <= 420
    assert {c for c, _ in chosen} >= {0, 269}
    assert {f for _, f in chosen} == {0, 50, 99} or {0, 99} <= {f for _, f in chosen}
    assert len(choose(clips[:3], 400)) == 300
    assert len(choose(clips, None)) == 27000


def run(capsys, *arguments):
    """Exit code and output of ``iart data ...``."""
    code = 0
    try:
        cli.main(['data', *map(str, arguments)])
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr()


def test_exit_codes_and_json(data, capsys):
    code, output = run(capsys, 'check', data, '--jobs', 1)
    assert code == 0
    assert 'all checks passed' in output.out
    code, output = run(capsys, 'check', data, '--protocol', 'REDS4', '--json')
    assert code == 1
    result = json.loads(output.out)
    assert not result['ok']
    assert result['sets'][0]['degradation']['labels'] == {'BI': 14}
    code, output = run(capsys, 'check', data / 'nowhere')
    assert code == 2
    assert 'nowhere' in output.err


def test_options_file(data, tmp_path, capsys):
    yml = tmp_path / 'x.yml'
    yml.write_text(f"""
name: x
scale: 4
network_g: {{type: IART, spynet_path: {tmp_path}/none.pth}}
datasets:
  train: {{type: VideoClipDataset, dataroot_gt: {data}/GT, degradation: BI, num_frame: 2, gt_size: 32}}
  val: {{type: VideoRecurrentTestDataset, dataroot_gt: {data}/GT, dataroot_lq: {data}/BIx4}}
train: {{total_iter: 1, optim_g: {{type: Adam, lr: !!float 1e-4}}, scheduler: {{type: MultiStepLR, milestones: [1]}},
  pixel_opt: {{type: CharbonnierLoss}}}}
""")
    code, output = run(capsys, 'check', yml)
    assert code == 1, output
    lines = output.out.splitlines()
    assert next(line.split()[:2] for line in lines if 'FAILED' in line) == ['FAILED', 'network_g.spynet_path']
    assert any('BI, made from GT as it is read' in line for line in lines)


def test_info(data, tmp_path, capsys):
    assert run(capsys, 'lmdb', data / 'GT', tmp_path / 'gt.lmdb')[0] == 0
    for what, kind in ((data / 'GT', 'folders of images'), (tmp_path / 'gt.lmdb', 'LMDB')):
        code, output = run(capsys, 'info', what, '--json')
        facts = json.loads(output.out)
        assert (code, facts['kind'], facts['clips'], facts['frames'], facts['sizes']) == (0, kind, 3, 14, {'128x96': 3})
        code, output = run(capsys, 'info', what)
        assert (code, '14 (4 to 5 a clip)' in output.out) == (0, True)


def test_real_frames(shared):
    report, rows = check(shared / 'data' / 'eval' / 'REDS4_head', samples=3)
    assert report.ok
    assert 'bit-exact' in rows['degradation'].found


def test_lmdb_and_folder_side_by_side(tmp_path, capsys):
    """GT as an LMDB is found under its name."""
    gt = write_gt(tmp_path / 'source', {'000': 2})
    lq = write_lr(gt, tmp_path / 'low')
    for source, name in ((gt, 'GT.lmdb'), (lq, 'BIx4.lmdb')):
        assert run(capsys, 'lmdb', source, tmp_path / 'sets' / name)[0] == 0
    assert run(capsys, 'check', tmp_path / 'sets')[0] == 0


@pytest.mark.parametrize(('offset', 'how'), [(0, 'impostor'), (1, 'impostor'), (2, 'unknown')])
def test_a_look_alike_may_differ_by_its_rounding_only(offset, how):
    """The limit is an RMS of 1.5 gray levels."""
    image = np.random.default_rng(0).integers(40, 200, (96, 96, 3)).astype(np.uint8)
    frame = image[::4, ::4] + np.uint8(offset)
    like = likeness(image, frame, 4)
    assert like.how == how
    if how == 'impostor':
        assert like.label == 'every 4th pixel from 0, unfiltered'
        assert like.rms == offset
