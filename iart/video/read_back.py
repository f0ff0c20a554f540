"""Facts of a finished video, and its differences from what was promised."""

from collections import Counter
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from iart.video import pyav
from iart.video.facts import UNSPECIFIED, Tags
from iart.video.side_data import SideData, side_data_of

_ROUNDING = 0.002  # seconds: some containers keep time in milliseconds
_SOUND_ROUNDING = 0.1  # seconds: encoders of sound pad its last packet
_SAME_MATRIX = {5: 6}  # numbers of one matrix
_ASPECT_ROUNDING = 0.005  # Matroska keeps a display size instead, in whole pixels


@dataclass(frozen=True)
class Written:
    """Facts of a written video.

    Args:
        size: (h, w).
        pix_fmt: pixel format, without the ``j`` of full range.
        tags: color tags.
        aspect: sample aspect ratio; None: 1, or not stated.
        display_matrix: FFmpeg's nine numbers; None: not rotated.
        side_data: side data of the first frame.
        metadata: keys of the container's metadata, in lower case.
        streams: number of streams by kind.
        frames: number of frames.
        start, end: when the first and the last frame are shown, in seconds.
        sound_end: when the last packet of sound ends, in seconds.
        last_sound: when it begins.
    """

    size: tuple[int, int]
    pix_fmt: str
    tags: Tags
    aspect: Fraction | None
    display_matrix: tuple[int, ...] | None
    side_data: SideData
    metadata: frozenset[str] = frozenset()
    streams: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    start: float = 0.0
    end: float = 0.0
    sound_end: float = 0.0
    last_sound: float = 0.0


def read_back(file: Path | BinaryIO) -> Written:
    """Read the headers of a written video, its first frame, and the times of all packets.

    Raises:
        av.error.FFmpegError: it cannot be read.
    """
    with _opened(file) as container:
        stream = next(s for s in container.streams.video if not pyav.is_attached_picture(s))
        frame = next(container.decode(stream))
        facts = Written(
            size=(frame.height, frame.width),
            pix_fmt=frame.format.name.replace('yuvj', 'yuv'),
            tags=Tags(*pyav.color_tags(stream, frame)),
            aspect=stated_aspect(pyav.fraction(stream.sample_aspect_ratio)),
            display_matrix=pyav.display_matrix(frame),
            side_data=side_data_of(frame),
            metadata=frozenset(key.lower() for key in container.metadata),
            streams=Counter(kind_of(s) for s in container.streams if s.type != 'data'),
        )
    with _opened(file) as container:
        return replace(facts, **_times(container))


def _opened(file: Path | BinaryIO) -> Any:
    import av

    if isinstance(file, Path):
        return av.open(f'file:{file}')
    file.seek(0)
    return av.open(file)


def kind_of(stream: Any) -> str:
    """Return ``cover`` for an attached picture, else the type of a stream."""
    return 'cover' if stream.type == 'video' and pyav.is_attached_picture(stream) else str(stream.type)


def stated_aspect(aspect: Fraction | None) -> Fraction | None:
    """Return a sample aspect ratio; None where pixels are square."""
    return None if aspect in (None, 0, 1) else aspect


def _times(container: Any) -> dict[str, Any]:
    streams = [s for s in container.streams if kind_of(s) in ('video', 'audio')]
    frames, start, end, sound_end, last_sound = 0, float('inf'), 0.0, 0.0, 0.0
    for packet in container.demux(*streams):
        if not packet.size or packet.pts is None:
            continue
        shown, until = (float(t * pyav.unit(packet)) for t in (packet.pts, packet.pts + (packet.duration or 0)))
        if packet.stream.type == 'audio':
            sound_end, last_sound = max(sound_end, until), max(last_sound, shown)
        elif not packet.is_discard:
            frames, start, end = frames + 1, min(start, shown), max(end, shown)
    return {'frames': frames, 'start': start, 'end': end, 'sound_end': sound_end, 'last_sound': last_sound}


def differences(promised: Written, written: Written, *, delay: float = 0.0) -> list[str]:
    """Return what differs from the promise, in words such as ``49 frames instead of 50``.

    Args:
        promised: facts of the video to be written.
        written: facts that were read back.
        delay: permitted delay of all times in seconds, for a container without times before 0.
    """
    lost = list(_visible_differences(promised, written))
    missing = promised.streams - written.streams
    if missing:
        lost.append(f'without {" and ".join(f"{n} {kind} stream" for kind, n in missing.items())}')
    if promised.frames != written.frames:
        lost.append(f'{written.frames} frames instead of {promised.frames}')
    late = written.start - promised.start
    if not -_ROUNDING <= late <= delay + _ROUNDING:
        lost.append(f'its first frame at {written.start:.3f} s instead of {promised.start:.3f} s')
    if abs((written.end - written.start) - (promised.end - promised.start)) > 2 * _ROUNDING:
        lost.append(
            f'its last frame {written.end - written.start:.3f} s after the first instead of '
            f'{promised.end - promised.start:.3f} s'
        )
    # A container may state another duration of the last packet, or cut raw sound into other packets, but not both.
    apart = [abs(getattr(written, k) - late - getattr(promised, k)) for k in ('sound_end', 'last_sound')]
    if promised.sound_end and min(apart) > _SOUND_ROUNDING:
        lost.append(f'sound until {written.sound_end:.3f} s instead of {promised.sound_end:.3f} s')
    return lost


def _visible_differences(promised: Written, written: Written) -> list[str]:
    lost = []
    if promised.size != written.size:
        (h, w), (expected_h, expected_w) = written.size, promised.size
        lost.append(f'{w}×{h} pixels instead of {expected_w}×{expected_h}')
    if promised.pix_fmt != written.pix_fmt:
        lost.append(f'{written.pix_fmt} instead of {promised.pix_fmt}')
    lost += different_tags(promised.tags, written.tags)
    if not same_aspect(promised.aspect, written.aspect):
        lost.append(f'the sample aspect ratio {written.aspect or 1} instead of {promised.aspect or 1}')
    if promised.display_matrix != written.display_matrix:
        lost.append(f'the display matrix {written.display_matrix} instead of {promised.display_matrix}')
    return lost


def different_tags(promised: Tags, written: Tags) -> list[str]:
    """Return which color tags differ, of those that are stated."""
    lost = []
    for name in ('matrix', 'primaries', 'transfer'):
        expected, got = getattr(promised, name), getattr(written, name)
        if name == 'matrix':
            expected, got = _SAME_MATRIX.get(expected, expected), _SAME_MATRIX.get(got, got)
        if expected not in (got, UNSPECIFIED):
            lost.append(f'the color {name} {got} instead of {expected} (ITU-T H.273)')
    if promised.matrix != 0 and promised.extent not in (0, written.extent):
        names = {0: 'unstated', 1: 'limited', 2: 'full'}
        lost.append(f'{names[written.extent]} range instead of {names[promised.extent]}')
    return lost


def same_aspect(one: Fraction | None, other: Fraction | None) -> bool:
    """Return whether two sample aspect ratios are equal up to rounding."""
    return abs(float(one or 1) / float(other or 1) - 1) < _ASPECT_ROUNDING
