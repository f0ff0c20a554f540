"""The shell scripts: they parse, refuse what they cannot do with a message that helps, and the top level is in
order."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted([*ROOT.glob('*.sh'), *ROOT.glob('scripts/*.sh'), ROOT / '.ci' / 'run'])
TOP_LEVEL = {
    *('iart', 'options', 'scripts', 'experiments', 'datasets', 'tests', 'docs'),
    *(
        'train.py',
        'test_IART_reds_N6.py',
        'test_IART_reds_N16.py',
        'dist_train.sh',
        'requirements.txt',
        'setup.py',
        'MANIFEST.in',
        'pyproject.toml',
    ),
    *('mkdocs.yml', 'README.md', 'CONTRIBUTING.md', 'LICENSE', 'CHANGELOG.md', 'CITATION.cff'),
}

pytestmark = pytest.mark.skipif(shutil.which('bash') is None, reason='there is no bash here')


def run(
    *command: str | Path, cwd: Path = ROOT, without: tuple[str, ...] = ('VIRTUAL_ENV', 'CONDA_PREFIX'), **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in without} | variables
    return subprocess.run(
        ['bash', *map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The set-up script in a folder of its own, with no environment in it."""
    (tmp_path / 'scripts').mkdir()
    shutil.copy(ROOT / 'scripts' / 'setup.sh', tmp_path / 'scripts')
    return tmp_path


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def pretender(tmp_path: Path) -> Path:
    """A `python` that prints its arguments instead of running them."""
    path = tmp_path / 'bin' / 'python'
    path.parent.mkdir()
    path.write_text('#!/bin/sh\necho "threads=$OMP_NUM_THREADS"\nprintf "%s\\n" "$@"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize('script', SCRIPTS, ids=[p.name for p in SCRIPTS])
def test_parses_and_stops_at_errors(script: Path) -> None:
    done = run('-n', script)
    assert (done.returncode, done.stderr) == (0, '')
    assert 'set -euo pipefail' in script.read_text(encoding='utf-8')


def test_top_level_is_as_agreed() -> None:
    if not (ROOT / '.git').exists() or shutil.which('git') is None:
        pytest.skip('not a git checkout')
    listed = subprocess.run(
        ['git', 'ls-files', '-z'], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split('\0')
    result = {name.split('/')[0] for name in listed if name}
    result = {name for name in result if not name.startswith('.')}
    assert (sorted(result - TOP_LEVEL), sorted(TOP_LEVEL - result)) == ([], []), 'names too many, names missing'
    assert '.ci/run' in listed


def test_ci_runs_the_test_command() -> None:
    assert 'bash scripts/test.sh' in (ROOT / '.ci' / 'run').read_text(encoding='utf-8')


def test_set_up_names_a_python_that_does_not_run(checkout: Path) -> None:
    done = run(checkout / 'scripts' / 'setup.sh', cwd=Path('/'), PYTHON='/nowhere/python3')
    assert done.returncode == 1
    assert 'PYTHON=/nowhere/python3' in done.stderr
    assert 'failed at this step: find Python 3.10 or newer' in done.stderr
    assert 'what to do: install Python 3.10 or newer' in done.stderr
    assert not (checkout / '.venv').exists()


@pytest.mark.parametrize(
    ('answers', 'reason', 'remedy'),
    [
        ('exit 1', 'does not run', 'install Python 3.10'),  # a pyenv shim without a version
        ('echo 3.8; exit 1', 'is Python 3.8, older than 3.10', 'install Python 3.10'),
        (
            'case $2 in *ensurepip*) exit 1;; esac; echo 3.11',
            'is Python 3.11, but cannot make',
            'install what makes env',
        ),
    ],
)
def test_set_up_refuses_a_python(checkout: Path, tmp_path: Path, answers: str, reason: str, remedy: str) -> None:
    python = executable(tmp_path / 'python3', f'#!/bin/sh\n{answers}\n')
    done = run(checkout / 'scripts' / 'setup.sh', PYTHON=str(python))
    assert done.returncode == 1
    assert f'PYTHON={python} {reason}' in done.stderr
    assert 'failed at this step: find Python 3.10 or newer' in done.stderr
    assert f'what to do: {remedy}' in done.stderr


def test_set_up_without_an_active_environment(checkout: Path) -> None:
    done = run(checkout / 'scripts' / 'setup.sh', '--no-venv')
    assert done.returncode == 2
    assert 'no virtual environment and no conda environment is active' in done.stderr
    assert 'what to do: activate' in done.stderr


@pytest.mark.parametrize('variable', ['VIRTUAL_ENV', 'CONDA_PREFIX'])
def test_set_up_with_a_broken_active_environment(checkout: Path, variable: str) -> None:
    done = run(
        checkout / 'scripts' / 'setup.sh',
        '--no-venv',
        without=('VIRTUAL_ENV', 'CONDA_PREFIX'),
        **{variable: '/nowhere'},
    )
    assert done.returncode == 2
    assert 'the environment in /nowhere has no working Python' in done.stderr


def test_set_up_refuses_unknown_arguments(checkout: Path) -> None:
    done = run(checkout / 'scripts' / 'setup.sh', '--develop')
    assert done.returncode == 2
    assert 'unknown argument: --develop' in done.stderr


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((), 'expected the number of GPUs and an options file'),
        (('2',), 'expected the number of GPUs and an options file'),
        (('two', 'setup.py'), "NUM_GPU: got 'two'"),
        (('0', 'setup.py'), "NUM_GPU: got '0'"),
        (('2', 'options/nothing.yml'), 'options file not found: options/nothing.yml'),
    ],
)
def test_launcher_refuses(arguments: tuple[str, ...], message: str) -> None:
    done = run('dist_train.sh', *arguments)
    assert done.returncode == 2
    assert 'usage: bash dist_train.sh NUM_GPU options/X.yml' in done.stderr
    assert message in done.stderr


