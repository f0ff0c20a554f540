"""The command ``iart setup``, which works before BasicSR is installed."""

import argparse
import importlib.util
import subprocess
import sys
from typing import Any

from iart.commands.arguments import add_command


def add_commands(commands: Any) -> None:
    """Add ``setup`` to the subparsers of ``iart``."""
    setup = add_command(commands, 'setup', _setup, 'install BasicSR, which pip cannot install as a dependency')
    setup.add_argument('--dry-run', action='store_true', help='print the command instead of running it')


def _setup(arguments: argparse.Namespace) -> None:
    from iart.errors import UserError
    from iart.shipped import ROOT

    requirements = ROOT / 'scripts' / 'requirements-basicsr.txt'
    command = [sys.executable, '-m', 'pip', 'install', '--no-deps', '-r', str(requirements)]
    if arguments.dry_run:
        print(' '.join(command))
        return
    if importlib.util.find_spec('basicsr') is not None:
        print('BasicSR is installed; nothing to do')
        return
    if importlib.util.find_spec('pip') is None:
        raise UserError(
            f'{sys.executable} has no pip: run  uv pip install --no-deps --require-hashes -r {requirements}'
            '  or  python -m ensurepip'
        )
    print(f'installing BasicSR: {" ".join(command)}', flush=True)
    if subprocess.run(command, check=False).returncode:
        raise UserError(f'BasicSR was not installed; the reason is above. The pinned file is named in {requirements}')
