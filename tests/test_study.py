"""The alignment study: plans, trainings that continue, tables beside the paper's figures, charts."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
import yaml
from helpers.sintel import write_sintel
from helpers.tiny import TinyFlow, options, write_clips

from iart.errors import UserError
from iart.study.bicubic_scores import read_bicubic, score_bicubic
from iart.study.command import main
from iart.study.result_files import write_results
from iart.study.rows import PAPER_PARAMETERS, ROWS, TABLES, published
from iart.study.runs import perform, read_scores
from iart.study.side_by_side import perform_all
from iart.study.study_file import StudyPlan
from iart.study.table import Results

CPU = torch.device('cpu')
STUDY = {'name': 'tiny', 'options': 'shared.yml', 'tables': ['alignments'], 'flows': ['gt'], 'seeds': [0, 1]}


@pytest.fixture
def study(tmp_path):
    """A study of two rows and two seeds on rendered clips."""
    rendered = {'folder': str(tmp_path / 'rendered'), 'clips_rendered': 2, 'frames': 2, 'height': 64, 'width': 64}
    shared = options(tmp_path, train__total_iter=2)
    loader = {'num_worker_per_gpu': 0, 'batch_size_per_gpu': 1}
    shared['datasets'] = {
        'train': {'type': 'SyntheticFlowDataset', **rendered, 'num_frame': 2, 'gt_size': 64, **loader},
        'val': {'name': 'held', 'type': 'SyntheticFlowTestDataset', **rendered, 'scene_seed': 1},
    }
    sizes = {'mid_channels': 4, 'hr_channels': 4, 'embed_dim': 12, 'depths': [1], 'num_heads': [3]}
    shared['network_g'] = {'type': 'AlignmentStudyNet', **sizes, 'window_size': [4, 4]}
    (tmp_path / 'shared.yml').write_text(yaml.safe_dump(shared))
    path = tmp_path / 'study.yml'
    rows = ['bilinear', 'implicit']
    path.write_text(yaml.safe_dump({**STUDY, 'rows': rows, 'root': str(tmp_path / 'studies')}))
    return path


def test_rows_of_tables_exist_and_have_the_papers_figures():
    assert {row for _, rows in TABLES.values() for row in rows} == set(ROWS)
    assert published('alignments', 'implicit', 'gt').psnr == 32.14
    assert published('codes', 'code_offset', 'gt').ssim == 0.8184
    assert published('alignments', 'nearest', 'spynet') is None
    assert set(PAPER_PARAMETERS) < set(ROWS)


def test_trainings_differ_in_alignment_flow_and_seed_only(study):
    plan = StudyPlan(study)
    assert [run.name for run in plan.runs()] == [
        f'{row}_gt_s{seed}' for seed in (0, 1) for row in ('bilinear', 'implicit')
    ]
    one, other = (plan.options(plan.run(name)) for name in ('bilinear_gt_s0', 'implicit_gt_s1'))
    assert one.network_g['alignment'] == {'type': 'FlowWarpAlignment', 'resampling': 'bilinear'}
    assert one.network_g['flow'] == {'type': 'gt'}
    assert (one.manual_seed, other.manual_seed) == (0, 1)
    assert one.train == other.train
    assert one.datasets == other.datasets


def test_a_study_continues_where_it_was_stopped(study, monkeypatch):
    plan = StudyPlan(study)
    assert main([str(study), '--only', 'bilinear_gt_s0']) == 0
    first = read_scores(plan, plan.run('bilinear_gt_s0'))
    assert first is not None
    assert first.scores['held'].keys() == {'psnr'}
    assert main([str(study)]) == 0
    assert read_scores(plan, plan.run('bilinear_gt_s0')) == first, 'it was not trained again'
    results = Results(plan)
    lines = list(results.lines('alignments', 'held'))
    assert [line.row for line in lines] == ['bilinear', 'implicit']
    assert lines[0].gain.mean == 0
    assert lines[1].gain.count == 2
    assert lines[1].paper_gain == pytest.approx(0.22)
    folder = plan.folder
    assert (folder / 'results.csv').read_text().count('\n') == 5
    table = (folder / 'table.md').read_text()
    assert '| implicit | gt |' in table
    assert re.search(r'Bicubic interpolation on held: PSNR \d+\.\d{3}', table)
    assert '32.14' in (folder / 'index.html').read_text()
    assert {path.suffix for path in (folder / 'figures').iterdir()} == {'.png', '.svg', '.pdf'}
    monkeypatch.setattr('iart.study.runs.perform', lambda *_: pytest.fail('trained again'))
    assert main([str(study)]) == 0


def test_results_of_other_options_are_not_taken(study):
    plan = StudyPlan(study)
    perform(plan, plan.run('implicit_gt_s0'), CPU)
    assert read_scores(plan, plan.run('implicit_gt_s0')) is not None
    assert read_scores(StudyPlan(study, ['train:optim_g:lr=5e-4']), plan.run('implicit_gt_s0')) is None


def test_a_damaged_reference_is_named(study):
    plan = StudyPlan(study)
    score_bicubic(plan)
    assert read_bicubic(plan).keys() == {'held'}
    assert read_bicubic(StudyPlan(study, ['train:total_iter=1'])) is None
    (plan.folder / 'bicubic.json').write_text('[]')
    with pytest.raises(UserError, match=r'bicubic\.json: cannot be read'):
        write_results(Results(plan))


def test_one_seed_has_a_table_too(study):
    plan = StudyPlan(study)
    perform(plan, plan.run('implicit_gt_s0'), CPU)
    text = write_results(Results(plan)).with_name('table.md').read_text()
    assert '1 of 4 trainings done' in text
    assert 'n/a' in text


def test_rows_side_by_side_in_processes(study):
    plan = StudyPlan(study, ['train:total_iter=1'])
    arguments = [str(study), '--processes', '2', '--device', 'cpu', '--force_yml', 'train:total_iter=1']
    assert main(arguments) == 0
    assert len(Results(plan).scores) == 4


TRAINING = """
import pathlib, signal, sys, time
from iart.processes import stop_with_parent

