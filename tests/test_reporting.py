"""Reports: what is read from results folders, what is chosen to be shown, what is written."""

import csv
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.result_folders import CLIPS, FRAMES, write_results

from iart import cli
from iart.analysis.findings import Findings, FindingsPicture, Table, write_findings
from iart.errors import DataError, UserError
from iart.image import write_png
from iart.reporting.images import Slices, cut_slices, error_map, flicker
from iart.reporting.page import write_report
from iart.reporting.results import read_results
from iart.reporting.shown_clips import choose_frames, find_shown_clips, located
from iart.reporting.tables import command_of, set_table
from iart.reporting.views import charts_of
from iart.scoring.settings import Saving


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    return write_results(tmp_path_factory.mktemp('reporting'))


@pytest.fixture
def folders(made, tmp_path):
    """Copies that a test may spoil."""
    return [shutil.copytree(folder, tmp_path / folder.name) for folder in made]


@pytest.fixture(scope='module')
def page(made, tmp_path_factory):
    return write_report(made, tmp_path_factory.mktemp('page') / 'both.html')


def test_everything_is_written_and_the_page_needs_nothing_else(page):
    names = sorted(p.name for p in page.parent.iterdir())
    assert names == ['both.html', 'both.md', 'both_clips.csv', 'both_data.json', 'both_figures', 'both_frames.csv']
    text = page.read_text(encoding='utf-8')
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', text)
    assert not re.findall(r'url\(|@import|fetch\(|XMLHttpRequest', text)
    assert '<b>&clip' not in text
    assert text.count('</script>') == 2
    images = re.findall(r'<img [^>]*>', text)
    assert len(images) > 10
    assert all(re.search(r'alt="[^"]+"', image) for image in images)
    for heading in (
        'Protocol and data',
        'Scores',
        'Figures of every frame',
        'Frame against frame',
        'Details',
        'Through time',
        'To reproduce',
    ):
        assert f'<h2>{heading}</h2>' in text


def test_tables_and_figures(page, made):
    results = read_results(made)
    rows = list(csv.reader(page.with_name('both_frames.csv').open(encoding='utf-8')))
    assert rows[0] == ['set', 'clip', 'frame', 'psnr Bicubic', 'psnr </script>Net', 'ssim Bicubic', 'ssim </script>Net']
    assert len(rows) == 1 + FRAMES * len(CLIPS)
    first = results[0].frames['Small', rows[1][1]]
    assert float(rows[1][3]) == first.values['psnr'][0]
    clips = list(csv.reader(page.with_name('both_clips.csv').open(encoding='utf-8')))
    assert float(clips[-1][2]) == results[0].file.sets[0].total['psnr']
    data = json.loads(page.with_name('both_data.json').read_text(encoding='utf-8'))
    assert [r['label'] for r in data['results']] == ['Bicubic', '</script>Net']
    figures = list((page.parent / 'both_figures').glob('*.png'))
    assert len(figures) == len(CLIPS) * (2 + 2 + 1)
    assert all(f.read_bytes().startswith(b'\x89PNG') for f in figures)
    text = page.with_suffix('.md').read_text(encoding='utf-8')
    assert text.count('both_figures/') == len(figures)
    assert re.search(r'^\| city \| 6 \| \d+\.\d\d \| \d+\.\d\d \([+−]\d+\.\d\d\) \|', text, re.M)
    assert "iart test -opt 'a b.yml'" in text


def test_differences_from_the_first(made):
    results = read_results(made)
    table = set_table('Small', results)
    (plain, sharp), _ = table.total.cells
    assert plain.delta is None
    assert sharp.delta == pytest.approx(results[1].file.sets[0].total['psnr'] - results[0].file.sets[0].total['psnr'])
    assert sharp.change[0] in '+−'
    assert table.labels == ('Bicubic', '</script>Net')
    assert command_of(results[0]) == "iart test -opt 'a b.yml'"


def test_only_chosen_clips_are_saved_and_spread():
    assert Saving(Path(), 2).chosen(['a', 'b', 'c', 'd', 'e']) == ('a', 'c')
    assert Saving(Path(), 4).chosen(['a', 'b']) == ('a', 'b')
    assert Saving(Path()).chosen(['a', 'b']) == ('a', 'b')
    assert Saving(Path(), 0).chosen(['a']) == ()


def test_frames_worth_a_look():
    one = [10.0, 30.0, 20.0, 25.0, 22.0]
    assert [(c.at, c.reason) for c in choose_frames([one], 5, 2)] == [(0, 'the worst frame'), (4, 'a typical frame')]
    assert [c.at for c in choose_frames([one, [10.0, 30.0, 20.0, 35.0, 22.0]], 5, 2)] == [3, 4]
    assert [c.at for c in choose_frames([], 9, 2)] == [2, 6]
    assert [c.at for c in choose_frames([[math.inf] * 3, [math.inf] * 3], 3, 9)] == [0, 1, 2]


