"""Set-up: which versions it asks pip for, and what it advises when pip fails. pip itself is replaced by a recorder."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = sorted((ROOT / 'scripts' / 'constraints').glob('*.txt'))
LOCKED = ROOT / 'scripts' / 'constraints' / 'py{}{}.txt'.format(*sys.version_info)
RECORDER = """
import os, sys, pathlib
if '--version' not in sys.argv:
    folder = pathlib.Path(os.environ['RECORD'])
    number = len(list(folder.iterdir()))
    constraints = [sys.argv[n + 1] for n, a in enumerate(sys.argv) if a == '--constraint']
    text = pathlib.Path(constraints[0]).read_text() if constraints else ''
    (folder / str(number)).write_text(' '.join(sys.argv[1:]) + '\\n' + text)
    if os.environ.get('PIP_MESSAGE'):
        sys.exit(os.environ['PIP_MESSAGE'])
"""

pytestmark = [
    pytest.mark.skipif(shutil.which('bash') is None, reason='there is no bash here'),
    pytest.mark.skipif(not LOCKED.is_file(), reason='this Python has no locked versions'),
]


class Machine:
    """A checkout in a path with spaces, whose .venv has a pip that records what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.root, self._record = folder / 'a path with spaces', folder / 'record'
        self._record.mkdir()
        shutil.copytree(ROOT / 'scripts' / 'constraints', self.root / 'scripts' / 'constraints')
        shutil.copy(ROOT / 'scripts' / 'setup.sh', self.root / 'scripts')
        for name in ('dev', 'export', 'basicsr'):
            shutil.copy(ROOT / f'scripts/requirements-{name}.txt', self.root / 'scripts')
        for name in ('requirements.txt', 'pyproject.toml', 'setup.py'):
            shutil.copy(ROOT / name, self.root)
        self.environment = self.root / '.venv'
        venv.create(self.environment, with_pip=False, symlinks=True)
        (self._packages,) = self.environment.glob('lib/python*/site-packages')
        (self._packages / 'pip').mkdir()
        (self._packages / 'pip' / '__init__.py').touch()
        (self._packages / 'pip' / '__main__.py').write_text(RECORDER)

    def has(self, **versions: str) -> None:
        for name, version in versions.items():
            folder = self._packages / f'{name}-{version}.dist-info'
            folder.mkdir()
            (folder / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')

    def set_up(self, *arguments: str, message: str = '', **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if 'proxy' not in k.lower()} | {
            **{
                'RECORD': str(self._record),
                'PIP_MESSAGE': message,
                'HOME': '/nowhere',
                'VIRTUAL_ENV': str(self.environment),
            },
            **variables,
        }
        command = ['bash', str(self.root / 'scripts' / 'setup.sh'), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    def asked(self, number: int = 0) -> tuple[str, list[str]]:
        """The arguments and the constraints of one of pip's calls."""
        arguments, *constraints = (self._record / str(number)).read_text().splitlines()
        return arguments, constraints

    def calls(self) -> int:
        return len(list(self._record.iterdir()))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def pins(file: Path) -> list[str]:
    return [line for line in file.read_text(encoding='utf-8').splitlines() if '==' in line]


def test_the_locked_versions_are_the_default(machine):
    done = machine.set_up('--dev')
    assert done.returncode == 0, done.stderr
    assert machine.calls() == 4
    arguments, constraints = machine.asked()
    assert arguments.endswith('-r requirements.txt')
    assert constraints == pins(LOCKED)
    assert machine.asked(3)[0].endswith('-r scripts/requirements-export.txt -r scripts/requirements-dev.txt')
    assert machine.asked(3)[1] == pins(LOCKED)


def test_the_choice_is_kept(machine):
    assert machine.set_up('--lowest').returncode == 0
    assert machine.asked()[1] == pins(LOCKED.with_stem(f'{LOCKED.stem}-lowest'))
    assert 'requirements.txt (lowest versions)' in machine.set_up().stdout
    assert 'requirements.txt (locked versions)' in machine.set_up('--locked').stdout
    assert 'requirements.txt (locked versions)' in machine.set_up().stdout


def test_latest_asks_for_the_newest(machine):
    assert machine.set_up('--latest').returncode == 0
    arguments, constraints = machine.asked()
    assert '--upgrade --upgrade-strategy eager' in arguments
    assert constraints == []


@pytest.mark.parametrize('choice', ['--locked', '--latest'])
def test_a_torch_for_another_device_is_kept(machine, choice):
    machine.has(torch='2.13.0+cpu', torchvision='0.28.0+cpu', numpy='1.26.4')
    assert machine.set_up(choice).returncode == 0
    constraints = machine.asked()[1]
    assert constraints[:2] == ['torch==2.13.0+cpu', 'torchvision==0.28.0+cpu']
    names = [line.partition('==')[0] for line in constraints[2:]]
    assert not [name for name in names if name.startswith(('torch', 'nvidia', 'cuda', 'triton', 'sympy'))]
    assert ('numpy' in names) is (choice == '--locked')


def test_an_older_torch_is_replaced_in_the_own_environment_only(machine):
    machine.has(torch='2.6.0', numpy='1.26.4')
    assert machine.set_up().returncode == 0
    assert machine.asked()[1] == pins(LOCKED)
    assert machine.set_up('--no-venv', '--locked').returncode == 0
    constraints = machine.asked(3)[1]
    assert 'torch==2.6.0' in constraints
    assert not [line for line in constraints if line.startswith('numpy==')]
    assert [line for line in constraints if line.startswith('av==')]


def test_a_python_that_was_not_tested(machine):
    (machine.root / 'scripts' / 'constraints' / LOCKED.name).unlink()
    done = machine.set_up()
    assert done.returncode == 0
    assert 'nothing was tested with Python' in done.stdout
    assert machine.asked()[1] == []


@pytest.mark.parametrize(
    ('message', 'remedy'),
    [
        ("ProxyError('Cannot connect to proxy.')", 'the proxy http://127.0.0.1:9 refuses or is not there'),
        ('SSLError(certificate verify failed: unable to get local issuer certificate)', 'PIP_CERT='),
        ('NewConnectionError: Failed to establish a new connection', 'the package index cannot be reached'),
        (
            'ERROR: Could not find a version that satisfies av (from versions: none)',
            'the package index cannot be reached',
        ),
        ('OSError: [Errno 28] No space left on device', 'make room: some 10 GB'),
        ('OSError: [Errno 30] Read-only file system', 'it must be possible to write to'),
        ('ERROR: ResolutionImpossible', 'bash scripts/setup.sh --latest'),
        ('ERROR: No matching distribution found for torch>=2.6', 'there is no build of that package for this Python'),
        ('THESE PACKAGES DO NOT MATCH THE HASHES', 'do not install it'),
        ('something else', 'is there a network connection'),
    ],
)
def test_the_remedy_fits_the_message_of_pip(machine, message, remedy):
    done = machine.set_up(message=message, HTTPS_PROXY='http://127.0.0.1:9')
    assert done.returncode == 1
    assert message in done.stderr
    assert 'failed at this step: install requirements.txt (locked versions)' in done.stderr
    assert remedy in done.stderr.partition('what to do: ')[2]
    assert not (machine.environment / 'iart-setup.stamp').exists()


def test_an_environment_without_pip(machine):
    shutil.rmtree(next(machine.environment.glob('lib/python*/site-packages/pip')))
    done = machine.set_up('--no-venv')
    assert done.returncode == 2
    assert f'the environment in {machine.environment} has no pip' in done.stderr
    assert '-m ensurepip' in done.stderr


@pytest.mark.parametrize('file', CONSTRAINTS, ids=[file.stem for file in CONSTRAINTS])
def test_constraints_fit_the_ranges(file):
    """Also: nothing but names and versions, so that they are good for every index."""
    lines = file.read_text(encoding='utf-8').splitlines()
    assert all(re.fullmatch(r'#.*|[a-z0-9][a-z0-9.-]*==[a-z0-9.]+', line) for line in lines)
    chosen = dict(line.split('==') for line in lines if '==' in line)
    for line in (ROOT / 'requirements.txt').read_text(encoding='utf-8').splitlines():
        if line and not line.startswith('#'):
            requirement = Requirement(line)
            assert requirement.specifier.contains(chosen[requirement.name]), (line, chosen[requirement.name])


def test_every_lower_end_is_among_the_lowest_versions():
    """A range begins with a version that some Python gets from ``--lowest``, and so was tried."""
    lowest: dict[str, set[Version]] = {}
    for file in CONSTRAINTS:
        if file.stem.endswith('-lowest'):
            for line in pins(file):
                name, _, version = line.partition('==')
                lowest.setdefault(name, set()).add(Version(version))
    for line in (ROOT / 'requirements.txt').read_text(encoding='utf-8').splitlines():
        if line and not line.startswith('#'):
            requirement = Requirement(line)
            (begin,) = [s.version for s in requirement.specifier if s.operator == '>=']
            assert any(str(v).startswith(begin) for v in lowest[requirement.name]), (line, lowest[requirement.name])


def test_the_table_of_versions_names_what_the_lists_hold():
    """The lowest versions are those of Python 3.10's list, the highest are not below any locked one."""
    rows = re.findall(r'\| ([\w-]+) \| ([\d.]+) \| ([\d.]+) (?=\|)', (ROOT / 'docs' / 'versions.md').read_text('utf-8'))
    table = {name: (lowest, Version(highest)) for name, lowest, highest in rows}
    folder = ROOT / 'scripts' / 'constraints'
    lowest = dict(line.split('==') for line in pins(folder / 'py310-lowest.txt'))
    locked = [dict(line.split('==') for line in pins(file)) for file in CONSTRAINTS if 'lowest' not in file.stem]
    names = re.findall(r'^([a-z][\w-]*)>=', (ROOT / 'requirements.txt').read_text('utf-8'), re.MULTILINE)
    assert sorted(table) == sorted(names)
    assert {name: table[name][0] for name in names} == {name: lowest[name] for name in names}
    assert not [name for name in names if max(Version(versions[name]) for versions in locked) > table[name][1]]