def save(*_):
    pathlib.Path(sys.argv[1] + '.saved').touch()
    sys.exit(2)

signal.signal(signal.SIGTERM, save)
stop_with_parent()
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""
"""A process that saves when it is asked to stop, as a training does."""


def wait_for(*paths):
    end = time.monotonic() + 50
    while not all(map(Path.exists, paths)):
        assert time.monotonic() < end, f'{paths} did not appear'
        time.sleep(0.02)


def test_a_study_that_is_stopped_stops_its_trainings(study, tmp_path, monkeypatch):
    """Each saves, no other is started, and none is reported as failed."""
    started = [tmp_path / f'{row}_gt_s0' for row in ('bilinear', 'implicit')]

    def command(run, place, arguments):
        assert arguments == [str(study), '--threads', '1']
        return [sys.executable, '-c', TRAINING, str(tmp_path / run.name)]

    def stop():
        wait_for(*started)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr('iart.study.side_by_side._command', command)
    threading.Thread(target=stop).start()
    with pytest.raises(UserError, match='the study was stopped; run it again to continue'):
        perform_all(StudyPlan(study), 'cpu', 2, study, threads=1)
    assert sorted(tmp_path.glob('*_s?.saved')) == [path.with_name(f'{path.name}.saved') for path in started]
    assert not (tmp_path / 'bilinear_gt_s1').exists()


