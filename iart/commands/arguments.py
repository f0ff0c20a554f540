"""Arguments and steps that several commands share."""

import argparse
from collections.abc import Callable
from typing import Any


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str
) -> argparse.ArgumentParser:
    """Add a command with its help text to the subparsers, and what runs it."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def add_run_arguments(parser: argparse.ArgumentParser, without_options: str = '') -> None:
    """Add the arguments of commands that run an options file on a device.

    Args:
        parser: of the command.
        without_options: what happens without an options file; empty where there must be one.
    """
    text = f'options file; default: {without_options}' if without_options else 'options file'
    parser.add_argument('-opt', required=not without_options, metavar='YAML', help=text)
    parser.add_argument(
        '--force_yml',
        nargs='+',
        default=[],
        metavar='KEY:SUB=VALUE',
        help='override options, e.g. train:total_iter=1000',
    )
    parser.add_argument(
        '--launcher', choices=('none', 'pytorch', 'slurm'), default='none', help='who started the processes'
    )
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:N or mps (default auto)')


def launch(arguments: argparse.Namespace, options: Any) -> Any:
    """Choose the device, join the process group, start the log."""
    from iart import device, distributed, log

    given, launcher = options.dist_params, arguments.launcher
    distributed.prepare(launcher, given.port)
    ranks = distributed.local_rank(launcher), distributed.local_world_size(launcher)
    place = device.choose(arguments.device, *ranks)
    distributed.launch(
        launcher,
        device=place,
        backend=given.backend,
        port=given.port,
        timeout_minutes=given.timeout_minutes,
        deterministic=options.train is not None and options.train.deterministic,
    )
    log.setup()
    return place
