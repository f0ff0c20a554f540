"""Small video files for tests."""

from pathlib import Path

import av
import numpy as np
import pytest


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
