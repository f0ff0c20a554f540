"""Side data of frames (HDR10 metadata, stereo 3D and more), and the encoders that can write it.

PyAV writes no side data of packets and frames. HDR10 metadata and stereo 3D are passed to the encoder as parameters,
which writes them into its bitstream; other side data is lost, which is logged before the work begins.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

_LOST = {
    'DYNAMIC_HDR_PLUS': 'HDR10+ metadata',
    'DYNAMIC_HDR_VIVID': 'HDR Vivid metadata',
    'DOVI_METADATA': 'Dolby Vision metadata',
    'DOVI_RPU_BUFFER': 'Dolby Vision metadata',
    'AMBIENT_VIEWING_ENVIRONMENT': 'the ambient viewing environment',
    'SPHERICAL': 'the projection of a spherical video',
    'ICC_PROFILE': 'the ICC profile',
    'A53_CC': 'closed captions inside the pictures',
    'FILM_GRAIN_PARAMS': 'film grain parameters (the grain itself is in the pictures)',
    'S12M_TIMECODE': 'time codes inside the pictures',
    'GOP_TIMECODE': 'time codes inside the pictures',
    'AFD': 'the active format description',
}
# FFmpeg's number of a stereo layout: its name, and x264's number of the frame packing arrangement
_STEREO = {
    1: ('side by side', 3),
    2: ('top and bottom', 4),
    3: ('frames in turn', 5),
    4: ('checkerboard', 0),
    6: ('lines in turn', 2),
    7: ('columns in turn', 1),
}
_PARAMETERS = {'libx264': 'x264-params', 'libx265': 'x265-params', 'libsvtav1': 'svtav1-params'}


@dataclass(frozen=True)
class MasteringDisplay:
    """The display on which a video was graded (SMPTE ST 2086).

    Args:
        primaries: (x, y) of red, green, blue and white.
        luminance: (smallest, largest), in cd/m².
    """

    primaries: tuple[tuple[Fraction, Fraction], ...]
    luminance: tuple[Fraction, Fraction]


@dataclass(frozen=True)
class SideData:
    """Side data of the first frame of a video.

    Args:
        mastering: the display on which it was graded.
        light: largest and largest average light level (MaxCLL, MaxFALL), in cd/m².
        stereo: FFmpeg's number of a stereo layout.
        lost: names of other side data.
    """

    mastering: MasteringDisplay | None = None
    light: tuple[int, int] | None = None
    stereo: int | None = None
    lost: tuple[str, ...] = ()


def side_data_of(frame: Any) -> SideData:
    """Return the side data of a decoded frame."""
    stereo = _bytes(frame, 'STEREO3D')
    layout = struct.unpack_from('i', stereo)[0] if stereo else 0
    light = _bytes(frame, 'CONTENT_LIGHT_LEVEL')
    levels = struct.unpack_from('2I', light) if light else None
    lost = dict.fromkeys(text for name, text in _LOST.items() if _bytes(frame, name) is not None)
    return SideData(
        mastering=_mastering(_bytes(frame, 'MASTERING_DISPLAY_METADATA')),
        light=(levels[0], levels[1]) if levels else None,
        stereo=layout or None,
        lost=tuple(lost),
    )


def _bytes(frame: Any, name: str) -> bytes | None:
    try:
        entry = frame.side_data.get(name)
    except (ValueError, KeyError):  # one of the entries, or this name, is not known to this version of PyAV
        return None
    return None if entry is None else bytes(entry)


def _mastering(content: bytes | None) -> MasteringDisplay | None:
    if content is None or len(content) < 88:
        return None
    *numbers, has_primaries, has_luminance = struct.unpack_from('22i', content)
    if not (has_primaries and has_luminance) or 0 in numbers[1::2]:
        return None
    values = [Fraction(a, b) for a, b in zip(numbers[::2], numbers[1::2], strict=True)]
    return MasteringDisplay(tuple(zip(values[0:8:2], values[1:8:2], strict=True)), (values[8], values[9]))


def encoder_parameters(codec: str, side_data: SideData) -> dict[str, str]:
    """Return the encoder's options that write the metadata into its bitstream.

    Args:
        codec: FFmpeg's name of the encoder.
        side_data: side data of the input.
    """
    words = list(_words(codec, side_data))
    return {_PARAMETERS[codec]: ':'.join(words)} if words else {}


def _words(codec: str, side_data: SideData) -> Iterator[str]:
    display, light = side_data.mastering, side_data.light
    if codec == 'libsvtav1':
        if display is not None:
            yield f'mastering-display={_display(display, Fraction(1), Fraction(1))}'
        if light is not None:
            yield f'content-light={light[0]},{light[1]}'
    elif codec in ('libx264', 'libx265'):
        names = ('mastering-display', 'cll') if codec == 'libx264' else ('master-display', 'max-cll')
        if display is not None:
            yield f'{names[0]}={_display(display, Fraction(50000), Fraction(10000))}'
        if light is not None:
            yield f'{names[1]}={light[0]},{light[1]}'
        if codec == 'libx264' and side_data.stereo in _STEREO:
            yield f'frame-packing={_STEREO[side_data.stereo][1]}'


def _display(display: MasteringDisplay, per_unit: Fraction, per_candela: Fraction) -> str:
    def number(value: Fraction, scale: Fraction) -> str:
        return f'{float(value):.6f}' if scale == 1 else str(round(value * scale))

    red, green, blue, white = (f'({number(x, per_unit)},{number(y, per_unit)})' for x, y in display.primaries)
    least, most = (number(value, per_candela) for value in display.luminance)
    return f'G{green}B{blue}R{red}WP{white}L({most},{least})'


def lost_metadata(before: SideData, after: SideData) -> list[str]:
    """Return the names of metadata that an input has and its output lacks.

    Args:
        before: side data of the input.
        after: side data of the output.
    """
    lost = [text for text in before.lost if text not in after.lost]
    if before.mastering is not None and after.mastering is None:
        lost.append('the mastering display (HDR10 metadata)')
    if before.light is not None and after.light is None:
        lost.append('the content light level (HDR10 metadata)')
    if before.stereo is not None and after.stereo != before.stereo:
        name = _STEREO[before.stereo][0] if before.stereo in _STEREO else f'layout {before.stereo}'
        lost.append(f'the stereo 3D layout ({name})')
    return lost
