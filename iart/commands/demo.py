"""The command ``iart demo``."""

import argparse
from pathlib import Path
from typing import Any

from iart.commands.arguments import add_command, add_device


def add_commands(commands: Any) -> None:
    """Add ``demo`` to the subparsers of ``iart``."""
    text = 'score the shipped network on the bundled clip, upscale a part of it, train briefly, write a picture'
    parser = add_command(commands, 'demo', _demo, text)
    parser.add_argument(
        '--output',
        type=Path,
        default=Path('results/demo'),
        metavar='FOLDER',
        help='folder for all output (default results/demo)',
    )
    parser.add_argument(
        '--iterations',
        type=_iterations,
        metavar='N',
        help='iterations of the training (default: as many as take 45 seconds, at most 100); 0: none',
    )
    add_device(parser)


def _iterations(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'got {text!r}, expected a whole number from 0 up')
    return int(text)


def _demo(arguments: argparse.Namespace) -> None:
    from iart import device, log
    from iart.demo.walkthrough import run

    log.setup()
    run(arguments.output, arguments.iterations, device.choose(arguments.device))
