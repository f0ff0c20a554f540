"""JPEG and video compression in memory, and clamping of values."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from iart.degradations.step import (
    Drift,
    Image,
    Range,
    Shares,
    Step,
    check_range,
    check_shares,
    check_steps,
    choose,
    to_bytes,
)
from iart.errors import UserError
from iart.registry import DEGRADATION_REGISTRY, SUFFIX

_CODECS = ('libx264', 'h264', 'mpeg4')
# Without it x264's macroblock tree uses instructions whose results differ between CPUs and, on small frames, from one
# call to the next (measured with PyAV 18: of 120 clips of 4 to 78 pixels a side, 23 did not repeat within 6 calls).
_REPEATABLE = {key: {'x264-params': 'cpu-independent=1'} for key in ('libx264', 'h264')}


@DEGRADATION_REGISTRY.register(suffix=SUFFIX)
@dataclass(frozen=True, kw_only=True)
class RandomJPEGCompression(Step):
    """Compress each frame as JPEG.

    Args:
        quality: lowest and highest quality, 1 to 100.
        quality_step: largest change of it from one frame to the next.
    """

    quality: Range = (30.0, 95.0)
    quality_step: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range('quality', self.quality, 1, 100)
        check_steps(quality_step=self.quality_step)

    def apply(self, frames: Iterable[Image], rng: np.random.Generator, lq_size: tuple[int, int]) -> Iterator[Image]:
        quality = Drift(rng.uniform(*self.quality), self.quality_step, self.quality, rng)
        for frame in frames:
            settings = (cv2.IMWRITE_JPEG_QUALITY, round(quality.next()))
            data = cv2.imencode('.jpg', to_bytes(frame)[..., ::-1], settings)[1]
            decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.float32)
            yield np.ascontiguousarray(decoded[..., ::-1])


@DEGRADATION_REGISTRY.register(suffix=SUFFIX)
@dataclass(frozen=True, kw_only=True)
class RandomVideoCompression(Step):
    """Compress the clip as a video in memory, in one thread, so that the same frames give the same bytes.

    All frames get the size of the first one (bilinear); one of odd size is padded for the encoder and cropped again.
    The result depends on the version of FFmpeg that PyAV brings.

    Args:
        codecs: share of the encoders ``libx264``, ``h264`` (FFmpeg's default for H.264, libx264 where it is built in)
            and ``mpeg4``.
        bitrate: lowest and highest bit rate, in bits per second at one frame per second.
    """

    codecs: Shares = field(default_factory=lambda: dict.fromkeys(_CODECS, 1.0))
    bitrate: Range = (1e4, 1e5)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares('codecs', self.codecs, _CODECS)
        check_range('bitrate', self.bitrate, 1000)

    def apply(self, frames: Iterable[Image], rng: np.random.Generator, lq_size: tuple[int, int]) -> Iterator[Image]:
        codec, bitrate = choose(self.codecs, rng), int(rng.uniform(*self.bitrate))
        data, count, (h, w) = _encode(frames, codec, bitrate)
        decoded = 0
        for frame in _decode(data) if count else ():
            decoded += 1
            yield frame[:h, :w]
        if decoded != count:
            raise UserError(
                f'RandomVideoCompression: {codec} gave back {decoded} of {count} frames; another version of PyAV, or '
                'codecs without it in the chain, avoids this'
            )


def _encode(frames: Iterable[Image], codec: str, bitrate: int) -> tuple[io.BytesIO, int, tuple[int, int]]:
    """Return an MP4 file in memory, the number of its frames and the (h, w) of the first one."""
    import av

    buffer, count, size = io.BytesIO(), 0, (0, 0)
    stream: Any = None
    try:
        with av.open(buffer, 'w', format='mp4') as container:
            for frame in frames:
                count += 1
                if stream is None:
                    size = frame.shape[0], frame.shape[1]
                    stream = container.add_stream(codec, rate=1, options=_REPEATABLE.get(codec))
                    stream.height, stream.width = (side + side % 2 for side in size)
                    stream.pix_fmt, stream.bit_rate = 'yuv420p', bitrate
                    stream.codec_context.thread_count = 1
                planes = np.asarray(cv2.cvtColor(_even(to_bytes(frame), size), cv2.COLOR_RGB2YUV_I420), np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format='yuv420p')))
            if stream is not None:
                container.mux(stream.encode())
    except (av.error.FFmpegError, ValueError) as error:
        raise UserError(f'RandomVideoCompression: {codec} cannot encode the frames: {error}') from error
    buffer.seek(0)
    return buffer, count, size


def _even(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize a frame to ``size`` (h, w) and repeat its last row and column where that is odd."""
    if frame.shape[:2] != size:
        frame = np.asarray(cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    h, w = size
    return np.pad(frame, ((0, h % 2), (0, w % 2), (0, 0)), 'edge') if h % 2 or w % 2 else frame


def _decode(data: io.BytesIO) -> Iterator[Image]:
    import av

    container: Any
    with av.open(data) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            yield np.asarray(cv2.cvtColor(frame.to_ndarray(), cv2.COLOR_YUV2RGB_I420), np.float32)


@DEGRADATION_REGISTRY.register(suffix=SUFFIX)
@dataclass(frozen=True, kw_only=True)
class Clamp(Step):
    """Limit values to 0 and 255."""

    def apply(self, frames: Iterable[Image], rng: np.random.Generator, lq_size: tuple[int, int]) -> Iterator[Image]:
        return (np.clip(frame, 0, 255) for frame in frames)
