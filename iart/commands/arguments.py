"""Arguments and steps shared by several commands, and their parser."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any


class Parser(argparse.ArgumentParser):
    """A parser that accepts ``--auto_resume`` and ``--auto-resume`` for either name of an option."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """Parse like argparse, after converting every long option to the spelling it was added with."""
        return super().parse_known_args(None if args is None else self.spelled(args), namespace)

    def spelled(self, arguments: Sequence[str]) -> list[str]:
        """Return the arguments with long options of this parser in its own spelling."""
        spelling = {name.replace('_', '-'): name for name in self._option_string_actions if name.startswith('--')}
        result = []
        for argument in arguments:
            name, equals, value = argument.partition('=')
            result.append(spelling.get(name.replace('_', '-'), name) + equals + value)
        return result


def add_options_file(
    parser: argparse.ArgumentParser,
    dest: str = 'opt',
    *,
    metavar: str = 'YAML',
    text: str = 'options file, or the name of a shipped one',
    required: bool = True,
) -> None:
    """Add the options file, which is given as ``-opt YAML`` or by itself.

    Args:
        parser: the parser of a command.
        dest: attribute that holds the file.
        metavar: its name in the help.
        text: its help text.
        required: whether the command needs one; otherwise its attribute may be missing.
    """
    either = parser.add_mutually_exclusive_group(required=required)
    # Without SUPPRESS the empty position would overwrite the value of -opt.
    either.add_argument(dest, nargs='?', default=argparse.SUPPRESS, metavar=metavar, help=text)
    either.add_argument(
        '-opt', '--opt', dest=dest, default=argparse.SUPPRESS, metavar=metavar, help="the same, in BasicSR's spelling"
    )


def add_force_yml(parser: argparse.ArgumentParser) -> None:
    """Add ``--force_yml``, which changes values of the options."""
    text = 'override options, e.g. train:total_iter=1000'
    parser.add_argument('--force_yml', nargs='+', default=[], metavar='KEY:SUB=VALUE', help=text)


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str
) -> argparse.ArgumentParser:
    """Add a command with its help text to the subparsers, and the function that runs it."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:N or mps (default auto)')


def add_tf32(parser: argparse.ArgumentParser) -> None:
    """Add ``--tf32``."""
    text = (
        'what GPUs from compute capability 8.0 compute in TensorFloat-32 in fp32: nothing, convolutions (default), all'
    )
    parser.add_argument('--tf32', choices=('off', 'conv', 'all'), default='conv', help=text)


def add_run_arguments(parser: argparse.ArgumentParser, without_options: str = '') -> None:
    """Add the arguments of commands that run an options file on a device.

    Args:
        parser: the parser of a command.
        without_options: what happens without an options file; empty where one is required.
    """
    text = 'options file, or the name of a shipped one'
    if without_options:
        add_options_file(parser, text=f'{text}; default: {without_options}', required=False)
    else:
        add_options_file(parser, text=text)
    add_force_yml(parser)
    parser.add_argument(
        '--launcher', choices=('none', 'pytorch', 'slurm'), default='none', help='who started the processes'
    )
    add_device(parser)


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