def test_launcher_wants_to_know_the_other_machines() -> None:
    done = run('dist_train.sh', '8', 'setup.py', without=('MASTER_ADDR', 'NODE_RANK'), NNODES='2')
    assert done.returncode == 2
    assert 'NNODES=2 needs NODE_RANK and MASTER_ADDR' in done.stderr


def test_launcher_on_one_machine(pretender: Path) -> None:
    without = ('NNODES', 'NODE_RANK', 'MASTER_ADDR', 'MASTER_PORT')
    done = run(
        'dist_train.sh',
        '2',
        'setup.py',
        '--auto_resume',
        '--force_yml',
        'a=b c',
        without=without,
        PYTHON=str(pretender),
        OMP_NUM_THREADS='3',
    )
    assert done.stdout.splitlines() == [
        *(
            'threads=3',
            '-m',
            'torch.distributed.run',
            '--nproc_per_node',
            '2',
            '--max_restarts',
            '3',
            '--standalone',
            str(ROOT / 'train.py'),
        ),
        *('-opt', 'setup.py', '--launcher', 'pytorch', '--auto_resume', '--force_yml', 'a=b c'),
    ]


def test_launcher_on_several_machines(pretender: Path) -> None:
    variables = {'NNODES': '2', 'NODE_RANK': '1', 'MASTER_ADDR': 'first', 'MASTER_PORT': '1234'}
    done = run('dist_train.sh', '8', 'setup.py', PYTHON=str(pretender), **variables)
    words = done.stdout.split()
    assert words[words.index('--nnodes') :][:8] == [
        '--nnodes',
        '2',
        '--node_rank',
        '1',
        '--master_addr',
        'first',
        '--master_port',
        '1234',
    ]


def test_launcher_takes_the_active_environment(pretender: Path) -> None:
    done = run(
        'dist_train.sh',
        '1',
        'setup.py',
        without=('PYTHON', 'MASTER_PORT', 'NNODES'),
        VIRTUAL_ENV='/some',
        PATH=f'{pretender.parent}:{os.environ["PATH"]}',
    )
    assert 'torch.distributed.run' in done.stdout
