"""The commands ``iart data prepare | degrade | lmdb | check | info``. Heavy imports happen inside them."""

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any

from iart.commands.arguments import add_force_yml, add_options_file

_DESCRIPTION = 'Prepare data for training and scoring, and check them.'
NOT_OK = 1
"""Exit code of ``iart data check`` when something is wrong with the data."""


def add_commands(commands: Any) -> None:
    """Add ``data`` and its subcommands to the subparsers of ``iart``."""
    data = commands.add_parser('data', help='prepare, degrade, check and describe data', description=_DESCRIPTION)
    inner = data.add_subparsers(required=True, metavar='COMMAND')
    _add_prepare(inner)

    degrade = _command(inner, 'degrade', _degrade, 'make LR frames from a tree of frames or from video files')
    degrade.add_argument(
        'input', type=Path, metavar='INPUT', help='folder with frames at any depth, folder of videos, or a video'
    )
    degrade.add_argument('output', type=Path, metavar='OUTPUT', help='folder to create')
    degrade.add_argument(
        '--kind',
        required=True,
        metavar='BI|BD|CHAIN',
        help='bicubic, blur and decimation, or a chain of random steps: RealBasicVSR, WebVideo or a YAML file',
    )
    degrade.add_argument('--seed', type=int, default=0, help='seed of the random numbers of a chain (default 0)')
    degrade.add_argument(
        '--scale', type=int, choices=(1, 2, 3, 4), default=4, help='default 4; BD has 4 only, and 1 needs a chain'
    )
    degrade.add_argument(
        '--compression',
        type=int,
        choices=range(10),
        default=3,
        metavar='0-9',
        help='level of the PNG files (default 3)',
    )
    _holes(degrade)

    lmdb = _command(inner, 'lmdb', _lmdb, "write an LMDB in BasicSR's format")
    lmdb.add_argument('input', type=Path, metavar='INPUT', help='folder of clip folders, or of videos')
    lmdb.add_argument('output', type=Path, metavar='OUTPUT.lmdb', help='LMDB to create')
    lmdb.add_argument(
        '--compression',
        default='keep',
        choices=('keep', *map(str, range(10))),
        metavar='keep|0-9',
        help='keep PNG files as they are (default), or encode again',
    )
    _holes(lmdb)

    check = _command(
        inner,
        'check',
        _check,
        f'check that all data exist and fit; exit code 0 if so, {NOT_OK} if not',
    )
    add_options_file(check, 'what', metavar='YAML|FOLDER', text="options file, or a benchmark's folder")
    check.add_argument('--protocol', help='benchmark that the folder must hold, such as REDS4, Vid4-BI or UDM10-BD')
    check.add_argument('--gt', type=Path, metavar='FOLDER', help='ground truth, if it is not found by its name')
    check.add_argument('--lq', type=Path, metavar='FOLDER', help='LR frames, if they are not found by their name')
    check.add_argument('--scale', type=int, default=4, help='scale of a folder without protocol (default 4)')
    check.add_argument('--deep', action='store_true', help='decode every frame')
    check.add_argument(
        '--samples', type=int, default=400, help='approximate number of frames to decode without --deep (default 400)'
    )
    check.add_argument('--partial', action='store_true', help="accept a subset of the protocol's clips")
    check.add_argument('--json', action='store_true', help='print the findings as JSON')
    add_force_yml(check)

    info = _command(inner, 'info', _info, 'describe a folder, an LMDB or a video')
    info.add_argument('what', type=Path, metavar='PATH')
    info.add_argument('--json', action='store_true', help='print the facts as JSON')


def _add_prepare(inner: Any) -> None:
    text = 'arrange a downloaded data set as the options files expect it'
    prepare = inner.add_parser('prepare', help=text, description=text)
    sets = prepare.add_subparsers(required=True, metavar='SET')
    for name, what, kinds in (
        ('reds', "REDS: BasicSR's 270 training clips and REDS4", ()),
        ('vimeo90k', 'Vimeo-90K septuplets: LR frames and meta files', ('BI',)),
        ('vid4', 'Vid4: GT, LR frames and meta file', ('BI', 'BD')),
        ('udm10', 'UDM10: GT, LR frames and meta file', ('BD',)),
    ):
        command = _command(sets, name, _prepare, what)
        command.set_defaults(set=name)
        command.add_argument('root', type=Path, metavar='ROOT', help='folder with the unpacked downloads')
        command.add_argument('--output', type=Path, metavar='FOLDER', help='where to arrange it (default: ROOT itself)')
        if kinds:
            both = ' '.join(kinds)
            command.add_argument(
                '--kind',
                nargs='+',
                choices=('BI', 'BD'),
                default=list(kinds),
                help=f'LR frames to make (default {both})',
            )
        command.add_argument('--link', action='store_true', help='create symbolic links instead of copies')
        command.add_argument('--lmdb', action='store_true', help='also write LMDBs')
        command.add_argument(
            '--incomplete', action='store_true', help='use the available clips if clips or frames are missing'
        )


