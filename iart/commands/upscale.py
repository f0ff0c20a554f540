"""The command ``iart upscale``. Heavy imports happen inside it."""

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from iart.errors import UserError
from iart.inference.options import PlanOptions
from iart.settings_fields import add_settings, command_line_words, read_settings
from iart.upscaling.upscale_options import DEFAULT_WEIGHTS, UpscaleOptions
from iart.video.encoding_options import EncodingOptions

_TEXT = 'enlarge a video or a folder of frames with a network'


def add_commands(commands: Any) -> None:
    """Add ``upscale`` to the subparsers of ``iart``."""
    parser = commands.add_parser(
        'upscale',
        help=_TEXT,
        description=f'{_TEXT[0].upper()}{_TEXT[1:]}. See docs/upscale.md for what is kept and how.',
    )
    parser.set_defaults(run=_upscale)
    parser.add_argument(
        'input',
        nargs='+',
        metavar='INPUT',
        help='video file, folder of frames, or a pattern such as "clips/*.mp4"; - or a named pipe for frames as they '
        'come',
    )
    parser.add_argument(
        'output',
        type=Path,
        metavar='OUTPUT',
        help='video file, or folder of frames; with several inputs a folder of outputs; for a pipe -, a named pipe or '
        'a .y4m file',
    )
    text = (
        'a weight file, or a name that iart weights --list shows, such as basicvsr-reds4, which is '
        f'better and far slower (default {DEFAULT_WEIGHTS}, part of the package)'
    )
    parser.add_argument('--weights', metavar='NAME|FILE', default=DEFAULT_WEIGHTS, help=text)
    parser.add_argument(
        '--key', choices=('params', 'params_ema'), default='params', help='which weights of a .pth (default params)'
    )
    parser.add_argument(
        '--launcher',
        choices=('none', 'pytorch', 'slurm'),
        default='none',
        help='who started the processes that share the work (torchrun is recognized)',
    )
    parser.add_argument(
        '--raw',
        metavar='WxH',
        help='between pipes (- or a named pipe): raw rgb24 frames of this size in place of y4m',
    )
    parser.add_argument('--scale', type=int, metavar='N', help='check that the network has this scale')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:N or mps (default auto)')
    for name in ('fp16', 'bf16'):
        parser.add_argument(
            f'--{name}',
            dest='precision',
            action='store_const',
            const=name,
            default=argparse.SUPPRESS,
            help=f'the same as --precision {name}',
        )
    for kind in (UpscaleOptions, EncodingOptions, PlanOptions):
        add_settings(parser, kind)


def settings_of(arguments: argparse.Namespace) -> UpscaleOptions:
    """Return the settings that a parser with :func:`add_commands` read."""
    settings: UpscaleOptions = read_settings(
        arguments,
        UpscaleOptions,
        plan=read_settings(arguments, PlanOptions),
        encode=read_settings(arguments, EncodingOptions),
    )
    return settings


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _upscale(arguments: argparse.Namespace) -> None:
    settings = settings_of(arguments)
    if _between_pipes(arguments):
        _upscale_pipe(arguments, settings)
        return
    signal.signal(signal.SIGTERM, _interrupt)  # like Ctrl-C: logs how to continue
    from iart import device, distributed, log
    from iart.upscaling.job import run
    from iart.upscaling.networks import find, load
    from iart.upscaling.sources import find_jobs
    from iart.upscaling.team import DAYS, on_main, one_voice

    launcher = arguments.launcher
    if launcher == 'none' and 'TORCHELASTIC_RUN_ID' in os.environ:
        launcher = 'pytorch'
    distributed.prepare(launcher)
    place = device.choose(arguments.device, distributed.local_rank(launcher), distributed.local_world_size(launcher))
    # Only files and a few words are exchanged: gloo, and a long time to wait for the slowest segment.
    distributed.launch(launcher, device=place, backend='gloo', timeout_minutes=DAYS * 24 * 60)
    log.setup()
    with one_voice(), command_line_words(EncodingOptions):
        jobs = on_main(lambda: find_jobs(arguments.input, arguments.output))
        weights = arguments.weights
        if distributed.active():
            weights = on_main(lambda: find(arguments.weights))  # fetched once
        run(jobs, load(weights, place, arguments.key), place, settings, arguments.scale)


def _between_pipes(arguments: argparse.Namespace) -> bool:
    """Return whether input and output are pipes."""
    from iart.upscaling.live import is_pipe

    output = arguments.output
    piped = len(arguments.input) == 1 and is_pipe(arguments.input[0])
    if str(output) == '-' and not piped:
        raise UserError(
            '-: got standard output with an input that is no pipe, expected frames from a pipe as well, such as  '
            'ffmpeg -i INPUT -f yuv4mpegpipe - | iart upscale - - | ffmpeg -i - OUTPUT'
        )
    if arguments.raw is not None and not piped:
        raise UserError('--raw: got an input that is no pipe, expected - or a named pipe')
    return piped and (is_pipe(str(output)) or output.suffix in ('.y4m', '.rgb'))


def _upscale_pipe(arguments: argparse.Namespace, settings: UpscaleOptions) -> None:
    from iart import device, log
    from iart.upscaling import live
    from iart.upscaling.networks import load

    raw = None if arguments.raw is None else live.parse_size(arguments.raw)
    output = str(arguments.output)
    if not live.is_pipe(output) and arguments.output.exists() and not settings.overwrite:
        raise UserError(f'{output}: exists already, expected another name, or --overwrite')
    source = sys.stdin.buffer if arguments.input[0] == '-' else Path(arguments.input[0])
    target = live.standard_output() if output == '-' else arguments.output
    log.setup()
    with command_line_words(UpscaleOptions):
        live.check_settings(settings)
        place = device.choose(arguments.device)
        loaded = load(arguments.weights, place, arguments.key)
        live.run(source, target, loaded, place, settings, raw=raw, scale=arguments.scale)