def test_trainings_stop_when_their_study_is_killed(tmp_path):
    place = tmp_path / 'training'
    start = 'import subprocess, sys, time; subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE); time.sleep(60)'
    parent = subprocess.Popen([sys.executable, '-c', start, sys.executable, '-c', TRAINING, place])
    try:
        wait_for(place)
        assert not place.with_name('training.saved').exists()
    finally:
        parent.kill()
        parent.wait()
    wait_for(place.with_name('training.saved'))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'tabels': []}, "did you mean 'tables'"),
        ({'tables': ['alignment']}, 'study.tables: .*alignments'),
        ({'rows': ['implict']}, "rows: got 'implict'.*did you mean 'implicit'"),
        ({'seeds': []}, 'expected one of each at least'),
        ({'flows': ['spynet']}, 'spynet_path: got nothing'),
        ({'options': 'nowhere.yml'}, r'nowhere\.yml: no such file'),
    ],
)
def test_mistakes_in_a_study_file_are_named(study, changes, message):
    content = {**yaml.safe_load(study.read_text()), **changes}
    study.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=message):
        StudyPlan(study)
    assert main([str(study)]) == 2


def test_unknown_training_is_answered_with_the_nearest_name(study):
    with pytest.raises(UserError, match="did you mean 'implicit_gt_s1'"):
        StudyPlan(study).run('implicit_gt_1')


@pytest.mark.parametrize('name', ['synthetic_small', 'clips_small', 'sintel'])
def test_shipped_studies_are_complete(repository, name, capsys):
    path = repository / 'options' / 'study' / f'{name}.yml'
    assert len({run.name for run in StudyPlan(path).runs()}) >= 24
    assert main([str(path), '--parameters']) == 0
    assert 'implicit' in capsys.readouterr().out


SMALLER = [
    *('train:total_iter=1', 'datasets:train:num_worker_per_gpu=0', 'datasets:train:batch_size_per_gpu=1'),
    *('datasets:train:num_frame=2', 'datasets:train:gt_size=64'),
    *('network_g:embed_dim=12', 'network_g:mid_channels=4', 'network_g:depths=[1]', 'network_g:num_heads=[3]'),
]
"""A step of seconds for any shipped study, on data of a test."""


@pytest.mark.parametrize('name', ['synthetic_small', 'clips_small', 'sintel'])
def test_shipped_studies_train(repository, name, tmp_path, monkeypatch):
    """The implicit row of each, with the data and the flow that the study names."""
    monkeypatch.setattr('iart.archs.flow.spynet_class', lambda: TinyFlow)
    torch.save({'params': TinyFlow().state_dict()}, tmp_path / 'spynet.pth')
    write_clips(tmp_path, clips=1, frames=2)
    write_sintel(tmp_path)
    sizes = ('clips_rendered=1', 'frames=2', 'height=64', 'width=64', f'folder={tmp_path}')
    data = {
        'synthetic_small': [f'datasets:{key}:{size}' for key in ('train', 'val') for size in sizes],
        'clips_small': [
            *(f'datasets:{key}:dataroot_gt={tmp_path / "GT"}' for key in ('train', 'val')),
            f'datasets:val:dataroot_lq={tmp_path / "LR"}',
        ],
        'sintel': [f'datasets:{key}:root={tmp_path}' for key in ('train', 'val')],
    }
    folder = repository / 'options' / 'study'
    study = yaml.safe_load((folder / f'{name}.yml').read_text())
    changes = {'spynet_path': str(tmp_path / 'spynet.pth'), 'cache': str(tmp_path / 'cache')}
    study |= {'options': str(folder / study['options']), 'root': str(tmp_path / 'studies')}
    study |= changes if 'spynet_path' in study else {}
    (tmp_path / 'study.yml').write_text(yaml.safe_dump(study))
    plan = StudyPlan(tmp_path / 'study.yml', [*SMALLER, *data[name]])
    scores = perform(plan, plan.run(f'implicit_{study["flows"][0]}_s0'), CPU)
    assert scores.iterations == 1
    assert next(iter(scores.scores.values())).keys() == {'psnr', 'ssim'}
    assert (tmp_path / 'cache').exists() == (name == 'clips_small')


def test_estimates_need_no_data(study, capsys):
    assert main([str(study), '--estimate']) == 0
    assert 'all 4 trainings' in capsys.readouterr().out
