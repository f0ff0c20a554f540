"""Small video files for tests."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from iart.image import to_tensor
from iart.video.color import Coding
from iart.video.pictures import to_frame
from iart.video.pixel_formats import depth


def write_video(
    path: Path, frames: list, *, colorspace: int | None = 1, color_range: int | None = 1, gop=4, b_frames=2
) -> Path:
    """An H.264 file whose key frames are ``gop`` apart; frames are (h, w, 3) uint8 RGB, or (Y, Cb, Cr) for one flat
    color.
    """
    if 'libx264' not in av.codecs_available:
        pytest.skip('this FFmpeg cannot write H.264')
    flat = isinstance(frames[0], tuple)
    height, width = (64, 96) if flat else frames[0].shape[:2]
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        context = stream.codec_context
        context.gop_size, context.max_b_frames, context.options = gop, b_frames, {'crf': '1', 'preset': 'ultrafast'}
        if colorspace is not None:
            context.colorspace = colorspace
        if color_range is not None:
            context.color_range = color_range
        for number, content in enumerate(frames):
            frame = (
                _flat(content, height, width)
                if flat
                else av.VideoFrame.from_ndarray(content, format='rgb24').reformat(format='yuv420p')
            )
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _flat(color, height: int, width: int) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, 'yuv420p')
    for plane, value in zip(frame.planes, color, strict=True):
        plane.update(np.full(plane.buffer_size, value, np.uint8).tobytes())
    return frame


def encode(path, frames, codec='libx264', pix_fmt='yuv420p', options=None, *, rate=25, gop=6, times=None, form=None):
    """Write a video of (h, w, 3) uint8 RGB frames, read as BT.601, with any codec; ``times`` in units of 1/rate."""
    if codec not in av.codecs_available:
        pytest.skip(f'this FFmpeg has no {codec}')
    with av.open(str(path), 'w', format=form) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], pix_fmt
        context = stream.codec_context
        context.options = (
            {'preset': 'ultrafast', 'crf': '1', **(options or {})} if codec == 'libx264' else options or {}
        )
        context.gop_size = gop
        for number, pixels in enumerate(frames):
            frame = to_frame(
                to_tensor(pixels), pix_fmt, Coding('BT.601', False, depth(pix_fmt)), 0, 1, Fraction(1, rate)
            )
            frame.pts, frame.time_base = (times[number] if times else number), Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def copy(source, target, change, form=None, options=None):
    """Copy a video's packets; ``change`` gets (number, packet) and returns the packet to write, or None."""
    with av.open(str(source)) as before, av.open(str(target), 'w', format=form, options=options or {}) as after:
        stream = after.add_stream_from_template(before.streams.video[0], opaque=True)
        for number, packet in enumerate(before.demux(before.streams.video[0])):
            if packet.size and (changed := change(number, packet)) is not None:
                changed.stream = stream
                after.mux(changed)
    return target


def with_content(packet, content):
    """Return a packet with other bytes and the times of this one."""
    fresh = av.Packet(content)
    fresh.pts, fresh.dts, fresh.duration, fresh.time_base = packet.pts, packet.dts, packet.duration, packet.time_base
    fresh.is_keyframe = packet.is_keyframe
    return fresh
