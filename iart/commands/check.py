"""The command ``iart check``."""

import argparse
import sys
from typing import Any

from iart.commands.arguments import add_command


def add_commands(commands: Any) -> None:
    """Add ``check`` to the subparsers of ``iart``."""
    check = add_command(
        commands, 'check', _check, 'validate options and print them resolved; touches neither data nor weights'
    )
    check.add_argument('opt', metavar='YAML')
    check.add_argument('--force_yml', nargs='+', default=[], metavar='KEY:SUB=VALUE', help='override options')


def _check(arguments: argparse.Namespace) -> None:
    from iart.options import dump, load

    options = load(arguments.opt, arguments.force_yml)
    print(dump(options), end='')
    for note in options.notes:
        print(f'note: {note}', file=sys.stderr)
