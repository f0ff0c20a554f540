"""Small videos with everything that upscaling must keep, and what is found in a video again."""

from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
import torch

from helpers.rebuilt import fill
from helpers.tiny import NETWORK
from iart.archs.builder import build_network
from iart.image import to_tensor
from iart.video import pyav
from iart.video.color import Coding
from iart.video.pictures import plane_array, to_frame
from iart.video.pixel_formats import depth, is_rgb
from iart.weights import write_weights

IRREGULAR = (0, 3, 4, 9, 30, 31, 33, 40, 60, 61, 80, 82, 100, 101, 130, 133)
"""Time stamps of a variable frame rate."""
DISPLAY_MATRIX = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)  # a quarter turn
WRITES_SUBTITLES = hasattr(av.container.OutputContainer, 'add_mux_stream')
"""Whether this PyAV can make a video with subtitles (from version 17 on); copying them it always can."""


class Clip(NamedTuple):
    """What is to be compared of a video."""

    times: list[Fraction]
    planes: list[tuple[np.ndarray, ...]]
    size: tuple[int, int]
    pix_fmt: str
    tags: tuple[int, int, int, int]
    aspect: Fraction | None
    rotation: int
    streams: list[str]
    packets: dict[str, list[tuple[Fraction, bytes]]]
    chapters: list[tuple[Fraction, Fraction, str]]
    metadata: dict[str, str]


def texture(number: int, height: int = 18, width: int = 22, *, seed: int = 0) -> np.ndarray:
    """(h, w, 3) uint8: smooth, moving with ``number``; another ``seed`` is another scene."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin((x + 0.4 * number) / (3 + k + seed) + y / (4 + seed) + 7 * seed + k) for k in range(3)]
    return (
        np.stack([127 + 60 * (-1) ** seed + 60 * wave * (1 - 0.5 * (seed % 2)) for wave in waves], -1)
        .clip(0, 255)
        .astype(np.uint8)
    )


def write(
    path: Path,
    frames: list[np.ndarray],
    *,
    times: tuple[int, ...] | None = None,
    time_base: Fraction = Fraction(1, 25),
    codec: str = 'libx264',
    pix_fmt: str = 'yuv420p',
    tags: tuple[int, int, int, int] = (1, 1, 1, 1),
    aspect: Fraction | None = None,
    rotated: bool = False,
    interlaced: bool = False,
    audio: bool = False,
    subtitles: bool = False,
    chapters: bool = False,
    timecode: str = '',
) -> Path:
    """Write a video; ``tags`` are matrix, primaries, transfer, range. PyAV 16 leaves out the rotation and the
    subtitles.
    """
    if codec not in av.codecs_available:
        pytest.skip(f'this FFmpeg has no {codec}')
    with av.open(str(path), 'w') as container:
        container.metadata['title'] = 'a title'
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], pix_fmt
        context = stream.codec_context
        context.time_base = stream.time_base = time_base
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = tags
        if codec == 'libx264':
            context.options = {
                'crf': '1',
                'preset': 'ultrafast',
                **({'x264-params': 'interlaced=1'} if interlaced else {}),
            }
        if aspect:
            context.sample_aspect_ratio = aspect
        if timecode:
            stream.metadata['timecode'] = timecode
        if rotated and pyav.can_write_display_matrix():
            stream.set_display_matrix(DISPLAY_MATRIX)
        matrix = {5: 'BT.601', 9: 'BT.2020'}.get(tags[0], 'BT.709')
        coding = Coding(matrix, tags[3] == 2 or is_rgb(pix_fmt), depth(pix_fmt))
        sound = _add_sound(container) if audio else None
        text = (
            container.add_mux_stream('mov_text' if path.suffix == '.mp4' else 'subrip')
            if subtitles and WRITES_SUBTITLES
            else None
        )
        if chapters:
            chapter = {
                'id': 1,
                'start': 100,
                'end': 400,
                'time_base': Fraction(1, 1000),
                'metadata': {'title': 'the middle'},
            }
            container.set_chapters([chapter])
        for number, pixels in enumerate(frames):
            frame = to_frame(to_tensor(pixels), pix_fmt, coding, times[number] if times else number, 0, time_base)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            _write_sound(container, sound)
        if text is not None:
            _write_text(container, text, path)
    return path


def _add_sound(container: Any) -> Any:
    sound = container.add_stream('aac', rate=8000)
    sound.metadata['language'] = 'fra'
    return sound


def _write_sound(container: Any, sound: Any) -> None:
    wave = np.sin(np.arange(8000) / 5)[None].astype(np.float32) / 2
    for start in range(0, 8000, 1024):
        part = np.repeat(wave[:, start : start + 1024], 2, 0)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format='fltp', layout='stereo')
        frame.sample_rate, frame.pts, frame.time_base = 8000, start, Fraction(1, 8000)
        container.mux(sound.encode(frame))
    container.mux(sound.encode(None))


def _write_text(container: Any, text: Any, path: Path) -> None:
    words = b'hello'
    packet = av.Packet(len(words).to_bytes(2, 'big') + words if path.suffix == '.mp4' else words)
    packet.pts = packet.dts = 100
    packet.duration, packet.time_base, packet.stream = 200, Fraction(1, 1000), text
    container.mux(packet)


def look(path: Path) -> Clip:
    """Read a video back."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        first = frames[0]
        tags = pyav.color_tags(stream, first)
        kinds = [f'{s.type}:{s.metadata.get("language", "")}' for s in container.streams]
        chapters = [
            (c['start'] * c['time_base'], c['end'] * c['time_base'], c['metadata'].get('title', ''))
            for c in container.chapters()
        ]
        metadata, aspect = dict(container.metadata), stream.sample_aspect_ratio
        base = stream.time_base
    packets: dict[str, list[tuple[Fraction, bytes]]] = {}
    with av.open(str(path)) as container:
        others = [s for s in container.streams if s.type in ('audio', 'subtitle')]
        for packet in container.demux(*others) if others else ():
            if packet.size:
                packets.setdefault(packet.stream.type, []).append((packet.pts * packet.time_base, bytes(packet)))
    return Clip(
        times=[frame.pts * base for frame in frames],
        planes=[_planes(frame) for frame in frames],
        size=(first.height, first.width),
        pix_fmt=first.format.name,
        tags=tags,
        aspect=aspect,
        rotation=first.rotation,
        streams=kinds,
        packets=packets,
        chapters=chapters,
        metadata=metadata,
    )


def _planes(frame: Any) -> tuple[np.ndarray, ...]:
    if frame.format.is_rgb:
        return (frame.reformat(format='rgb24').to_ndarray(),)
    return tuple(plane_array(frame, k).copy() for k in range(len(frame.planes)))


def tiny_weights(folder: Path) -> Path:
    """A tiny network with the options inside its file."""
    path = folder / 'tiny.safetensors'
    section = {**NETWORK, 'embed_dim': 8}
    write_weights(path, fill(build_network(section), 'upscale'), section)
    return path


class Enlarge(torch.nn.Module):
    """Repeats every pixel four times along each side; takes clips as a whole, as BasicSR's networks do."""

    def forward(self, lq: torch.Tensor) -> torch.Tensor:
        return lq.repeat_interleave(4, -1).repeat_interleave(4, -2)
