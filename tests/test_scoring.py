"""``iart test`` without its command line: protocol, tables, reports, pictures."""

import csv
import hashlib
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from iart.errors import DataError, UserError
from iart.files import to_json, write_text
from iart.image import write_png
from iart.inference.baselines import BicubicRestorer
from iart.ops.degradation import degrade_uint8
from iart.protocols import get, match
from iart.reporting.comparison import comparison, find_detail
from iart.scoring import benchmark as scoring
from iart.scoring.benchmark import agree, build_sets, compare, score
from iart.scoring.scores import ClipScores, SetScores
from iart.scoring.set_report import NetworkFacts
from iart.scoring.settings import Saving, Settings

CPU = torch.device('cpu')
Y = {
    'psnr': {'type': 'calculate_psnr', 'crop_border': 0, 'test_y_channel': True},
    'ssim': {'type': 'calculate_ssim', 'test_y_channel': True},
}
VID4 = {'calendar': (41, (576, 720)), 'city': (34, (576, 704)), 'foliage': (49, (480, 720)), 'walk': (47, (480, 720))}


def blob(seed, h=48, w=64):
    """A smooth frame with structure."""
    noise = np.random.default_rng(seed).integers(0, 256, (h // 4, w // 4, 3), dtype=np.uint8)
    return noise.repeat(4, 0).repeat(4, 1)


class Vid4:
    """What Vid4 looks like from outside; all frames are the same small ones."""

    has_gt = True

    def __init__(self, clips=tuple(VID4), kind='BI'):
        self.clips = [
            SimpleNamespace(name=c, frames=(('0',) * VID4[c][0]), size=tuple(n // 4 for n in VID4[c][1])) for c in clips
        ]
        self.gt = blob(0, *VID4[clips[0]][1])
        self.lq = degrade_uint8(self.gt, kind) if kind else self.gt[::4, ::4]

    def scored(self, i):
        return list(range(len(self.clips[i].frames)))

    def read_gt(self, i, j):
        return self.gt

    def read_lq_frame(self, i, j):
        return self.lq


def test_protocol_named_or_recognized():
    settings = Settings(Y)
    for kind in ('BI', 'BD'):
        for named in (f'Vid4-{kind}', None):
            result = agree(Vid4(kind=kind), named, settings)
            assert (result.kind, result.label) == ('exact', f'Vid4-{kind}')
    assert agree(Vid4(('city', 'walk')), None, settings).label == 'Vid4-BI, 2 of 4 clips'


@pytest.mark.parametrize(
    ('data', 'settings', 'why'),
    [
        (Vid4(kind='BD'), Settings(Y), 'the LR frames are BD, expected BI'),
        (Vid4(kind=None), Settings(Y), 'the LR frames are neither BI nor BD, expected BI'),
        (Vid4(), Settings({'psnr': {'type': 'calculate_psnr'}}), 'psnr is measured on RGB, Vid4-BI on Y'),
        (Vid4(), Settings(Y, center_frame_only=True), '1 of 41 frames are scored, expected: all'),
    ],
)
def test_no_label_for_something_else(data, settings, why):
    result = agree(data, 'Vid4-BI', settings)
    assert (result.kind, result.label) == ('mismatch', 'not Vid4-BI')
    assert why in result.explanation


def scores_of(figures):
    clips = tuple(ClipScores(name, ('0',), {m: (v,) for m, v in figures.items()}, 1, 1.0) for name in VID4)
    return SetScores('Vid4', tuple(figures), clips, (0.0,))


def test_published_beside_measured():
    exact = match(get('Vid4-BI'), {c: n for c, (n, _) in VID4.items()})
    rows = compare(scores_of({'psnr': 27.2383, 'ssim': 0.82512}), exact, Settings(Y), NetworkFacts('BasicVSR'))
    assert [(r.method, r.figure, r.published) for r in rows] == [
        ('BasicVSR', 'psnr', 27.24),
        ('BasicVSR', 'ssim', 0.8251),
    ]
    assert rows[0].difference == pytest.approx(-0.0017)
    assert (
        compare(scores_of({'psnr': 27.0}), match(get('Vid4-BI'), {'city': 34}), Settings(Y), NetworkFacts('BasicVSR'))
        == ()
    )
    assert compare(scores_of({'psnr': 27.0}), None, Settings(Y), NetworkFacts('BasicVSR')) == ()


def test_what_was_measured_differently_is_said():
    exact = match(get('Vid4-BI'), {c: n for c, (n, _) in VID4.items()})
    clips = tuple(
        ClipScores(name, ('0',), {'psnr': (27.0,)}, 1, 1.0, ('chunks of 8',), name != 'walk') for name in VID4
    )
    scores = SetScores('Vid4', ('psnr',), clips, (0.0,))
    [row] = compare(scores, exact, Settings(Y, precision='bf16'), NetworkFacts('BasicVSR'))
    assert row.note == 'measured in bf16; approximated, chunks of 8'
    assert scoring.SetReport('test', scores, exact, (row,)).label == 'Vid4-BI, approximated'


def test_models_of_one_network_and_the_mirror():
    frames = dict.fromkeys(('000', '011', '015', '020'), 100)
    rgb = Settings({'psnr': {'type': 'calculate_psnr'}})
    rows = compare(scores_of({'psnr': 32.9}), match(get('REDS4'), frames), rgb, NetworkFacts('IART'))
    assert [(r.method, r.published) for r in rows] == [('IART N6', 32.15), ('IART N16', 32.90), ('IART N16', 32.899396)]
    rows = compare(scores_of({'psnr': 32.9}), match(get('REDS4'), frames), rgb, NetworkFacts('IART', method='IART N6'))
    assert [r.published for r in rows] == [32.15]
    septuplets = {f'{i:05}': 7 for i in range(7824)}
    [row] = compare(scores_of({'psnr': 37.0}), match(get('Vimeo-90K-T-BI'), septuplets), rgb, NetworkFacts('BasicVSR'))
    assert row.note == 'published with flip_seq'


@pytest.fixture
def sections(tmp_path):
    """Two test sets on disk; frame names whose natural order is not their order as text."""
    for clip, count in (('a', 2), ('b', 11)):
        for j in range(count):
            gt = blob([len(clip), j], 48, 64)
            write_png(tmp_path / 'gt' / clip / f'im{j + 1}.png', gt)
            write_png(tmp_path / 'lq' / clip / f'im{j + 1}.png', degrade_uint8(gt))
    section = {
        'type': 'VideoRecurrentTestDataset',
        'dataroot_gt': str(tmp_path / 'gt'),
        'dataroot_lq': str(tmp_path / 'lq'),
    }
    without = {'type': 'VideoRecurrentTestDataset', 'dataroot_lq': str(tmp_path / 'lq'), 'clips': ['a']}
    return {
        'test': SimpleNamespace(name='Small', protocol=None, section=section),
        'test_1': SimpleNamespace(name=None, protocol=None, section=without),
    }


def test_reports(sections, tmp_path):
    weights = tmp_path / 'w.pth'
    weights.write_bytes(b'weights')
    facts = NetworkFacts('Bicubic', 0, weights)
    out, settings = tmp_path / 'results', Settings(Y)
    reports = score(
        BicubicRestorer(4),
        build_sets(sections, settings),
        settings,
        name='run',
        network=facts,
        device=CPU,
        out=out,
        saving=Saving(out / 'visualization', suffix='x'),
        command=['iart', 'test'],
    )
    assert [r.label for r in reports] == ['no published benchmark'] * 2
    report = json.loads((out / 'report.json').read_text())
    assert report['network']['weights_sha256'] == hashlib.sha256(b'weights').hexdigest()
    assert report['command'] == ['iart', 'test']
    assert [s['name'] for s in report['sets']] == ['Small', 'test_1']
    assert report['sets'][0]['total']['psnr'] == pytest.approx(reports[0].scores.total('psnr'))
    assert report['sets'][1]['total'] == {}
    rows = list(csv.DictReader((out / 'frames.csv').open()))
    assert [r['frame'] for r in rows if r['set'] == 'Small' and r['clip'] == 'b'] == [f'im{j}' for j in range(1, 12)]
    assert rows[-1]['psnr'] == ''
    assert (out / 'visualization' / 'Small' / 'b' / 'im11_x.png').is_file()
    assert (out / 'visualization' / 'test_1' / 'a' / 'im2_x.png').is_file()
    assert not list(out.rglob('*.tmp'))


@pytest.mark.parametrize(
    ('metric', 'message'),
    [
        ({'type': 'calculate_psnr', 'crop_border': 40}, r'val\.metrics\.x'),
        ({'type': 'calculate_niqe', 'crop_border': 0}, r'val\.metrics\.x: calculate_niqe fails on frames of 64x48'),
    ],
)
def test_metrics_are_tried_before_anything_is_restored(sections, metric, message):
    with pytest.raises(UserError, match=message):
        build_sets(sections, Settings({'x': metric}))


def test_mistakes_before_anything_is_restored(sections):
    sections['test_1'].protocol = 'Vid5'
    with pytest.raises(UserError, match="got 'Vid5'"):
        build_sets(sections, Settings(Y))


def test_sets_of_the_same_name_do_not_share_a_folder(sections):
    sections['test_1'].name = 'Small'
    assert scoring._titles(sections) == {'test': 'test', 'test_1': 'test_1'}


def test_json_without_infinity():
    text = to_json({'psnr': math.inf, 'values': [1.5, math.nan], 'none': None})
    assert json.loads(text, parse_constant=pytest.fail) == {'psnr': 'inf', 'values': [1.5, 'nan'], 'none': None}


def test_write_text_leaves_nothing_half_done(tmp_path):
    (tmp_path / 'taken').mkdir()
    with pytest.raises(DataError, match='taken: cannot be written'):
        write_text(tmp_path / 'taken', 'x')
    assert [p.name for p in tmp_path.iterdir()] == ['taken']


def test_comparison_picture(tmp_path):
    gt = np.full((96, 128, 3), 90, np.uint8)
    gt[60:80, 90:116] = blob(3, 20, 28)[:, :26]
    flat = np.full_like(gt, 90)
    path = tmp_path / 'pictures' / 'c.png'
    columns = {'LR': flat[::4, ::4], 'bicubic': flat, 'IART': gt, 'GT': gt}
    top, left, height, width = comparison(path, columns, {'IART': {'psnr': math.inf, 'ssim': 1.0}}, title='clip a')
    assert top <= 70 < top + height
    assert left <= 100 < left + width
    picture = path.read_bytes()
    assert picture.startswith(b'\x89PNG')
    assert len(picture) > 10_000
    assert [p.name for p in path.parent.iterdir()] == ['c.png']
    with pytest.raises(DataError, match='no columns'):
        comparison(path, {})


def test_detail_of_tiny_frames():
    assert find_detail([blob(0, 8, 12)]) == (0, 0, 8, 12)