def test_infinite_figures_leave_a_gap(folders):
    path = folders[0] / 'frames.csv'
    lines = path.read_text().splitlines()
    lines[1] = ','.join([*lines[1].split(',')[:3], 'inf', '1.0'])
    path.write_text('\n'.join(lines) + '\n')
    chart = charts_of(read_results(folders[:1]))[0]
    assert chart['series'][0]['values'][0] is None
    json.dumps(chart, allow_nan=False)
    assert '∞' in write_report(folders[:1]).read_text(encoding='utf-8')


def test_error_map_is_black_where_nothing_is_wrong():
    gt = np.full((4, 4, 3), 100, np.uint8)
    worse = gt.copy()
    worse[0, 0] = 200
    picture = error_map(worse, gt).astype(int).sum(2)
    assert picture[0, 0] > 600
    assert picture[1:].max() < 10


def test_slices_measure_flicker(made):
    footage, notes = find_shown_clips(read_results(made), 4)
    assert notes == []
    slices = cut_slices(footage[0])
    assert isinstance(slices, Slices)
    assert list(slices.pictures) == ['Bicubic', '</script>Net', 'GT']
    assert all(picture.shape == (FRAMES, 128, 3) for picture in slices.pictures.values())
    assert set(slices.flicker) == {'Bicubic', '</script>Net'}
    assert slices.tall('GT').shape[0] == 4 * FRAMES
    still = {'GT': slices.pictures['GT'], 'same': slices.pictures['GT']}
    assert flicker(still) == {'same': 0.0}


def test_data_found_from_elsewhere(tmp_path, monkeypatch):
    (tmp_path / 'there' / 'lq').mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    section = {'type': 'X', 'dataroot_lq': 'lq', 'dataroot_gt': 'gone', 'clips': ['a']}
    assert located(section, str(tmp_path / 'there')) == {**section, 'dataroot_lq': str(tmp_path / 'there' / 'lq')}
    assert located(section, '') == section


def test_what_is_gone_is_said_not_fatal(folders):
    shutil.rmtree(folders[1] / 'visualization' / 'Small' / 'city')
    report = json.loads((folders[0] / 'report.json').read_text())
    report['sets'][0]['data']['dataroot_gt'] = 'gone'
    (folders[0] / 'report.json').write_text(json.dumps(report))
    text = write_report(folders).read_text(encoding='utf-8')
    assert 'restored frames of &lt;/script&gt;Net are gone' in text
    assert 'LR frames and ground truth cannot be shown' in text
    shutil.rmtree(folders[0] / 'visualization')
    shutil.rmtree(folders[1] / 'visualization')
    text = write_report(folders).read_text(encoding='utf-8')
    assert 'Frame against frame' not in text
    assert '<h2>Scores</h2>' in text


def test_reports_of_older_versions_can_still_be_shown(folders):
    report = json.loads((folders[0] / 'report.json').read_text())
    for key in ('folder', 'machine'):
        del report[key]
    for clip in report['sets'][0]['clips']:
        del clip['saved'], clip['size']
    del report['sets'][0]['data']
    (folders[0] / 'report.json').write_text(json.dumps(report))
    page = write_report(folders[:1])
    assert page == folders[0] / 'report.html'
    assert 'no frames were saved; score with --report' in page.read_text(encoding='utf-8')


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (lambda f: (f / 'report.json').unlink(), 'report.json: cannot be read'),
        (lambda f: (f / 'report.json').write_text('{"name": 3'), 'got something else than a report of iart test'),
        (lambda f: (f / 'report.json').write_text('{}'), 'got something else than a report of iart test'),
        (lambda f: (f / 'frames.csv').unlink(), 'frames.csv: cannot be read'),
        (lambda f: (f / 'frames.csv').write_text('set,clip\n1,2\n'), 'expected set, clip, frame and metrics'),
        (lambda f: (f / 'frames.csv').write_text('set,clip,frame,psnr\nSmall,city,000,high\n'), 'frames.csv: damaged'),
    ],
)
def test_damaged_results(folders, spoil, message):
    spoil(folders[0])
    with pytest.raises(DataError, match=message):
        write_report(folders[:1])
    assert not (folders[0] / 'report.html').exists()


def test_arguments_that_cannot_be(folders, tmp_path):
    with pytest.raises(UserError, match='more than once'):
        write_report([folders[0], folders[0]])
    with pytest.raises(UserError, match=r'ending in \.html'):
        write_report(folders, tmp_path / 'page.txt')
    with pytest.raises(UserError, match='--frames: got 0'):
        write_report(folders, frames=0)


