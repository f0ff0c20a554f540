"""The command ``iart check``."""

import argparse
import sys
from typing import Any

from iart.commands.arguments import add_command, add_force_yml, add_options_file


def add_commands(commands: Any) -> None:
    """Add ``check`` to the subparsers of ``iart``."""
    check = add_command(
        commands, 'check', _check, 'validate options and print them resolved; reads neither data nor weights'
    )
    add_options_file(check)
    add_force_yml(check)


def _check(arguments: argparse.Namespace) -> None:
    from iart.options import dump, load

    options = load(arguments.opt, arguments.force_yml)
    print(dump(options), end='')
    for note in options.notes:
        print(f'note: {note}', file=sys.stderr)
