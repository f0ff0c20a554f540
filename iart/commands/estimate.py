"""The command ``iart estimate``. Heavy imports happen inside it."""

import argparse
from typing import Any

from iart.commands.arguments import add_device, add_force_yml, add_options_file

_DESCRIPTION = (
    'Estimate what a training run costs: FLOPs, seconds per iteration, days, memory, and what to change '
    'if it does not fit.'
)


def add_commands(commands: Any) -> None:
    """Add ``estimate`` to the subparsers of ``iart``."""
    parser = commands.add_parser(
        'estimate', help='estimate time and memory of a training run', description=_DESCRIPTION
    )
    parser.set_defaults(run=_estimate)
    add_options_file(parser, text='options of a training run; its data and weights need not exist')
    add_force_yml(parser)
    add_device(parser)
    parser.add_argument('--seconds', type=float, default=15.0, help='approximate time spent on timing (default 15)')
    parser.add_argument('--json', action='store_true', help='print the figures as JSON')


def _estimate(arguments: argparse.Namespace) -> None:
    import json
    import logging

    from iart import device as devices
    from iart import log
    from iart.options import load
    from iart.training.cost_estimate import estimate
    from iart.training.estimate_tables import print_estimate

    log.setup()
    if arguments.json:
        log.logger.setLevel(logging.WARNING)
    result = estimate(
        load(arguments.opt, arguments.force_yml), devices.choose(arguments.device), seconds=arguments.seconds
    )
    if arguments.json:
        print(json.dumps(result.as_dict(), indent=1))
    else:
        print_estimate(result)