def test_command_ends_with_2_for_a_folder_without_results(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(['report', str(tmp_path)])
    assert stop.value.code == 2
    assert 'report.json' in capsys.readouterr().err


def test_frames_without_ground_truth(folders):
    report = json.loads((folders[0] / 'report.json').read_text())
    del report['sets'][0]['data']['dataroot_gt']
    report['sets'][0]['total'] = {}
    for clip in report['sets'][0]['clips']:
        del clip['psnr'], clip['ssim']
    (folders[0] / 'report.json').write_text(json.dumps(report))
    rows = [line.split(',')[:3] for line in (folders[0] / 'frames.csv').read_text().splitlines()]
    (folders[0] / 'frames.csv').write_text('\n'.join(map(','.join, rows)) + '\n')
    text = write_report(folders[:1]).read_text(encoding='utf-8')
    assert 'none scored: there is no ground truth' in text
    assert 'frames were restored, not scored' in text
    assert '<h2>Frame against frame</h2>' in text
    assert 'Error of' not in text


def test_published_figures_and_several_sets(folders):
    report = json.loads((folders[0] / 'report.json').read_text())
    other = json.loads(json.dumps(report['sets'][0]))
    row = {
        'method': 'Bicubic',
        'source': 'a paper',
        'figure': 'psnr',
        'published': 23.78,
        'measured': 23.7712,
        'difference': -0.0088,
        'note': '',
    }
    other |= {'name': 'Second', 'protocol': 'Vid4-BI', 'agreement': 'exact', 'label': 'Vid4-BI', 'published': [row]}
    report['sets'].append(other)
    report['settings']['metrics']['ssim']['better'] = 'lower'
    (folders[0] / 'report.json').write_text(json.dumps(report))
    page = write_report(folders)
    text = page.read_text(encoding='utf-8')
    assert '<h4>Published and measured</h4>' in text
    assert '23.7712' in text
    assert '−0.0088' in text
    assert '<tr class="ours"><th scope="row">Bicubic</th>' in text
    assert '| Bicubic | Bicubic | PSNR | 23.78 | 23.7712 | −0.0088 | a paper |' in page.with_suffix('.md').read_text(
        encoding='utf-8'
    )
    table = set_table('Small', read_results(folders))
    assert table.lower == {'ssim'}
    assert set_table('Second', read_results(folders)).total.cells[0][1].text == '–'


@pytest.fixture
def findings(tmp_path):
    """A folder with a table and a figure, as the alignment study leaves it."""
    folder = tmp_path / 'study'
    write_png(folder / 'figures' / 'gains.png', np.zeros((6, 8, 3), np.uint8))
    table = Table('Table 1', ('row', 'PSNR'), (('warp <b>', '30.12'), ('implicit', '30.34')))
    write_findings(
        folder, Findings('Study of & four', ('complete',), (table,), (FindingsPicture('figures/gains.png', 'Gains.'),))
    )
    return folder


def test_findings_stand_on_the_page_of_scores(folders, findings, tmp_path):
    page = write_report([folders[0], findings], tmp_path / 'page.html')
    text = page.read_text(encoding='utf-8')
    assert '<h2>Scores</h2>' in text
    assert '<h2>Study of &amp; four</h2>' in text
    assert '<th scope="row">warp &lt;b&gt;</th><td>30.12</td>' in text
    assert re.search(r'<img src="data:image/png;base64,[^"]+" width="8" height="6" alt="Gains."', text)
    assert '| implicit | 30.34 |' in page.with_suffix('.md').read_text(encoding='utf-8')
    assert 'iart report results/plain results/study' in text


def test_findings_alone_make_a_page(findings):
    page = write_report([findings])
    assert page == findings / 'report.html'
    text = page.read_text(encoding='utf-8')
    assert '<h1>Study of &amp; four</h1>' in text
    assert '<h2>Scores</h2>' not in text
    targets = set(re.findall(r'href="#([^"]+)"', text))
    assert targets <= set(re.findall(r'id="([^"]+)"', text)), 'links lead somewhere'
    assert sorted(p.name for p in findings.iterdir()) == ['figures', 'findings.json', 'report.html', 'report.md']


@pytest.mark.parametrize(
    'content',
    [
        '',
        '[]',
        '{"title": "a"}',
        '{"title": "", "text": [], "tables": [{"title": "t", "header": [], "rows": [["1"]]}], "pictures": []}',
    ],
)
def test_damaged_findings_are_named(findings, content):
    (findings / 'findings.json').write_text(content)
    with pytest.raises(DataError, match=r'findings\.json: damaged'):
        write_report([findings])


def test_a_missing_figure_is_named(findings):
    (findings / 'figures' / 'gains.png').unlink()
    with pytest.raises(DataError, match=r'gains\.png'):
        write_report([findings])
