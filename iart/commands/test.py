"""The command ``iart test``."""

import argparse
from typing import Any

from iart.commands.arguments import add_command, add_run_arguments, launch
from iart.inference.options import add_plan_arguments, plan_options


def add_commands(commands: Any) -> None:
    """Add ``test`` to the subparsers of ``iart``."""
    test = add_command(commands, 'test', _test, 'score weights on a benchmark')
    add_run_arguments(test)
    test.add_argument('--weights', metavar='FILE', help='weight file, replaces the one in the options')
    test.add_argument('--lq', metavar='FOLDER', help='LR clips, replace the ones in the options')
    test.add_argument('--gt', metavar='FOLDER', help='ground truth, replaces the one in the options')
    test.add_argument('--save-frames', action=argparse.BooleanOptionalAction, help='write the restored frames as PNG')
    test.add_argument(
        '--precision', choices=('fp32', 'fp16', 'bf16'), default='fp32', help='number format (default fp32)'
    )
    test.add_argument('--baseline', choices=('bicubic',), help='score this instead of the network')
    add_plan_arguments(test)
    test.add_argument('--report', action='store_true', help='write an HTML page: report.html in the results folder')


def _test(arguments: argparse.Namespace) -> None:
    from iart.options import load

    options = load(arguments.opt, arguments.force_yml)
    device = launch(arguments, options)
    from iart.scoring.run_test import results_folder, run_test

    run_test(
        options,
        device=device,
        precision=arguments.precision,
        weights=arguments.weights,
        lq=arguments.lq,
        gt=arguments.gt,
        save_frames=arguments.save_frames,
        baseline=arguments.baseline,
        plan=plan_options(arguments),
        report=arguments.report,
    )
    if arguments.report:
        from iart.commands.report import report_on

        report_on([results_folder(options, arguments.baseline)])
