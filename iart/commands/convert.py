"""The command ``iart convert``."""

import argparse
from typing import Any

from iart.commands.arguments import add_command


def add_commands(commands: Any) -> None:
    """Add ``convert`` to the subparsers of ``iart``."""
    convert = add_command(
        commands, 'convert', _convert, 'convert weights between .pth (released layout) and .safetensors'
    )
    convert.add_argument('source', metavar='IN')
    convert.add_argument('target', metavar='OUT', help='ends in .pth or .safetensors')
    convert.add_argument(
        '-opt',
        '--opt',
        metavar='YAML',
        help='options of the network; default: the ones in the file, else inferred from its names and shapes',
    )
    convert.add_argument('--key', default='params', help='which weights of a .pth: params (default) or params_ema')


def _convert(arguments: argparse.Namespace) -> None:
    from iart import log

    log.setup()
    from iart.archs.convert import convert

    convert(arguments.source, arguments.target, options_file=arguments.opt, key=arguments.key)
