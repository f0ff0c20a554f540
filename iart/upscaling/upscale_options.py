"""Options of ``iart upscale``; no heavy imports, so that the command line shows them at once."""

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from iart.errors import SettingError, UserError
from iart.inference.options import PlanOptions
from iart.settings_fields import check_settings, setting
from iart.video.encoding_options import EncodingOptions

VIDEO_OUTPUTS = ('.mp4', '.mkv', '.mov', '.m4v', '.webm')
SEGMENT = 100  # frames
FPS = Fraction(25)
DEFAULT_WEIGHTS = 'iart-small'  # shipped with the package
PRECISIONS = ('fp32', 'fp16', 'bf16')
TF32 = ('off', 'conv', 'all')

_PART, _FILES = 'what', 'files'


def parse_time(text: str) -> Fraction:
    """Return a time such as ``90``, ``90.5``, ``1:30`` or ``00:01:30.5`` in seconds.

    Raises:
        UserError: the text is not a time.
    """
    if not re.fullmatch(r'(\d+:){0,2}\d+(\.\d+)?', text):
        raise UserError(f'got {text!r}, expected a time such as 90, 1:30 or 00:01:30.5')
    seconds = Fraction(0)
    for part in text.split(':'):
        seconds = seconds * 60 + Fraction(part)
    return seconds


def parse_fps(text: str) -> Fraction:
    """Return a rate such as ``25``, ``29.97`` or ``30000/1001``.

    Raises:
        UserError: the text is not a rate.
    """
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(f'got {text!r}, expected a rate such as 25 or 30000/1001') from error


@dataclass(frozen=True)
class UpscaleOptions:
    """Settings for each input.

    Args:
        precision: ``fp32``, ``fp16`` or ``bf16``.
        tf32: ``off``, ``conv`` or ``all``: see :func:`iart.device.set_tf32`.
        start: start of the selected part in seconds; None for the beginning.
        end: end of the selected part in seconds; None for the end.
        preview: largest number of frames to upscale; None for all.
        compare: whether outputs show bicubic on the left and the network on the right.
        scene_cuts: whether propagation restarts at cuts.
        segment: number of frames that are restored, encoded and kept at a time.
        fps: frames per second of folders of frames, and of videos whose frames have no times; None for FPS, or the
            video's.
        progressive: whether interlaced frames are treated as progressive.
        overwrite: whether an output that exists is replaced.
        restart: whether finished segments of an earlier run are discarded.
        plan: settings of the memory plan.
        encode: settings of the encoder.

    Raises:
        SettingError: a value is not allowed.
    """

    precision: str = setting('fp32', 'number format of the network (default fp32)', choices=PRECISIONS)
    tf32: str = setting(
        'conv', 'what GPUs compute in TensorFloat-32 in fp32 (default conv: convolutions)', choices=TF32
    )
    start: Fraction | None = setting(
        None, 'begin here: 90, 1:30 or 00:01:30.5', group=_PART, values=parse_time, metavar='TIME'
    )
    end: Fraction | None = setting(None, 'end before this', group=_PART, values=parse_time, metavar='TIME')
    preview: int | None = setting(
        None, 'only the first N frames', group=_PART, values=int, metavar='N', least=(1, 'frame')
    )
    compare: bool = setting(False, 'bicubic on the left, the network on the right', group=_PART)
    scene_cuts: bool = setting(True, 'restart propagation at scene cuts (default on)', group=_PART)
    segment: int = setting(
        SEGMENT,
        f'frames restored, encoded and stored at a time (default {SEGMENT}), with --chunk-overlap more on each side',
        group=_PART,
        values=int,
        metavar='FRAMES',
        least=(1, 'frame'),
    )
    fps: Fraction | None = setting(
        None,
        'frames per second of inputs without times: a folder (default 25), raw H.264, ...',
        group=_PART,
        values=parse_fps,
        metavar='RATE',
    )
    progressive: bool = setting(False, 'treat a video that is tagged as interlaced as progressive', group=_PART)
    overwrite: bool = setting(False, 'replace an output that exists', group=_FILES)
    restart: bool = setting(False, 'discard the finished segments of an interrupted run', group=_FILES)
    plan: PlanOptions = field(default_factory=PlanOptions)
    encode: EncodingOptions = field(default_factory=EncodingOptions)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise SettingError(
                'end', f'got {float(self.end):g} s, expected more than the start, {float(self.start):g} s'
            )
        if self.fps is not None and self.fps <= 0:
            raise SettingError('fps', f'got {self.fps}, expected more than 0')

    @property
    def overlap(self) -> int:
        """Number of frames of neighboring segments in the same shot that a segment reads."""
        return self.plan.chunk_overlap


def is_video_output(path: Path) -> bool:
    """Return whether an output is a video file (True) or a folder (False).

    Raises:
        UserError: its extension is neither.
    """
    if path.suffix.lower() in VIDEO_OUTPUTS and not path.is_dir():
        return True
    if path.suffix and not path.is_dir() and re.fullmatch(r'\.[A-Za-z]\w{1,4}', path.suffix):
        raise UserError(
            f'{path}: cannot write {path.suffix!r}, expected a video file ({", ".join(VIDEO_OUTPUTS)}) or a folder'
        )
    return False
