"""The command ``iart upscale``. Heavy imports happen inside it."""

import argparse
import signal
from pathlib import Path
from types import FrameType
from typing import Any

from iart.inference.options import add_plan_arguments, plan_options
from iart.upscaling.settings import SEGMENT, Settings, parse_fps, parse_time
from iart.video.options import EncodingOptions

_TEXT = 'enlarge a video or a folder of frames with a network'


def add_commands(commands: Any) -> None:
    """Add ``upscale`` to the subparsers of ``iart``."""
    parser = commands.add_parser(
        'upscale', help=_TEXT, description=f'{_TEXT[0].upper()}{_TEXT[1:]}. docs/upscale.md says what is kept and how.'
    )
    parser.set_defaults(run=_upscale)
    parser.add_argument(
        'input', nargs='+', metavar='INPUT', help='video file, folder of frames, or a pattern such as "clips/*.mp4"'
    )
    parser.add_argument(
        'output',
        type=Path,
        metavar='OUTPUT',
        help='video file, or folder of frames; with several inputs a folder of outputs',
    )
    text = 'weight file, or a name that scripts/download_pretrained.py --list shows (default basicvsr-reds4)'
    parser.add_argument('--weights', metavar='NAME|FILE', default='basicvsr-reds4', help=text)
    parser.add_argument(
        '--key', choices=('params', 'params_ema'), default='params', help='which weights of a .pth (default params)'
    )
    parser.add_argument('--scale', type=int, metavar='N', help='check that the network enlarges by so much')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:N or mps (default auto)')
    precision = parser.add_mutually_exclusive_group()
    for name in ('fp16', 'bf16'):
        precision.add_argument(
            f'--{name}', dest='precision', action='store_const', const=name, default='fp32', help=f'compute in {name}'
        )

    part = parser.add_argument_group('what')
    part.add_argument('--start', metavar='TIME', help='begin here: 90, 1:30 or 00:01:30.5')
    part.add_argument('--end', metavar='TIME', help='end before this')
    part.add_argument('--preview', type=int, metavar='N', help='only the first N frames')
    part.add_argument('--compare', action='store_true', help='bicubic on the left, the network on the right')
    part.add_argument(
        '--scene-cuts', choices=('on', 'off'), default='on', help='let nothing of one shot into the next (default on)'
    )
    text = f'frames restored, encoded and kept at a time (default {SEGMENT}); it sees --chunk-overlap more on each side'
    part.add_argument('--segment', type=int, metavar='FRAMES', default=SEGMENT, help=text)
    part.add_argument('--fps', metavar='RATE', help='of frames without times: a folder (default 25), raw H.264, ...')
    part.add_argument(
        '--progressive', action='store_true', help='take a video that is tagged interlaced for whole frames'
    )

    encoder = parser.add_argument_group('video encoder')
    encoder.add_argument(
        '--codec',
        metavar='NAME',
        help='h264 (default), hevc, av1, vp9 (default for .webm), ffv1, prores, or any of FFmpeg',
    )
    encoder.add_argument('--crf', type=float, metavar='N', help='quality: smaller is better (default 16 for h264)')
    encoder.add_argument('--pix-fmt', metavar='NAME', help='such as yuv420p10le (default: as the input)')
    encoder.add_argument('--preset', metavar='NAME', help='speed against size (default medium)')
    encoder.add_argument('--lossless', action='store_true', help='encode without loss')

    files = parser.add_argument_group('files')
    files.add_argument('--overwrite', action='store_true', help='replace an output that is there')
    files.add_argument('--restart', action='store_true', help='throw away what an interrupted run has finished')
    add_plan_arguments(parser)


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        start=parse_time(arguments.start, '--start') if arguments.start else None,
        end=parse_time(arguments.end, '--end') if arguments.end else None,
        preview=arguments.preview,
        compare=arguments.compare,
        scene_cuts=arguments.scene_cuts == 'on',
        segment=arguments.segment,
        fps=parse_fps(arguments.fps) if arguments.fps else None,
        progressive=arguments.progressive,
        overwrite=arguments.overwrite,
        restart=arguments.restart,
        precision=arguments.precision,
        plan=plan_options(arguments),
        encode=EncodingOptions(
            codec=arguments.codec,
            crf=arguments.crf,
            pix_fmt=arguments.pix_fmt,
            preset=arguments.preset,
            lossless=arguments.lossless,
        ),
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _upscale(arguments: argparse.Namespace) -> None:
    settings = _settings(arguments)
    signal.signal(signal.SIGTERM, _interrupt)  # as Ctrl-C: say how to go on
    from iart import device, log
    from iart.upscaling.job import run
    from iart.upscaling.networks import load
    from iart.upscaling.sources import find_jobs

    log.setup()
    jobs = find_jobs(arguments.input, arguments.output)
    place = device.choose(arguments.device)
    run(jobs, load(arguments.weights, place, arguments.key), place, settings, arguments.scale)
