"""Run the tests of video code with every supported version of PyAV.

A version for this Python is installed to a folder of its own, which precedes the environment's PyAV, and all tests of
reading and writing video run with it. A version that needs a newer Python is checked with such a Python, if there is
one, in a small environment without torch, where only the module with the differences between versions is tested.
Versions that could not be checked are listed at the end. Folders are kept in the environment.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = {'16.0.0': (3, 10), '17.1.0': (3, 10), '18.1.0': (3, 11), '19.0.2': (3, 12)}
"""What is checked: the lowest version of requirements.txt, then the last of each major one; and the Python it needs."""
TESTS = ('test_video_*.py', 'test_upscale_*.py', 'test_data_video.py')
WITHOUT_TORCH = 'test_video_pyav.py'
_INDEX_UNREACHABLE = 'from versions: none'


class Result(NamedTuple):
    """Result of one version.

    Args:
        words: description for the table.
        failed: a test failed, or could not be run although everything was installed.
        checked: the tests ran.
    """

    words: str
    failed: bool = False
    checked: bool = True


def main(argv: list[str] | None = None) -> int:
    """Check the versions named, or all; return 1 if a test failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('versions', nargs='*', metavar='VERSION', help=f'default: {", ".join(VERSIONS)}')
    parser.add_argument(
        '--all',
        action='store_true',
        help="also check the environment's own version, which the ordinary tests use",
    )
    arguments = parser.parse_args(argv)
    unknown = set(arguments.versions) - set(VERSIONS)
    if unknown:
        parser.error(f'unknown version {", ".join(sorted(unknown))}; expected one of {", ".join(VERSIONS)}')
    results = {}
    for version in arguments.versions or VERSIONS:
        if version == metadata.version('av') and not arguments.all:
            continue
        results[version] = check(version)
        print(f'PyAV {version}: {results[version].words}', flush=True)
    missing = [version for version, result in results.items() if not result.checked]
    if missing:
        print(f'WARNING: not checked: PyAV {", ".join(missing)} (see above)')
    return int(any(result.failed for result in results.values()))


def check(version: str) -> Result:
    """Install one version and run the tests with it."""
    if sys.version_info[:2] >= VERSIONS[version]:
        return _check_in_front(version)
    python = find_python(VERSIONS[version])
    if python is None:
        needed = '.'.join(map(str, VERSIONS[version]))
        return Result(f'not checked: needs Python {needed} or newer, and none is here', checked=False)
    return _check_without_torch(version, python)


def find_python(lowest: tuple[int, int]) -> str | None:
    """Return a Python of at least this version that can create environments: from the PATH, or one of pyenv's."""
    names = [f'python3.{minor}' for minor in range(lowest[1], 15)]
    installed = Path(os.environ.get('PYENV_ROOT', Path.home() / '.pyenv'), 'versions')
    candidates = [*names, *(str(p) for name in names for p in sorted(installed.glob(f'{name[6:]}.*/bin/python')))]
    for candidate in filter(shutil.which, candidates):
        if subprocess.run([candidate, '-c', 'import venv, ensurepip'], capture_output=True).returncode == 0:
            return candidate
    return None


def _check_in_front(version: str) -> Result:
    folder = Path(sys.prefix, 'pyav', version)
    if not folder.is_dir():
        partial = folder.with_name(f'{version}.partial')
        shutil.rmtree(partial, ignore_errors=True)
        failure = _install(sys.executable, '--no-deps', '--target', str(partial), f'av=={version}')
        if failure is not None:
            return failure
        partial.rename(folder)
    tests = sorted(str(p) for pattern in TESTS for p in (ROOT / 'tests').glob(pattern))
    return _test(sys.executable, [*tests, '-n', '2'], [folder, ROOT])


def _check_without_torch(version: str, python: str) -> Result:
    folder = Path(sys.prefix, 'pyav', f'{version}-alone')
    environment = str(folder / 'bin' / 'python')
    if not (folder / 'complete').is_file():
        made = subprocess.run([python, '-m', 'venv', '--clear', str(folder)], capture_output=True, text=True)
        if made.returncode != 0:
            return Result(
                f'not checked: {python} cannot make an environment ({made.stderr.strip()[-200:]})', checked=False
            )
        failure = _install(environment, *_constraints(environment), f'av=={version}', 'numpy', 'pytest')
        if failure is not None:
            return failure
        (folder / 'complete').touch()
    result = _test(environment, ['--noconftest', '-p', 'no:cacheprovider', str(ROOT / 'tests' / WITHOUT_TORCH)], [ROOT])
    return result._replace(words=f'{result.words} ({WITHOUT_TORCH} alone, with {Path(python).name} and without torch)')


def _constraints(python: str) -> list[str]:
    tag = subprocess.run(
        [python, '-c', 'import sys; print("%d%d" % sys.version_info[:2])'], capture_output=True, text=True, check=True
    ).stdout.strip()
    locked = ROOT / 'scripts' / 'constraints' / f'py{tag}.txt'
    if not locked.is_file():
        return []
    pins = [line for line in locked.read_text(encoding='utf-8').splitlines() if not line.startswith('av==')]
    file = Path(sys.prefix, 'pyav', f'constraints-{tag}.txt')
    file.write_text('\n'.join(pins), encoding='utf-8')
    return ['--constraint', str(file)]


def _install(python: str, *arguments: str) -> Result | None:
    command = [
        python,
        '-m',
        'pip',
        'install',
        '--quiet',
        '--disable-pip-version-check',
        '--no-input',
        '--only-binary',
        ':all:',
    ]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    if done.returncode == 0:
        return None
    last = next(
        (line for line in reversed(done.stderr.splitlines()) if line.startswith('ERROR')), done.stderr.strip()[-200:]
    )
    offline = _INDEX_UNREACHABLE in done.stderr or 'onnection' in done.stderr
    reason = 'the package index cannot be reached' if offline else last
    return Result(f'not checked: {reason}', checked=False)


def _test(python: str, arguments: list[str], path: list[Path]) -> Result:
    variables = {**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, path)), 'OMP_NUM_THREADS': '1'}
    done = subprocess.run([python, '-m', 'pytest', *arguments], cwd=ROOT, env=variables, capture_output=True, text=True)
    closing = re.findall(r'^=*\s*(\d+ (?:passed|failed|error).*? in [\d.]+s)', done.stdout, re.MULTILINE)
    if done.returncode != 0:
        print(done.stdout[-8000:], done.stderr[-2000:], sep='\n')
    return Result(closing[-1] if closing else f'pytest ended with {done.returncode}', failed=done.returncode != 0)


if __name__ == '__main__':
    sys.exit(main())
