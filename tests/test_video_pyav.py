"""What differs between versions of PyAV. Needs PyAV and NumPy only, so that it runs where torch is not installed."""

import hashlib
import platform
from fractions import Fraction

import av
import numpy as np
import pytest

from iart.video import pyav

QUARTER_TURN = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
TAGS = (9, 9, 16, 1)  # BT.2020, PQ, limited range
CHAPTER = {'id': 1, 'start': 40, 'end': 160, 'time_base': Fraction(1, 1000), 'metadata': {'title': 'the middle'}}


def noise(pix_fmt, *, tag=None, width=70, height=38):
    """A frame of blocks of 4×4 equal values: the same in every version."""
    random = np.random.default_rng(0)
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane in frame.planes:
        blocks = random.integers(20, 235, (plane.height // 4 + 1, width // 4 + 1))
        values = np.zeros((plane.height, plane.line_size), np.uint8)
        enlarged = blocks.repeat(4, 0).repeat(4, 1)[: plane.height, : plane.line_size]
        values[:, : enlarged.shape[1]] = enlarged
        plane.update(values)
    if tag is not None:
        frame.colorspace = tag
    return frame


def write(path, *, rotated=False, interlaced=False, aspect=None):
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        context = stream.codec_context
        context.time_base = stream.time_base = Fraction(1, 25)
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = TAGS
        context.options = {'preset': 'ultrafast', **({'x264-params': 'interlaced=1'} if interlaced else {})}
        if aspect:
            context.sample_aspect_ratio = aspect
        if rotated:
            stream.set_display_matrix(QUARTER_TURN)
        container.set_chapters([CHAPTER])
        for number in range(5):
            frame = noise('yuv420p', width=64, height=48)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def opened(tmp_path):
    """Open a file that is written as asked, and decode its first frame."""
    containers = []

    def open_written(name='in.mp4', **kinds):
        container = av.open(str(write(tmp_path / name, **kinds)))
        containers.append(container)
        stream = container.streams.video[0]
        return container, stream, next(container.decode(stream))

    yield open_written
    for container in containers:
        container.close()


def test_metadata_that_is_not_utf8(tmp_path):
    path = tmp_path / 'in.mkv'
    with av.open(str(path), 'w') as container:
        container.metadata['title'] = 'caf3 au lait'
        stream = container.add_stream('ffv1', rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        container.mux(stream.encode(noise('yuv420p', width=64, height=48)))
        container.mux(stream.encode(None))
    content = path.read_bytes()
    assert b'caf3 au lait' in content
    path.write_bytes(content.replace(b'caf3', b'caf\xe9'))
    with pyav.open_input(str(path)) as container:
        title = dict(container.metadata)['title']
        assert (title[:3], title[-8:]) == ('caf', ' au lait')
        assert next(container.decode(video=0)).width == 64


@pytest.mark.parametrize('interlaced', [False, True])
def test_is_interlaced(opened, interlaced):
    _, stream, frame = opened(interlaced=interlaced)
    assert pyav.is_interlaced(stream, frame) is interlaced


def test_color_tags(opened):
    _, stream, frame = opened()
    assert pyav.color_tags(stream, frame) == TAGS


def test_display_matrix(opened):
    assert pyav.display_matrix(opened('upright.mp4')[2]) is None
    if not pyav.can_write_display_matrix():
        pytest.skip(f'PyAV {av.__version__} writes no display matrix')
    assert pyav.display_matrix(opened('rotated.mp4', rotated=True)[2]) == QUARTER_TURN


def test_numbers_are_fractions(opened):
    container, stream, frame = opened(aspect=Fraction(4, 3))
    packet = next(container.demux(stream))
    numbers = [pyav.fraction(stream.average_rate), pyav.fraction(stream.sample_aspect_ratio), pyav.unit(stream)]
    assert numbers[:2] == [25, Fraction(4, 3)]
    assert numbers[2] * stream.duration == Fraction(1, 5)
    assert [type(n) for n in [*numbers, pyav.unit(packet), pyav.unit(frame)]] == [Fraction] * 5
    assert pyav.fraction(opened('plain.mkv')[1].sample_aspect_ratio) in (None, 1)
    assert pyav.fraction(None) is None


def test_chapters(opened):
    (chapter,) = pyav.chapters(opened('in.mkv')[0])
    unit = chapter['time_base']
    assert isinstance(unit, Fraction)
    assert (chapter['start'] * unit, chapter['end'] * unit) == (Fraction(40, 1000), Fraction(160, 1000))
    assert chapter['metadata']['title'] == 'the middle'


def test_a_disposition_can_be_read_and_written(opened, tmp_path):
    from av.stream import Disposition

    _, stream, _ = opened()
    assert pyav.disposition(stream) == Disposition.default.value
    assert not pyav.is_attached_picture(stream)
    with av.open(str(tmp_path / 'out.mp4'), 'w') as container:
        copy = container.add_stream_from_template(stream, opaque=True)
        copy.disposition = pyav.disposition(stream) | Disposition.attached_pic.value
        assert pyav.is_attached_picture(copy)


@pytest.mark.parametrize(
    ('pix_fmt', 'kind', 'unit'),
    [
        ('nv12', 'yuv420p', 1),
        ('yuyv422', 'yuv422p', 1),
        ('nv12', 'yuv420p16le', 256),
        ('yuv444p', 'yuv444p16le', 256),
    ],
)
def test_repacking_moves_and_shifts_numbers(pix_fmt, kind, unit):
    frame = noise(pix_fmt, tag=9)
    luma = np.frombuffer(frame.planes[0], np.uint8).reshape(38, -1)
    luma = luma[:, : 2 * 70 : 2] if pix_fmt == 'yuyv422' else luma[:, :70]
    plane = pyav.repack(frame, kind).planes[0]
    after = np.frombuffer(plane, np.uint8 if unit == 1 else np.uint16).reshape(38, -1)[:, :70]
    assert np.array_equal(after, luma.astype(int) * unit)


PIXELS = {'yuv411p': '2a9cabde', 'yuv440p': 'dec307be'}
"""MD5 of their chroma on the grid of luma, as computed alike by PyAV 16, 17, 18 and 19 on x86-64."""


@pytest.mark.skipif(
    platform.machine() not in ('x86_64', 'AMD64'), reason='swscale may round differently on other processors'
)
@pytest.mark.parametrize('pix_fmt', PIXELS)
def test_every_version_gives_the_same_pixels(pix_fmt):
    planes = pyav.repack(noise(pix_fmt), 'yuv444p').planes
    rows = [np.frombuffer(p, np.uint8).reshape(p.height, -1)[:, : p.width].tobytes() for p in planes]
    assert hashlib.md5(b''.join(rows)).hexdigest()[:8] == PIXELS[pix_fmt]
