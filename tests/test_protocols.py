"""The protocol files, and when a result may carry a protocol's name."""

import pytest

from iart import protocols
from iart.errors import UserError
from iart.protocols import ManyClips, candidates, get, load, load_all, match, metric_differences

VID4 = {'calendar': 41, 'city': 34, 'foliage': 49, 'walk': 47}
VID4_SIZES = {'calendar': (576, 720), 'city': (576, 704), 'foliage': (480, 720), 'walk': (480, 720)}
REDS4 = dict.fromkeys(('000', '011', '015', '020'), 100)


def test_files():
    with_figures = ['REDS4', 'UDM10-BD', 'Vid4-BD', 'Vid4-BI', 'Vimeo-90K-T-BD', 'Vimeo-90K-T-BI']
    assert sorted(load_all()) == sorted([*with_figures, 'UDM10-BI', 'VideoLQ'])
    for protocol in map(get, with_figures):
        assert protocol.scale == 4
        assert protocol.crop_border == 0
        assert protocol.channel == ('RGB' if protocol.id == 'REDS4' else 'Y')
        assert protocol.scored == ('center' if isinstance(protocol.clips, ManyClips) else 'all')
        assert {p.arch for p in protocol.published} >= {'Bicubic', 'BasicVSR', 'IART'}
        assert all(20 < p.psnr < 42 and (p.ssim is None or 0.5 < p.ssim < 1) for p in protocol.published)
        methods = {p.method: p for p in protocol.published}
        assert methods['IART N16'].psnr > methods['BasicVSR'].psnr > methods['Bicubic'].psnr


def test_published_figures():
    [n6, n16] = get('REDS4').results_of('IART')
    assert (n6.method, n6.psnr, n6.ssim) == ('IART N6', 32.15, 0.9010)
    assert (n16.psnr, n16.ssim, n16.released.psnr) == (32.90, 0.9138, 32.899396)
    [basicvsr] = get('Vimeo-90K-T-BI').results_of('BasicVSR')
    assert (basicvsr.psnr, basicvsr.mirrored) == (37.18, True)
    [iart] = get('Vid4-BD').results_of('iart n16')
    assert (iart.psnr, iart.ssim, iart.mirrored) == (29.68, 0.8884, False)
    assert get('Vid4-BI').results_of(None) == []


def test_names():
    assert get('reds4-bi').id == 'REDS4'
    with pytest.raises(UserError, match="got 'REDS', expected one of REDS4"):
        get('REDS')


def test_exact():
    for name in ('Vid4-BI', 'Vid4-BD'):
        result = match(get(name), VID4, VID4_SIZES)
        assert (result.kind, result.label, result.explanation) == ('exact', name, '')
    numbered = {f'{i:03}': 32 for i in range(10)}
    assert match(get('UDM10-BD'), numbered, dict.fromkeys(numbered, (720, 1272))).kind == 'exact'
    septuplets = {f'{i // 1000:05}/{i % 1000:04}': 7 for i in range(7824)}
    assert match(get('Vimeo-90K-T-BD'), septuplets).kind == 'exact'


def test_partial():
    result = match(get('Vid4-BI'), {'city': 34, 'walk': 47})
    assert (result.kind, result.label) == ('partial', 'Vid4-BI, 2 of 4 clips')
    assert 'averages over all 4' in result.explanation


@pytest.mark.parametrize(
    ('frames', 'sizes', 'why'),
    [
        ({**REDS4, '240': 100}, {}, 'clips that REDS4 does not have: 240'),
        ({**REDS4, '011': 5}, {}, 'clip 011 has 5 frames, expected 100'),
        (REDS4, dict.fromkeys(REDS4, (720, 1272)), 'clip 000 is 1272x720, expected 1280x720'),
        ({f'{i:03}': 100 for i in range(30)}, {}, 'clips that REDS4 does not have: 001'),
        ({}, {}, 'there are no clips'),
    ],
)
def test_mismatch(frames, sizes, why):
    result = match(get('REDS4'), frames, sizes)
    assert (result.kind, result.label) == ('mismatch', 'not REDS4')
    assert why in result.explanation


def test_same_clip_twice():
    result = match(get('UDM10-BD'), {'archpeople': 32, '000': 32})
    assert result.kind == 'mismatch'


def test_vimeo():
    assert match(get('Vimeo-90K-T-BI'), {'00001/0001': 7}).label == 'Vimeo-90K-T-BI, 1 of 7824 clips'
    assert match(get('Vimeo-90K-T-BI'), {'00001/0001': 5}).kind == 'mismatch'


def test_recognized():
    assert [m.label for m in candidates(VID4, VID4_SIZES)] == ['Vid4-BD', 'Vid4-BI']
    assert [m.label for m in candidates({'city': 34})] == ['Vid4-BD, 1 of 4 clips', 'Vid4-BI, 1 of 4 clips']
    assert [m.label for m in candidates(REDS4)] == ['REDS4']
    assert candidates({'bunny': 7}) == []


def test_metrics_of_the_protocol():
    psnr = {'type': 'calculate_psnr', 'crop_border': 0, 'test_y_channel': True}
    assert metric_differences(get('Vid4-BI'), {'psnr': psnr, 'lpips': {'type': 'calculate_lpips'}}) == []
    assert metric_differences(get('REDS4'), {'psnr': psnr}) == ['psnr is measured on Y, REDS4 on RGB']
    assert metric_differences(get('Vid4-BI'), {'p': {**psnr, 'crop_border': 4}}) == ['p cuts off 4 pixels, Vid4-BI 0']


def test_spoiled():
    result = match(get('Vid4-BI'), VID4).spoiled('LR frames look like BD')
    assert (result.kind, result.label, result.explanation) == ('mismatch', 'not Vid4-BI', 'LR frames look like BD')


def test_bad_file(tmp_path):
    path = tmp_path / 'odd.yml'
    path.write_text('id: Odd\nclips: []\n')
    with pytest.raises(UserError, match=r'odd\.yml: not a protocol'):
        load(path)
    assert 'Odd' not in protocols.load_all()
