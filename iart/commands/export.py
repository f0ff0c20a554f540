"""The command ``iart export``."""

import argparse
from pathlib import Path
from typing import Any

from iart.commands.arguments import add_command


def add_commands(commands: Any) -> None:
    """Add ``export`` to the subparsers of ``iart``."""
    parser = add_command(commands, 'export', _export, 'write a network as graphs for other runtimes')
    parser.add_argument('weights', metavar='NAME|FILE', help='weight file, or a name that iart weights --list shows')
    parser.add_argument('output', type=Path, metavar='OUT', help='folder to create')
    parser.add_argument(
        '--format', choices=('onnx', 'pt2'), default='onnx', help='ONNX (default; needs iart[export]), or torch.export'
    )
    parser.add_argument(
        '--size',
        default='320x180',
        metavar='WxH|any',
        help='size of the LR frames (default 320x180), the only one that a graph takes; any: every size from 64 pixels '
        'a side',
    )
    parser.add_argument(
        '--window', type=int, metavar='T', help='one graph of T frames without state, (1, 3·T, h, w), in place of steps'
    )
    parser.add_argument('--middle', action='store_true', help='the graph of a window returns its middle frame only')
    parser.add_argument('--five', action='store_true', help='the graph of a window takes (1, T, 3, h, w)')
    parser.add_argument('--half', action='store_true', help='float16, except for frames, flow and the flow network')
    parser.add_argument('--key', default='params', help='which weights of a .pth: params (default) or params_ema')


def _export(arguments: argparse.Namespace) -> None:
    from iart import log
    from iart.errors import SettingError, UserError

    log.setup()
    from iart.export.graph_folder import ExportOptions, export
    from iart.upscaling.networks import find

    width, _, height = arguments.size.partition('x')
    if arguments.size != 'any' and not (width.isdigit() and height.isdigit()):
        raise UserError(f'--size: got {arguments.size!r}, expected WIDTHxHEIGHT, such as 320x180, or any')
    try:
        options = ExportOptions(
            format=arguments.format,
            size=None if arguments.size == 'any' else (int(height), int(width)),
            window=arguments.window,
            middle=arguments.middle,
            five=arguments.five,
            half=arguments.half,
        )
    except SettingError as error:
        raise UserError(f'--{error.name}: {error.text}') from error
    export(find(arguments.weights), arguments.output, options, arguments.key)
