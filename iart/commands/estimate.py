"""The command ``iart estimate``. Heavy imports happen inside it."""

import argparse
from typing import Any

_DESCRIPTION = (
    'Say what a training run will cost: FLOPs, seconds per iteration, days, memory, and what to change '
    'if it does not fit.'
)


def add_commands(commands: Any) -> None:
    """Add ``estimate`` to the subparsers of ``iart``."""
    parser = commands.add_parser(
        'estimate', help='what a training run will cost in time and memory', description=_DESCRIPTION
    )
    parser.set_defaults(run=_estimate)
    parser.add_argument('opt', metavar='YAML', help='options of a training run; its data and weights need not be there')
    parser.add_argument('--force_yml', nargs='+', default=[], metavar='KEY:SUB=VALUE', help='override options')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:N or mps (default auto)')
    parser.add_argument('--seconds', type=float, default=60.0, help='that timing may take, about (default 60)')
    parser.add_argument('--json', action='store_true', help='print the figures as JSON')


def _estimate(arguments: argparse.Namespace) -> None:
    import json
    import logging

    from iart import device as devices
    from iart import log
    from iart.options import load
    from iart.training.estimate import estimate, print_estimate

    log.setup()
    if arguments.json:
        log.logger.setLevel(logging.WARNING)
    found = estimate(
        load(arguments.opt, arguments.force_yml), devices.choose(arguments.device), seconds=arguments.seconds
    )
    if arguments.json:
        print(json.dumps(found.as_dict(), indent=1))
    else:
        print_estimate(found)
