"""The command ``iart``: train, test, check, convert. The scripts at the top of the repository call the same functions.

Heavy imports happen inside the commands, so that ``iart --help`` answers at once.
"""

import argparse
import errno
import sys
from collections.abc import Callable, Sequence
from typing import Any

from iart import __version__
from iart.errors import EXIT_USER_ERROR, UserError
from iart.inference.options import add_plan_arguments, plan_options

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process: 0 done, 2 a mistake in options, data or weights, or no room to write,
    1 anything else."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except UserError as error:
        sys.stdout.flush()
        sys.exit(_fail(str(error)))
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        sys.exit(_fail(f'{error.filename or "a file"}: cannot be written ({error.strerror})'))
    except RuntimeError as error:
        distributed = sys.modules.get('iart.distributed')
        told = distributed.lost_process(error) if distributed else None
        if 'DataLoader worker' in str(error):  # torch says so wherever the program happens to be
            reason = str(error).splitlines()[0]
            told = f'a process that reads frames ended ({reason}); --auto_resume goes on from the last training state'
        if told is None:
            raise
        print(f'error: {told}', file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print('stopped', file=sys.stderr)
        sys.exit(130)
    finally:
        _leave()


def _fail(message: str) -> int:
    print(f'error: {message}', file=sys.stderr)
    return EXIT_USER_ERROR


def _leave() -> None:
    if 'iart.distributed' in sys.modules:
        sys.modules['iart.distributed'].leave()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='iart', description='Video super-resolution with implicit alignment.')
    parser.add_argument('--version', action='version', version=f'iart {__version__}')
    commands = parser.add_subparsers(required=True, metavar='COMMAND')

    train = _command(commands, 'train', _train, 'train a network')
    _common(train)
    train.add_argument('--auto_resume', action='store_true', help='go on from the newest training state, if there is one')
    train.add_argument('--force_resume', action='store_true', help='go on though network, data or number of processes changed')
    train.add_argument('--debug', action='store_true', help='try a run: report every iteration, validate and save every 8')
    train.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)  # old launchers pass it

    test = _command(commands, 'test', _test, 'score weights on a benchmark')
    _common(test)
    test.add_argument('--weights', metavar='FILE', help='weight file instead of the one in the options')
    test.add_argument('--lq', metavar='FOLDER', help='LR clips instead of the ones in the options')
    test.add_argument('--gt', metavar='FOLDER', help='ground truth instead of the one in the options')
    test.add_argument('--save-frames', action=argparse.BooleanOptionalAction, help='write the restored frames as PNG')
    test.add_argument('--precision', choices=('fp32', 'fp16', 'bf16'), default='fp32', help='number format (default fp32)')
    test.add_argument('--baseline', choices=('bicubic',), help='score this instead of the network')
    add_plan_arguments(test)
    test.add_argument('--report', action='store_true', help='write a page to look at: report.html in the results folder')

    check = _command(commands, 'check', _check, 'validate options and print them resolved; touches neither data nor weights')
    check.add_argument('opt', metavar='YAML')
    check.add_argument('--force_yml', nargs='+', default=[], metavar='KEY:SUB=VALUE', help='override options')

    convert = _command(commands, 'convert', _convert, 'convert weights between .pth (released layout) and .safetensors')
    convert.add_argument('source', metavar='IN')
    convert.add_argument('target', metavar='OUT', help='ends in .pth or .safetensors')
    convert.add_argument(
        '-opt', metavar='YAML', help='options of the network; default: the ones in the file, else told by its names and shapes'
    )
    convert.add_argument('--key', default='params', help='which weights of a .pth: params (default) or params_ema')

    from iart.commands import data as preparing
    from iart.commands import estimate as estimating
    from iart.commands import report as reporting
    from iart.commands import upscale as upscaling

    for part in (upscaling, estimating, preparing, reporting):
        part.add_commands(commands)
    return parser


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('-opt', required=True, metavar='YAML', help='options file')
    parser.add_argument('--force_yml', nargs='+', default=[], metavar='KEY:SUB=VALUE', help='override options, e.g. train:total_iter=1000')
    parser.add_argument('--launcher', choices=('none', 'pytorch', 'slurm'), default='none', help='who started the processes')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:N or mps (default auto)')


def _launch(arguments: argparse.Namespace, options: Any) -> Any:
    """Join the process group, choose the device, start the log."""
    from iart import device, distributed, log

    given = options.dist_params
    distributed.launch(arguments.launcher, backend=given.backend, port=given.port, timeout_minutes=given.timeout_minutes)
    log.setup()
    return device.choose(arguments.device, distributed.local_rank())


_DEBUG = ('logger:print_freq=1', 'logger:save_checkpoint_freq=8', 'logger:use_tb_logger=false', 'val:val_freq=8')


def _train(arguments: argparse.Namespace) -> None:
    from iart.options import load

    overrides = [*arguments.force_yml, *(_DEBUG if arguments.debug else ())]
    options = load(arguments.opt, overrides)
    if arguments.debug:
        options = load(arguments.opt, [*overrides, f'name=debug_{options.name}'])
    device = _launch(arguments, options)
    from iart import distributed
    from iart.training.trainer import Trainer

    auto_resume = arguments.auto_resume or distributed.restarted()
    Trainer(options, device=device, auto_resume=auto_resume, force_resume=arguments.force_resume).fit()


def _test(arguments: argparse.Namespace) -> None:
    from iart.options import load

    options = load(arguments.opt, arguments.force_yml)
    device = _launch(arguments, options)
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


def _check(arguments: argparse.Namespace) -> None:
    from iart.options import dump, load

    options = load(arguments.opt, arguments.force_yml)
    print(dump(options), end='')
    for note in options.notes:
        print(f'note: {note}', file=sys.stderr)


def _convert(arguments: argparse.Namespace) -> None:
    from iart import log

    log.setup()
    from iart.archs.convert import convert

    convert(arguments.source, arguments.target, options_file=arguments.opt, key=arguments.key)
