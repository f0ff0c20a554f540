"""The command ``iart doctor``."""

import argparse
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any

from iart.commands.arguments import add_command
from iart.errors import UserError

_NULL_DEVICE = Path(__file__).resolve().parents[2] / 'tests' / 'null_cuda' / 'null_device.py'


def add_commands(commands: Any) -> None:
    """Add ``doctor`` to the subparsers of ``iart``."""
    parser = add_command(commands, 'doctor', _doctor, 'check this installation and its GPUs')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N (default auto)')
    parser.add_argument(
        '--json', type=Path, default=Path('iart_doctor.json'), metavar='FILE', help='file for the figures'
    )
    parser.add_argument(
        '--null', action='store_true', help='check on a CUDA device that computes nothing; in a source checkout'
    )


def _doctor(arguments: argparse.Namespace) -> None:
    from iart import log
    from iart.doctor.examination import examine

    log.setup()
    with tempfile.TemporaryDirectory(prefix='iart-null-') as folder:
        variables = _null_variables(Path(folder)) if arguments.null else None
        if not examine(arguments.device, arguments.json, variables):
            sys.exit(1)


def _null_variables(folder: Path) -> dict[str, str]:
    """Build the null device and return the environment variables that put a program on it."""
    if not _NULL_DEVICE.exists():
        raise UserError(f'--null: {_NULL_DEVICE} does not exist, expected a source checkout of this project')
    null_device = runpy.run_path(str(_NULL_DEVICE))
    try:
        variables: dict[str, str] = null_device['build'](folder)
    except null_device['UnavailableError'] as error:
        raise UserError(f'--null: {error}') from error
    return variables
