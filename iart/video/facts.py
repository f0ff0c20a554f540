"""Facts of an input, a video or a folder of frames, before it is upscaled."""

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
        coding: color coding of its numbers.
        tags: color tags of the input.
        time_base: unit of time stamps, in seconds.
        rate: frames per second, if known.
        frames: number of selected frames.
        first, last: time stamps of the first and the last of them.
        pixel_aspect: width of a pixel divided by its height; None if not stated.
        display_matrix: FFmpeg's nine numbers; None if not rotated, or rotated when it is read.
        begin, stop: first and last time stamp of the selected part, whose ``first`` becomes 0; None for everything.
        origin: time stamp that becomes 0 if everything is selected: the start of the input's clock.
        orientation: rotation of frames when they are read.
        counted_from: time stamp of the first frame of a video whose frames are counted for lack of times; None if they
            have times.
        notes: notes for the log on parts of the input that its frames do not have.
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
        """Offset subtracted from the time stamps of all streams, so that a part, or an input's clock, begins at 0."""
        return self.first if self.begin is not None else self.origin

    @property
    def span(self) -> tuple[Fraction, Fraction] | None:
        """Start and end in seconds of the copied part of other streams; None for all."""
        if self.begin is None and self.stop is None:
            return None
        end = self.stop * self.time_base if self.stop is not None else Fraction(1 << 40)
        return (self.first * self.time_base if self.begin is not None else Fraction(-1 << 40)), end
