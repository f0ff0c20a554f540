"""The command line: what users type, what they get, and which code the process ends with."""

import json
import subprocess
import sys

import pytest
import torch
import yaml
from helpers.tiny import TinyFlow, options, write_clips, write_options

from iart import cli
from iart.archs.builder import build_network
from iart.weights import write_weights


@pytest.fixture(autouse=True)
def _tiny_flow(monkeypatch):
    monkeypatch.setattr('iart.archs.flow.spynet_class', lambda: TinyFlow)


def run(*arguments):
    """The code a command ends with."""
    try:
        cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        return stop.code
    return 0


def test_check_prints_what_it_understood(tmp_path, capsys):
    path = write_options(tmp_path, use_static_graph=True)
    assert run('check', path, '--force_yml', 'train:total_iter=7') == 0
    out, err = capsys.readouterr()
    assert yaml.safe_load(out)['train']['total_iter'] == 7
    assert 'use_static_graph' in err


def test_all_mistakes_in_one_message_and_code_2(tmp_path, capsys):
    path = write_options(tmp_path, network_g__embed_dims=8, train__total_itr=3)
    assert run('check', path) == 2
    err = capsys.readouterr().err
    assert 'network_g.embed_dims' in err
    assert 'train.total_itr' in err
    assert 'Traceback' not in err


def test_train_then_test(tmp_path, capsys):
    write_clips(tmp_path)
    path = write_options(tmp_path, train__total_iter=1)
    assert run('train', '-opt', path, '--device', 'cpu') == 0
    weights = tmp_path / 'experiments' / 'tiny' / 'models' / 'net_g_1.pth'
    assert run('test', '-opt', path, '--weights', weights, '--device', 'cpu', '--save-frames') == 0
    report = json.loads((tmp_path / 'results' / 'tiny' / 'report.json').read_text())
    assert report['sets'][0]['clips'][0]['frames'] == 4
    assert len(list((tmp_path / 'results' / 'tiny' / 'visualization').rglob('*.png'))) == 8
    assert (tmp_path / 'results' / 'tiny' / 'frames.csv').read_text().count('\n') == 9
    assert 'Traceback' not in capsys.readouterr().err


def test_a_forced_plan_stands_in_the_report(tmp_path):
    write_clips(tmp_path)
    torch.save({'params': build_network(options(tmp_path)).state_dict()}, tmp_path / 'w.pth')
    path, result = write_options(tmp_path), []
    for plan in (['disk', '--spill-to', tmp_path], ['chunks', '--chunk', '2', '--chunk-overlap', '0']):
        assert run('test', '-opt', path, '--weights', tmp_path / 'w.pth', '--plan', *plan) == 0
        result.append(json.loads((tmp_path / 'results' / 'tiny' / 'report.json').read_text())['sets'][0])
    assert [s['approximated'] for s in result] == [[], ['chunks of 2 frames, with 0 more on each side']]
    assert [s['clips'][0]['exact'] for s in result] == [True, False]
    assert result[0]['clips'][0]['plans'] == ['features on disk']
    assert len(result[0]['rank_memory_mb']) == 1


def test_debug_reports_every_iteration(tmp_path):
    write_clips(tmp_path)
    assert run('train', '-opt', write_options(tmp_path, train__total_iter=2, logger__print_freq=100), '--debug') == 0
    log = (tmp_path / 'experiments' / 'debug_tiny' / 'train.log').read_text()
    assert 'iter 1/2' in log
    assert 'iter 2/2' in log


def test_bicubic_needs_no_weights(tmp_path):
    write_clips(tmp_path)
    assert run('test', '-opt', write_options(tmp_path), '--baseline', 'bicubic') == 0
    report = json.loads((tmp_path / 'results' / 'tiny_bicubic' / 'report.json').read_text())
    assert report['network']['type'] == 'Bicubic'


def test_folders_on_the_command_line_win_and_gt_may_be_missing(tmp_path):
    write_clips(tmp_path)
    torch.save({'params': build_network(options(tmp_path)).state_dict()}, tmp_path / 'w.pth')
    path = write_options(
        tmp_path, datasets__val__dataroot_gt=str(tmp_path / 'nowhere'), datasets__val__dataroot_lq='nowhere'
    )
    code = run('test', '-opt', path, '--weights', tmp_path / 'w.pth', '--lq', tmp_path / 'LR', '--save-frames')
    assert code == 0
    assert len(list((tmp_path / 'results').rglob('*.png'))) == 8


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['train', '-opt', 'none.yml'], 'none.yml'),
        (['test', '-opt', '{o}'], 'path.pretrain_network_g'),
        (['test', '-opt', '{o}', '--weights', 'none.pth'], 'none.pth'),
        (['train', '-opt', '{o}', '--device', 'cuda:7'], 'cuda:7'),
        (['test', '-opt', '{o}', '--tile', '20'], '--tile'),
        (['train', '-opt', '{o}', '--launcher', 'pytorch'], 'dist_train.sh'),
        (['convert', '{o}', '{o}'], 'as both input and output'),
    ],
)
def test_mistakes_are_messages(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.delenv('RANK', raising=False)
    write_clips(tmp_path)
    path = write_options(tmp_path)
    assert run(*(a.replace('{o}', str(path)) for a in arguments)) == 2
    err = capsys.readouterr().err
    assert message in err
    assert 'Traceback' not in err


def test_help_is_quick_and_needs_no_torch():
    code = (
        "import sys; from iart import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass\nassert 'torch' "
        'not in sys.modules'
    )
    subprocess.run([sys.executable, '-c', code], check=True, capture_output=True)


def test_the_package_is_lazy():
    code = (
        "import sys, iart; assert 'torch' not in sys.modules; iart.build_network; assert 'torch' in "
        'sys.modules; print(iart.__version__)'
    )
    done = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True)
    assert done.stdout.strip()


