"""The page of results: figures and pictures come from the result folders; results of other clips are refused."""

import json
from pathlib import Path

import make_results
import make_teaser
import numpy as np
import pytest

from iart import image
from iart.errors import DataError
from iart.reporting.results import Result, read_results


def result(folder: Path, clips: tuple[str, ...], psnr: float) -> Result:
    """What ``iart test --save-frames`` writes for clips of two frames of 32×48, and their LR frames and GT."""
    random = np.random.default_rng(0)
    entries, rows = [], ['set,clip,frame,psnr,ssim']
    for clip in clips:
        for index in range(2):
            gt = random.integers(0, 256, (32, 48, 3), dtype=np.uint8)
            image.write_png(folder.parent / 'GT' / clip / f'{index:08d}.png', gt)
            image.write_png(folder.parent / 'LR' / clip / f'{index:08d}.png', np.ascontiguousarray(gt[::4, ::4]))
            image.write_png(folder / 'visualization' / 'set' / clip / f'{index:08d}.png', gt // 2)
            rows.append(f'set,{clip},{index:08d},{psnr + index},0.5')
        entries.append({'name': clip, 'frames': 2, 'restored': 2, 'seconds': 1.0, 'psnr': psnr, 'ssim': 0.5})
    report = {
        'name': folder.name,
        'date': '2026-01-02T00:00:00',
        'machine': 'a processor',
        'network': {'type': 'X', 'parameters': 1_500_000, 'weights': 'x.pth', 'weights_sha256': 'ab' * 32},
        'settings': {'metrics': {'psnr': {'test_y_channel': True, 'crop_border': 0}}, 'scale': 4},
        'sets': [
            {
                'key': 'test',
                'name': 'set',
                'label': '',
                'data': {'dataroot_lq': str(folder.parent / 'LR'), 'dataroot_gt': str(folder.parent / 'GT')},
                'total': {'psnr': psnr, 'ssim': 0.5},
                'clips': entries,
            }
        ],
    }
    (folder / 'report.json').write_text(json.dumps(report), encoding='utf-8')
    (folder / 'frames.csv').write_text('\n'.join(rows) + '\n', encoding='utf-8')
    return read_results([folder])[0]


def test_a_page_of_two_results(tmp_path: Path) -> None:
    results = {'first': result(tmp_path / 'a', ('city',), 25.125), 'second': result(tmp_path / 'b', ('city',), 26.5)}
    curve = tmp_path / 'metrics.csv'
    curve.write_text('iter,name,value\n1,train/l_pix,0.1\n2,train/l_pix,0.05\n2,val/x/psnr,20\n', encoding='utf-8')
    page = make_results.make(results, curve, tmp_path / 'docs' / 'results.md')
    text = page.read_text(encoding='utf-8')
    assert '| second | 26.50 / 0.5000 | **26.50 / 0.5000** | 1.50 M |' in text
    assert '| first | 2026-01-02 | a processor |' in text
    for name in ('results_frames', 'results_city', 'results_training'):
        assert f'images/{name}.png' in text
        assert image.read_image(page.parent / 'images' / f'{name}.png').size > 0


def test_results_of_other_clips_are_refused(tmp_path: Path) -> None:
    results = {'first': result(tmp_path / 'a', ('city',), 25), 'second': result(tmp_path / 'b', ('walk',), 26)}
    with pytest.raises(DataError, match='second: got other clips, expected city'):
        make_results.make(results, None, tmp_path / 'results.md')


def test_the_score_of_a_picture_is_that_of_its_frame() -> None:
    truth = np.full((32, 32, 3), 100, np.uint8)
    psnr, ssim = make_teaser.scores(truth + 10, truth)
    assert psnr == pytest.approx(10 * np.log10(255**2 / (10 * 219 / 255) ** 2), abs=0.01)
    assert 0.9 < ssim <= 1
