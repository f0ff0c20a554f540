"""The command ``iart``: picks one of :mod:`iart.commands` and turns what it raises into a message and an exit code."""

import errno
import sys
from collections.abc import Sequence

from iart.commands.arguments import Parser
from iart.errors import EXIT_USER_ERROR, UserError
from iart.version import __version__

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: code 0 for success, 2 for a mistake in options, data or weights or a full disk, 1 for
    anything else. Without arguments, print the help.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):  # an ASCII terminal shows ? instead of raising
            stream.reconfigure(errors='replace')
    parser = _parser()
    if not (sys.argv[1:] if arguments is None else arguments):
        parser.print_help(sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    options = parser.parse_args(arguments)
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
        message = distributed.lost_process(error) if distributed else None
        if 'DataLoader worker' in str(error):  # torch raises it wherever the program happens to be
            reason = str(error).splitlines()[0]
            message = f'a process that reads frames ended ({reason}); --auto_resume resumes from the last state'
        if message is None:
            raise
        print(f'error: {message}', file=sys.stderr)
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


def _parser() -> Parser:
    parser = Parser(prog='iart', description='Video super-resolution with implicit alignment.')
    parser.add_argument('--version', action='version', version=f'iart {__version__}')
    commands = parser.add_subparsers(required=True, metavar='COMMAND')

    from iart.commands import (
        analyze,
        check,
        convert,
        data,
        demo,
        doctor,
        estimate,
        export,
        report,
        setup,
        test,
        train,
        upscale,
        weights,
    )

    for command in (
        demo,
        train,
        test,
        check,
        estimate,
        data,
        upscale,
        report,
        analyze,
        weights,
        convert,
        export,
        setup,
        doctor,
    ):
        command.add_commands(commands)
    return parser
