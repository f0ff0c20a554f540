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
    convert.add_argument('target', metavar='OUT', help='ends in .pth or .safetensors; with --hub a folder')
    convert.add_argument(
        '--hub', action='store_true', help='write a folder for a model hub: config, weights, model card'
    )
    convert.add_argument('--report', metavar='FOLDER', help='with --hub: results of iart test, for the model card')
    convert.add_argument(
        '-opt',
        '--opt',
        metavar='YAML',
        help='options of the network; default: the ones in the file, else inferred from its names and shapes',
    )
    convert.add_argument('--key', default='params', help='which weights of a .pth: params (default) or params_ema')
    convert.add_argument('--half', action='store_true', help='store float16: half the size (.safetensors only)')
    convert.add_argument(
        '--about',
        nargs='+',
        default=[],
        metavar='NAME=TEXT',
        help='metadata of the modelspec standard (.safetensors only), e.g. title="..." license=Apache-2.0',
    )


def _convert(arguments: argparse.Namespace) -> None:
    from iart import log
    from iart.errors import UserError

    log.setup()
    from iart.archs.conversion import convert

    about = dict(text.partition('=')[::2] for text in arguments.about)
    if unnamed := [text for text in arguments.about if '=' not in text]:
        raise UserError(f'--about: got {unnamed[0]!r}, expected NAME=TEXT')
    if arguments.report and not arguments.hub:
        raise UserError('--report: got it without --hub, expected both')
    convert(
        arguments.source,
        arguments.target,
        options_file=arguments.opt,
        key=arguments.key,
        half=arguments.half,
        about=about,
        hub=arguments.hub,
        report=arguments.report,
    )
