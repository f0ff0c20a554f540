"""The command ``iart train``."""

import argparse
from typing import Any

from iart.commands.arguments import add_command, add_run_arguments, launch

_DEBUG = ('logger:print_freq=1', 'logger:save_checkpoint_freq=8', 'logger:use_tb_logger=false', 'val:val_freq=8')


def add_commands(commands: Any) -> None:
    """Add ``train`` to the subparsers of ``iart``."""
    train = add_command(commands, 'train', _train, 'train a network')
    add_run_arguments(train)
    train.add_argument(
        '--auto_resume', action='store_true', help='resume from the newest training state, if there is one'
    )
    train.add_argument(
        '--force_resume', action='store_true', help='resume although network, data or number of processes changed'
    )
    train.add_argument('--debug', action='store_true', help='try a run: log every iteration, validate and save every 8')
    train.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS
    )  # old launchers pass it


def _train(arguments: argparse.Namespace) -> None:
    from iart.options import load

    overrides = [*arguments.force_yml, *(_DEBUG if arguments.debug else ())]
    options = load(arguments.opt, overrides)
    if arguments.debug:
        options = load(arguments.opt, [*overrides, f'name=debug_{options.name}'])
    device = launch(arguments, options)
    from iart import distributed
    from iart.training.trainer import Trainer

    auto_resume = arguments.auto_resume or distributed.restarted()
    Trainer(options, device=device, auto_resume=auto_resume, force_resume=arguments.force_resume).fit()
