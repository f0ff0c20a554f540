"""What a user may ask of ``iart upscale``; no heavy imports, so that the command line can show it at once."""

import re
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from iart.errors import UserError
from iart.inference.options import PlanOptions
from iart.video.options import EncodingOptions

VIDEO_OUTPUTS = ('.mp4', '.mkv', '.mov', '.m4v', '.webm')
SEGMENT = 100  # frames
FPS = Fraction(25)


@dataclass(frozen=True)
class Settings:
    """What to do with each input.

    Args:
        start, end: seconds; None: from the beginning, to the end.
        preview: only so many frames.
        compare: bicubic on the left, the network on the right.
        scene_cuts: propagation restarts at cuts.
        segment: frames that are restored, encoded and kept at a time.
        fps: frames per second of folders of frames and of videos whose frames have no times; None: FPS, or what the
            video states.
        progressive: take interlaced frames for whole ones.
        overwrite: replace an output that is there.
        restart: throw finished segments of a former run away.
        precision: ``fp32``, ``fp16`` or ``bf16``.
        plan: wishes for the memory plan.
        encode: wishes for the encoder.
    """

    start: Fraction | None = None
    end: Fraction | None = None
    preview: int | None = None
    compare: bool = False
    scene_cuts: bool = True
    segment: int = SEGMENT
    fps: Fraction | None = None
    progressive: bool = False
    overwrite: bool = False
    restart: bool = False
    precision: str = 'fp32'
    plan: PlanOptions = field(default_factory=PlanOptions)
    encode: EncodingOptions = field(default_factory=EncodingOptions)

    def __post_init__(self) -> None:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise UserError(
                f'--start {float(self.start):g} and --end {float(self.end):g}: expected an end after the start'
            )
        if self.preview is not None and self.preview < 1:
            raise UserError(f'--preview: got {self.preview}, expected 1 frame or more')
        if self.segment < 1:
            raise UserError(f'--segment: got {self.segment}, expected 1 frame or more')
        if self.fps is not None and self.fps <= 0:
            raise UserError(f'--fps: got {self.fps}, expected more than 0')

    @property
    def overlap(self) -> int:
        """Frames that a segment sees of its neighbours in the same shot."""
        return self.plan.chunk_overlap


def parse_time(text: str, option: str) -> Fraction:
    """``90``, ``90.5``, ``1:30`` or ``00:01:30.5`` in seconds.

    Raises:
        UserError: it is no time.
    """
    if not re.fullmatch(r'(\d+:){0,2}\d+(\.\d+)?', text):
        raise UserError(f'{option}: got {text!r}, expected a time such as 90, 1:30 or 00:01:30.5')
    seconds = Fraction(0)
    for part in text.split(':'):
        seconds = seconds * 60 + Fraction(part)
    return seconds


def parse_fps(text: str) -> Fraction:
    """``25``, ``29.97`` or ``30000/1001``.

    Raises:
        UserError: it is no rate.
    """
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(f'--fps: got {text!r}, expected a rate such as 25 or 30000/1001') from error


def is_video_output(path: Path) -> bool:
    """Whether an output is a video file (True) or a folder (False).

    Raises:
        UserError: it has an ending that is neither.
    """
    if path.suffix.lower() in VIDEO_OUTPUTS and not path.is_dir():
        return True
    if path.suffix and not path.is_dir() and re.fullmatch(r'\.[A-Za-z]\w{1,4}', path.suffix):
        raise UserError(
            f'{path}: cannot write {path.suffix!r}, expected a video file ({", ".join(VIDEO_OUTPUTS)}) or a folder'
        )
    return False
