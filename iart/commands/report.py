"""The command ``iart report``. Heavy imports happen inside it."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    """Add ``report`` to the subparsers of ``iart``."""
    text = 'write a page with results of iart test, one or several side by side, and analyses of alignments'
    report = commands.add_parser('report', help=text, description=text)
    report.set_defaults(run=_report)
    report.add_argument(
        'results',
        nargs='+',
        type=Path,
        metavar='RESULTS',
        help='folders of iart test, the first of which is the reference; also of iart analyze and of studies',
    )
    report.add_argument(
        '-o', '--output', type=Path, metavar='FILE', help='page to write (default: report.html in the results folder)'
    )
    report.add_argument(
        '--clips', type=int, default=4, metavar='N', help='clips of each set whose frames are shown (default 4)'
    )
    report.add_argument('--frames', type=int, default=2, metavar='N', help='frames of each of these clips (default 2)')


def _report(arguments: argparse.Namespace) -> None:
    from iart import log

    log.setup()
    report_on(arguments.results, arguments.output, clips=arguments.clips, frames=arguments.frames)


def report_on(results: Sequence[Path], output: Path | None = None, *, clips: int = 4, frames: int = 2) -> None:
    """Write the report of these folders on rank 0, and log its path.

    Raises:
        UserError: a folder holds no results, or the page cannot be written.
    """
    from iart import distributed, log
    from iart.reporting.page import write_report

    if distributed.is_main():
        page = write_report(results, output, clips=clips, frames=frames)
        size = page.stat().st_size / 1e6
        log.logger.info(
            f'report: {page} ({size:.1f} MB, opens without a network), with {page.stem}.md, tables and figures '
            'beside it'
        )