def _command(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    parser.add_argument('--jobs', type=int, metavar='N', help='frames processed at once (default: one per core)')
    return parser


def _holes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--holes', action='store_true', help='accept gaps in the numbering of frames')


def _start(arguments: argparse.Namespace, quiet: bool = False) -> int:
    """Start the log and return the number of jobs. Each job is a thread, so the libraries get one thread each."""
    import cv2
    import torch

    from iart import log
    from iart.errors import UserError
    from iart.preparing.jobs import default_jobs

    log.setup()
    if quiet:
        log.logger.setLevel(logging.WARNING)
    if arguments.jobs is not None and arguments.jobs < 1:
        raise UserError(f'--jobs: got {arguments.jobs}, expected 1 or more')
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    return arguments.jobs or default_jobs()


def _prepare(arguments: argparse.Namespace) -> None:
    jobs = _start(arguments)
    from iart.preparing.sets import PrepareOptions, prepare

    kinds = tuple(getattr(arguments, 'kind', ()))
    options = PrepareOptions(
        kinds=kinds, link=arguments.link, lmdb=arguments.lmdb, incomplete=arguments.incomplete, jobs=jobs
    )
    for path in prepare(arguments.set, arguments.root, arguments.output or arguments.root, options):
        print(path)


def _degrade(arguments: argparse.Namespace) -> None:
    jobs = _start(arguments)
    from iart.preparing.degrade import degrade_data

    options = {
        'kind': arguments.kind,
        'scale': arguments.scale,
        'compression': arguments.compression,
        'holes': arguments.holes,
        'seed': arguments.seed,
    }
    written = degrade_data(arguments.input, arguments.output, jobs=jobs, **options)
    print(f'{arguments.output}: {written} frames written')


def _lmdb(arguments: argparse.Namespace) -> None:
    jobs = _start(arguments)
    from iart.preparing.lmdbs import make_lmdb

    compression = None if arguments.compression == 'keep' else int(arguments.compression)
    written = make_lmdb(arguments.input, arguments.output, jobs=jobs, compression=compression, holes=arguments.holes)
    print(f'{arguments.output}: {written} frames written')


def _check(arguments: argparse.Namespace) -> None:
    jobs = _start(arguments, quiet=arguments.json)
    from iart.preparing.data_check import Depth, check_folder, check_options

    depth = Depth(deep=arguments.deep, samples=arguments.samples, partial=arguments.partial, jobs=jobs)
    if _names_options(arguments.what):
        from iart.options import load

        reports = check_options(load(arguments.what, arguments.force_yml), depth)
    else:
        named = {'protocol': arguments.protocol, 'gt': arguments.gt, 'lq': arguments.lq, 'scale': arguments.scale}
        reports = check_folder(Path(arguments.what), depth=depth, **named)
    ok = all(report.ok for report in reports)
    if arguments.json:
        sets = [{'name': r.name, 'ok': r.ok, 'rows': [vars(row) for row in r.rows], **r.figures} for r in reports]
        print(json.dumps({'ok': ok, 'sets': sets}, indent=1))
    else:
        for report in reports:
            _print(report.name, [(row.verdict, row.check, row.found) for row in report.rows])
        print('all checks passed' if ok else 'some checks failed: see the lines marked FAILED')
    if not ok:
        sys.exit(NOT_OK)


def _names_options(what: str) -> bool:
    """Return whether an options file is meant, not a folder of data."""
    from iart.errors import OptionsError
    from iart.shipped import find_options

    if Path(what).suffix in ('.yml', '.yaml'):
        return True
    try:
        return find_options(what).is_file()
    except OptionsError:
        return False


def _info(arguments: argparse.Namespace) -> None:
    jobs = _start(arguments, quiet=arguments.json)
    from iart.preparing.info import describe, rows

    facts = describe(arguments.what, jobs=jobs)
    if arguments.json:
        print(json.dumps(facts, indent=1))
    else:
        _print(facts['path'], rows(facts))


def _print(title: str, rows: list[tuple[str, ...]]) -> None:
    """Print a table as plain text; text after a line break stays in its column."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]) - 1)]
    indent = '\n' + ' ' * (sum(widths) + 2 * len(widths) + 2)
    print(f'\n{title}')
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        print('  ' + '  '.join([*cells, row[-1].replace('\n', indent)]))