@pytest.mark.parametrize('script', ['train.py', 'test_IART_reds_N6.py', 'test_IART_reds_N16.py'])
def test_scripts_at_the_top_are_the_same_commands(repository, script):
    done = subprocess.run(
        [sys.executable, str(repository / script), '--help'], capture_output=True, text=True, check=True
    )
    assert '--force_yml' in done.stdout


def test_report_in_one_command(tmp_path, capsys):
    write_clips(tmp_path, clips=6)
    torch.save({'params': build_network(options(tmp_path)).state_dict()}, tmp_path / 'w.pth')
    path = write_options(tmp_path)
    assert run('test', '-opt', path, '--weights', tmp_path / 'w.pth', '--device', 'cpu', '--report') == 0
    assert run('test', '-opt', path, '--baseline', 'bicubic', '--report') == 0
    results = tmp_path / 'results'
    assert len(list((results / 'tiny' / 'visualization' / 'held').iterdir())) == 4  # of the 6 clips
    text = (results / 'tiny' / 'report.html').read_text(encoding='utf-8')
    assert 'First order: from frame 00000001 to frame 00000002' in text
    assert 'Alignment' not in (results / 'tiny_bicubic' / 'report.html').read_text(encoding='utf-8')
    assert run('report', results / 'tiny_bicubic', results / 'tiny', '--clips', '1') == 0
    assert (results / 'tiny_bicubic_vs_tiny' / 'report.html').is_file()
    assert 'Traceback' not in capsys.readouterr().err


@pytest.mark.parametrize(
    ('command', 'spellings'),
    [
        ('check', (['{o}'], ['-opt', '{o}'], ['--opt', '{o}'], ['-opt={o}'], ['{o}', '--force-yml', 'scale=4'])),
        ('train', (['-opt', '{o}'], ['{o}'], ['{o}', '--auto_resume'], ['--auto-resume', '-opt', '{o}'])),
        ('test', (['-opt', '{o}'], ['{o}'], ['{o}', '--save_frames'], ['{o}', '--spill_to', 'x', '--chunk_overlap=2'])),
        ('estimate', (['{o}'], ['-opt', '{o}', '--force_yml', 'scale=4'])),
        ('data check', (['{o}'], ['-opt', '{o}'], ['{o}', '--force-yml', 'a:b=c_d'])),
        ('convert', (['IN', 'OUT', '-opt', '{o}'], ['IN', 'OUT', '--opt', '{o}'])),
    ],
)
def test_every_spelling_of_an_argument_is_understood(command, spellings):
    for arguments in spellings:
        parsed = cli._parser().parse_args([*command.split(), *(a.replace('{o}', 'x.yml') for a in arguments)])
        assert 'x.yml' in (getattr(parsed, 'opt', None), getattr(parsed, 'what', None)), arguments


def test_spellings_set_the_same_value():
    for auto in ('--auto_resume', '--auto-resume'):
        assert cli._parser().parse_args(['train', 'x.yml', auto]).auto_resume is True
    for save, value in (('--save_frames', True), ('--no-save-frames', False), ('--no_save_frames', False)):
        assert cli._parser().parse_args(['test', 'x.yml', save]).save_frames is value


def test_without_arguments_the_help_lists_the_commands(capsys):
    assert run() == 2
    help_text = capsys.readouterr().err
    assert all(command in help_text for command in ('upscale', 'train', 'test', 'setup'))


@pytest.mark.parametrize('arguments', [['check'], ['train', '--debug'], ['test', '-opt', 'a.yml', 'b.yml']])
def test_one_options_file_is_demanded(arguments, capsys):
    assert run(*arguments) == 2
    assert 'YAML' in capsys.readouterr().err


def test_scores_any_weights_on_any_clips_without_an_options_file(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_clips(tmp_path, clips=1, frames=2)
    network = options(tmp_path)['network_g']
    write_weights(tmp_path / 'own.safetensors', build_network(network), network)
    assert run('test', '--weights', 'own.safetensors', '--lq', 'LR', '--gt', 'GT', '--device', 'cpu') == 0
    report = json.loads((tmp_path / 'results' / 'own_GT' / 'report.json').read_text())
    assert json.dumps(report).count('psnr')
    assert run('test', '--weights', 'own.safetensors') == 2
    assert 'got neither -opt nor --lq' in capsys.readouterr().err


def test_convert_describes_and_halves(tmp_path, capsys):
    network = options(tmp_path)['network_g']
    write_weights(tmp_path / 'own.safetensors', build_network(network), network)
    assert (
        run('convert', tmp_path / 'own.safetensors', tmp_path / 'half.safetensors', '--half', '--about', 'title=T') == 0
    )
    assert (tmp_path / 'half.safetensors').stat().st_size < (tmp_path / 'own.safetensors').stat().st_size
    assert run('convert', tmp_path / 'own.safetensors', tmp_path / 'again.safetensors', '--about', 'title') == 2
    assert "--about: got 'title', expected NAME=TEXT" in capsys.readouterr().err
