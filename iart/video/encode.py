"""Encoding of restored frames to packets, deterministically: the encoder and its settings.

Encoders run with a fixed number of threads, since the bits of some depend on it.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from iart.errors import SettingError, listing, nearest
from iart.video.color import Coding
from iart.video.encoding_options import EncodingOptions
from iart.video.facts import UNSPECIFIED, Clip, Tags
from iart.video.packets import Encoded
from iart.video.pixel_formats import depth, is_rgb, subsampling

CODECS = {
    'h264': 'libx264',
    'hevc': 'libx265',
    'av1': 'libsvtav1',
    'vp9': 'libvpx-vp9',
    'ffv1': 'ffv1',
    'prores': 'prores_ks',
}
_CRF = {'libx264': 16.0, 'libx265': 18.0, 'libsvtav1': 24.0, 'libvpx-vp9': 22.0}
_PRESET = {'libx264': 'medium', 'libx265': 'medium', 'libsvtav1': '6'}
_LOSSLESS: dict[str, dict[str, str]] = {
    'libx264': {'qp': '0'},
    'libx265': {'x265-params': 'lossless=1'},
    'libvpx-vp9': {'lossless': '1'},
    'ffv1': {},
}
_FIXED = {
    'libx265': {'x265-params': 'pools=4:frame-threads=2:log-level=error'},
    'libsvtav1': {'svtav1-params': 'lp=4'},
    'libvpx-vp9': {'b': '0', 'row-mt': '1'},
    'ffv1': {'level': '3', 'slices': '4', 'slicecrc': '1'},
}
_LIMITED_ONLY = ('prores', 'prores_ks', 'prores_aw')
_THREADS = 4
_LIMITED, _FULL = 1, 2
_BT470BG = 5
_MATRIX_TAGS = {'BT.709': 1, 'BT.601': 6, 'FCC': 4, 'SMPTE 240M': 7, 'BT.2020': 9}


@dataclass(frozen=True)
class Encoding:
    """The encoder and settings for a clip.

    Args:
        codec: FFmpeg's name of the encoder.
        pix_fmt: pixel format.
        coding: color coding of the frames.
        tags: color tags to write.
        height, width: size of the frames to encode, in pixels.
        options: the encoder's options.
    """

    codec: str
    pix_fmt: str
    coding: Coding
    tags: Tags
    height: int
    width: int
    options: Mapping[str, str] = field(default_factory=dict)


def choose_encoding(options: EncodingOptions, clip: Clip, size: tuple[int, int], suffix: str) -> Encoding:
    """Choose the encoding: H.264 (VP9 in .webm), chroma and depth of the input as far as the encoder supports them.

    Args:
        options: the user's settings.
        clip: the facts of the input.
        size: (h, w) of the frames to encode.
        suffix: extension of the output.

    Raises:
        SettingError: a codec that does not exist, or an option that it does not have.
    """
    codec = _codec(options.codec or ('vp9' if suffix == '.webm' else 'h264'))
    arguments = {**_fixed(codec), **_quality(codec, options)}
    pix_fmt = options.pix_fmt or _pix_fmt(codec, clip.pix_fmt)
    if pix_fmt not in _formats(codec):
        raise SettingError('pix_fmt', f'{codec} has no {pix_fmt!r}, expected one of {listing(_formats(codec))}')
    if is_rgb(pix_fmt):
        coding, matrix, full = Coding(clip.coding.matrix, True, depth(pix_fmt)), 0, True
    else:
        # An untagged video is tagged with the matrix that it was read with: players guess it from the size, which is
        # larger now.
        was_rgb = is_rgb(clip.pix_fmt)
        full = clip.coding.full and not was_rgb and codec not in _LIMITED_ONLY
        coding = Coding(clip.coding.matrix, full, depth(pix_fmt))
        matrix = clip.tags.matrix if clip.tags.matrix not in (0, 3, UNSPECIFIED) else _MATRIX_TAGS[clip.coding.matrix]
    if codec in _LIMITED_ONLY and matrix == _BT470BG:
        matrix = _MATRIX_TAGS['BT.601']  # the same numbers, and the only one of the two that ProRes can state
    tags = Tags(matrix, clip.tags.primaries, clip.tags.transfer, _FULL if full else _LIMITED)
    return Encoding(codec, pix_fmt, coding, tags, size[0], size[1], arguments)


def _codec(name: str) -> str:
    import av

    codec = CODECS.get(name, name)
    try:
        encoder = av.codec.Codec(codec, 'w')
    except ValueError as error:  # PyAV's UnknownCodecError
        raise SettingError(
            'codec', f'this FFmpeg has no encoder {name!r}, expected one of {listing(CODECS)}. {nearest(name, CODECS)}'
        ) from error
    if encoder.type != 'video':
        raise SettingError('codec', f'{name!r} encodes {encoder.type}, expected one of {listing(CODECS)}')
    return codec


def _fixed(codec: str) -> dict[str, str]:
    """Return the options that make an encoder deterministic."""
    import torch

    if codec.startswith('libx264') and torch.backends.cpu.get_cpu_capability() == 'AVX512':
        # Measured: x264's AVX-512 code gives up to four different results in 60 runs on small frames, the rest of it
        # one in 150.
        return {'x264-params': 'asm=AVX2,FMA3,LZCNT,BMI1,BMI2'}
    return _FIXED.get(codec, {})


def _quality(codec: str, options: EncodingOptions) -> dict[str, str]:
    arguments: dict[str, str] = {}
    if options.lossless:
        if codec not in _LOSSLESS:
            lossless = listing(name for name, encoder in CODECS.items() if encoder in _LOSSLESS)
            raise SettingError('lossless', f'{codec} cannot, expected one of the codecs {lossless}')
        arguments.update(_LOSSLESS[codec])
        if 'x265-params' in arguments:
            arguments['x265-params'] += ':' + _FIXED['libx265']['x265-params']
    elif options.crf is not None and codec not in _CRF:
        raise SettingError('crf', f'{codec} has no constant quality, expected one of {listing(_CRF)}')
    elif codec in _CRF:
        arguments['crf'] = f'{_CRF[codec] if options.crf is None else options.crf:g}'
    if options.preset is not None and codec not in _PRESET:
        raise SettingError('preset', f'{codec} has no presets, expected one of {listing(_PRESET)}')
    if codec in _PRESET:
        arguments['preset'] = options.preset or _PRESET[codec]
    return arguments


def _formats(codec: str) -> list[str]:
    """Return the usable pixel formats of an encoder; full range is a tag, not a format (``yuvj``)."""
    import av

    return [
        f.name
        for f in av.codec.Codec(codec, 'w').video_formats or ()
        if f.components and not f.name.endswith('be') and depth(f.name) >= 8
    ]


def _pix_fmt(codec: str, given: str) -> str:
    """Return the format nearest to the given chroma and depth; RGB becomes 4:2:0, which every player supports."""
    chroma = '420' if is_rgb(given) else subsampling(given)
    bits, formats = depth(given), _formats(codec)
    kinds = {'420': ('420', '422', '444'), '422': ('422', '444', '420'), '444': ('444', '422', '420')}[chroma]
    deep = [b for b in (10, 12, 16) if b >= bits] + [b for b in (16, 12, 10) if b < bits]
    endings = ['', *(f'{b}le' for b in (10, 12, 16))] if bits <= 8 else [*(f'{b}le' for b in deep), '']
    return next(
        (name for kind in kinds for ending in endings if (name := f'yuv{kind}p{ending}') in formats), formats[0]
    )


def add_video_stream(container: Any, encoding: Encoding, clip: Clip) -> Any:
    """Add the video stream to an output container; its encoder is not opened yet.

    Raises:
        ValueError: the container does not take the codec.
    """
    os.environ.setdefault('SVT_LOG', '1')  # errors only; SVT-AV1 prints all of its settings for every segment
    stream = container.add_stream(encoding.codec, rate=clip.rate, options=dict(encoding.options))
    if encoding.codec == 'libx265' and container.format.name in ('mp4', 'mov'):
        stream.codec_context.codec_tag = 'hvc1'  # the only one of its two tags that QuickTime plays
    context = stream.codec_context
    _configure(context, encoding, clip)
    stream.time_base = clip.time_base
    return stream


def _configure(context: Any, encoding: Encoding, clip: Clip) -> None:
    context.width, context.height, context.pix_fmt = encoding.width, encoding.height, encoding.pix_fmt
    context.time_base, context.framerate = clip.time_base, clip.rate
    context.colorspace, context.color_primaries = encoding.tags.matrix, encoding.tags.primaries
    context.color_trc, context.color_range = encoding.tags.transfer, encoding.tags.extent
    context.thread_count = _THREADS
    if clip.pixel_aspect:
        context.sample_aspect_ratio = clip.pixel_aspect


def tag_frame(frame: Any, tags: Tags) -> None:
    """Tag a frame to encode; ProRes writes the tags of its frames, not those of its encoder."""
    for name, value in (('colorspace', tags.matrix), ('color_primaries', tags.primaries), ('color_trc', tags.transfer)):
        with contextlib.suppress(AttributeError):  # before version 17 PyAV sets the first only
            setattr(frame, name, value)
    frame.color_range = tags.extent


def encode(frames: Iterable[Any], container: Any, stream: Any) -> Iterator[Encoded]:
    """Yield the packets of some frames, beginning with a key frame; the encoder cannot be used again.

    Args:
        frames: frames with time stamps, in order.
        container: container that nothing has been written to.
        stream: its stream, from :func:`add_video_stream`.
    """
    durations: dict[int, int] = {}

    def noted() -> Iterator[Any]:
        for frame in frames:
            durations[frame.pts] = frame.duration or 0
            yield frame

    container.start_encoding()
    for packet in encode_frames(noted(), stream):
        yield Encoded(packet.pts, durations.pop(packet.pts, 0), packet.is_keyframe, bytes(packet))


def encode_frames(frames: Iterable[Any], stream: Any) -> Iterator[Any]:
    """Yield the packets of some frames; the encoder cannot be used again."""
    for frame in frames:
        yield from (packet for packet in stream.encode(frame) if packet.size)
    yield from (packet for packet in stream.encode(None) if packet.size)
