"""What is known of an input before it is upscaled, whether it is a video or a folder of frames."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from iart.video.color import Coding
from iart.video.orientation import UPRIGHT, Orientation

HDR = {16: 'PQ', 18: 'HLG'}  # transfer characteristics of ITU-T H.273
UNSPECIFIED = 2


@dataclass(frozen=True)
class Tags:
    """Color tags by their numbers of ITU-T H.273; range as FFmpeg's number (1 limited, 2 full)."""

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    extent: int = 0


@dataclass(frozen=True)
class Clip:
    """Facts of an input.

    Args:
        file: the video, or the folder of the frames.
        height, width: size of a frame, in pixels; as coded, but for frames that are turned (``orientation``).
        pix_fmt: as coded; ``rgb24`` or ``rgb48le`` for image files.
        coding: how its numbers mean colors.
        tags: as found.
        time_base: unit of time stamps, in seconds.
        rate: frames per second, as far as known.
        frames: number of frames that are wanted.
        first, last: time stamps of the first and the last of them.
        pixel_aspect: width of a pixel by its height; None: not said.
        display_matrix: FFmpeg's nine numbers; None: not rotated, or turned when it is read.
        begin, stop: the time stamps that are wanted, and that ``first`` becomes 0; None: everything.
        origin: the time stamp that becomes 0 when everything is wanted: where the input's own clock starts.
        orientation: how frames are turned when they are read.
        counted_from: the time stamp of the first frame of a video whose frames have no times and are counted; None:
            they have.
        notes: what of the input does not reach its frames, in words, to be logged.
    """

    file: Path
    height: int
    width: int
    pix_fmt: str
    coding: Coding
    tags: Tags
    time_base: Fraction
    rate: Fraction
    frames: int
    first: int
    last: int
    pixel_aspect: Fraction | None = None
    display_matrix: tuple[int, ...] | None = None
    begin: int | None = None
    stop: int | None = None
    origin: int = 0
    orientation: Orientation = UPRIGHT
    counted_from: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def bits(self) -> int:
        return self.coding.bits

    @property
    def shift(self) -> int:
        """What is subtracted from every time stamp, of all streams: a part, or an input's own clock, begins at 0."""
        return self.first if self.begin is not None else self.origin

    @property
    def span(self) -> tuple[Fraction, Fraction] | None:
        """From when to when streams beside the pictures are copied, in seconds; None: all of it."""
        if self.begin is None and self.stop is None:
            return None
        end = self.stop * self.time_base if self.stop is not None else Fraction(1 << 40)
        return (self.first * self.time_base if self.begin is not None else Fraction(-1 << 40)), end
