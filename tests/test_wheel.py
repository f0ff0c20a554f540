"""A wheel is a product: outside the repository it finds its options and meta files, and names commands that exist."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'README.md', 'LICENSE', 'requirements.txt')
_WITHOUT_BASICSR = """
import sys
class Hidden:
    def find_spec(name, path=None, target=None):
        if name.partition('.')[0] == 'basicsr':
            raise ModuleNotFoundError("No module named 'basicsr'", name='basicsr')
sys.meta_path.insert(0, Hidden)
from iart.cli import main
main(sys.argv[1:])
"""


@pytest.fixture(scope='module')
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a wheel of this checkout unpacks to, as pip would install it."""
    source, target = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('site-packages')
    for name in SOURCES:
        shutil.copy(ROOT / name, source)
    for folder in (
        'iart',
        'options',
        'datasets/demo',
        'datasets/meta_info',
        'experiments/pretrained_models',
        'scripts',
    ):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns('__pycache__'))
    pip = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '--quiet', '-w', str(target)]
    built = subprocess.run([*pip, '.'], cwd=source, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = target.glob('*.whl')
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def run(installed: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder outside the repository with the unpacked wheel."""
    environment = {**os.environ, 'PYTHONPATH': str(installed), 'XDG_CACHE_HOME': str(folder / 'cache')}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_every_option_and_meta_file_is_inside(installed: Path) -> None:
    shipped = installed / 'iart' / '_shipped'
    inside = {file.relative_to(shipped).as_posix(): file.read_bytes() for file in shipped.rglob('*') if file.is_file()}
    places = ('options', 'options/demo', 'options/small', 'options/test', 'options/study')
    expected = [file for place in places for file in (ROOT / place).glob('*.yml')]
    expected += [*(ROOT / 'datasets' / 'meta_info').glob('*.txt'), ROOT / 'scripts' / 'requirements-basicsr.txt']
    expected += [ROOT / 'datasets' / 'demo' / name for name in ('bigbuckbunny.mp4', 'README.md')]
    expected += (ROOT / 'experiments' / 'pretrained_models').glob('IART_small*')
    assert inside == {file.relative_to(ROOT).as_posix(): file.read_bytes() for file in expected}


def test_commands_outside_the_repository(installed: Path, tmp_path: Path) -> None:
    code = f"""
import contextlib, io, sys
import iart
from iart.cli import main
from iart.data.meta import read_meta
from iart.options import load
assert iart.__file__.startswith({str(installed)!r}), iart.__file__
for name in ('REDS4_N6', 'IART_REDS4_N6', 'iart_reds4_n6.yml', 'options/test/IART_REDS4_N6.yml'):
    assert load(name).name == 'IART_REDS4_N6', name
assert len(read_meta('somewhere/meta_info_REDS_GT.txt')) == 270
for command, code in ((['weights', '--list'], 0), (['test', '-opt', 'REDS4_N6', '--device', 'cpu'], 2)):
    try:
        main(command)
    except SystemExit as stop:
        assert stop.code == code, (command, stop.code)
"""
    done = run(installed, tmp_path, '-c', code)
    assert done.returncode == 0, done.stderr
    assert 'basicvsr-reds4    missing' in done.stdout
    assert 'datasets/REDS/val_REDS4_sharp' in done.stderr or 'IART_REDS_BI_N6.pth does not exist' in done.stderr
    assert 'Traceback' not in done.stderr


def test_the_first_message_names_a_command_that_exists(installed: Path, tmp_path: Path) -> None:
    missing = run(installed, tmp_path, '-c', _WITHOUT_BASICSR, 'upscale', 'in.mp4', 'out.mp4')
    assert missing.returncode == 2, missing.stderr
    assert 'BasicSR is not installed: run  iart setup' in missing.stderr
    shown = run(installed, tmp_path, '-m', 'iart', 'setup', '--dry-run')
    assert shown.returncode == 0
    requirements = Path(shown.stdout.split()[-1])
    assert requirements.is_relative_to(installed)
    assert '--hash=sha256:' in requirements.read_text(encoding='utf-8')
