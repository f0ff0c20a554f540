"""The command ``iart test``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iart.commands.arguments import add_command, add_run_arguments, add_tf32, launch
from iart.errors import UserError
from iart.inference.options import add_plan_arguments, plan_options

if TYPE_CHECKING:
    from iart.options import Options


def add_commands(commands: Any) -> None:
    """Add ``test`` to the subparsers of ``iart``."""
    test = add_command(commands, 'test', _test, 'score weights on a benchmark')
    add_run_arguments(test, 'PSNR and SSIM on Y of the frames of --lq and --gt, with the network in --weights')
    test.add_argument(
        '--weights',
        metavar='NAME|FILE',
        help='weights to use instead of those in the options: a file, or a name of iart weights --list; default '
        'without options: that of iart upscale',
    )
    test.add_argument('--lq', metavar='FOLDER', help='LR clips to use instead of those in the options')
    test.add_argument('--gt', metavar='FOLDER', help='ground truth to use instead of that in the options')
    test.add_argument('--save-frames', action=argparse.BooleanOptionalAction, help='write the restored frames as PNG')
    test.add_argument(
        '--precision', choices=('fp32', 'fp16', 'bf16'), default='fp32', help='number format (default fp32)'
    )
    add_tf32(test)
    test.add_argument('--baseline', choices=('bicubic',), help='score this instead of the network')
    add_plan_arguments(test)
    test.add_argument('--report', action='store_true', help='write an HTML page: report.html in the results folder')


def _options_and_weights(arguments: argparse.Namespace) -> 'tuple[Options, str | None]':
    """Load the options file; without one, make options for any weights and any folder of clips.

    Raises:
        UserError: the options are wrong, there are no weights of this name, or no clips were named.
    """
    from iart.archs.recognize import require_section
    from iart.options import load, resolve
    from iart.upscaling.networks import find
    from iart.upscaling.upscale_options import DEFAULT_WEIGHTS

    if (file := getattr(arguments, 'opt', None)) is not None:
        return load(file, arguments.force_yml, scoring=True), arguments.weights and str(find(arguments.weights))
    if not arguments.lq:
        raise UserError(
            'iart test: got neither -opt nor --lq, expected an options file, or LR clips (and --gt to score)'
        )
    name = arguments.weights or DEFAULT_WEIGHTS
    weights = find(name)
    metrics = {
        kind: {'type': f'calculate_{kind}', 'crop_border': 0, 'test_y_channel': True} for kind in ('psnr', 'ssim')
    }
    clips = Path(arguments.gt or arguments.lq)
    section = require_section(weights)
    content = {
        'name': f'{Path(name).stem}_{clips.resolve().name}',
        'scale': section.get('scale', 4),
        'network_g': section,
        'datasets': {
            'test': {
                'type': 'VideoRecurrentTestDataset',
                'name': clips.resolve().name,
                'published': 'none',
                'dataroot_lq': arguments.lq,
                'dataroot_gt': arguments.gt,
            }
        },
        'val': {'metrics': metrics},
    }
    return resolve(content, arguments.force_yml, source='iart test'), str(weights)


def _test(arguments: argparse.Namespace) -> None:
    options, weights = _options_and_weights(arguments)
    device = launch(arguments, options)
    from iart.scoring.run_test import results_folder, run_test

    run_test(
        options,
        device=device,
        precision=arguments.precision,
        tf32=arguments.tf32,
        weights=weights,
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
