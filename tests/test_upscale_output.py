"""``iart upscale``, the writing half: what is read back from the output, kind by kind."""

from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import torch
from helpers.upscale_clips import Enlarge, look, texture, write

from iart.errors import DataError
from iart.inference.options import PlanOptions
from iart.upscaling import outputs
from iart.upscaling.job import run
from iart.upscaling.networks import Loaded
from iart.upscaling.sources import find_jobs
from iart.upscaling.upscale_options import UpscaleOptions
from iart.video import pyav
from iart.video.copied_packets import Outlet, Taken
from iart.video.encode import CODECS
from iart.video.encoding_options import EncodingOptions
from iart.video.read_back import differences, read_back
from iart.video.side_data import side_data_of
from iart.video.timecode import advanced

CPU = torch.device('cpu')
COUNT = 10
FRAMES = [texture(n) for n in range(COUNT)]


def upscale(source, output, codec=None, **settings):
    if codec and CODECS[codec] not in av.codecs_available:
        pytest.skip(f'this FFmpeg has no {codec}')
    settings = {'segment': 6, 'plan': PlanOptions(chunk_overlap=2), 'encode': EncodingOptions(codec=codec), **settings}
    run(find_jobs([str(source)], output), Loaded(Enlarge(), 'Enlarge', ''), CPU, UpscaleOptions(**settings))
    return output


def sound_file(path, codec='aac', rate=8000, seconds=0.4, format=None):
    """A file with sound only."""
    if codec not in av.codecs_available:
        pytest.skip(f'this FFmpeg has no {codec}')
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=rate, layout='mono')
        stream.bit_rate = 32000
        count = int(rate * seconds)
        wave = (np.sin(np.arange(count) / 5)[None] * 8000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave, format='s16', layout='mono')
        frame.sample_rate, frame.pts = rate, 0
        for part in av.AudioResampler(stream.codec_context.format.name, 'mono', rate).resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def joined(folder, sound, ending='.mkv', times=None):
    """A video with the sound of another file; ``times`` replaces the packets' times, in milliseconds."""
    video = write(folder / 'video.mkv', FRAMES, codec='mpeg4' if ending in ('.avi', '.asf') else 'libx264')
    path = folder / f'in{ending}'
    with av.open(str(video)) as one, av.open(str(sound)) as other, av.open(str(path), 'w') as target:
        copies = {id(s): target.add_stream_from_template(s, opaque=True) for s in (one.streams[0], other.streams[0])}
        for source in (one, other):
            number = 0
            for packet in source.demux():
                if packet.size:
                    if source is other and times is not None:
                        packet.time_base = Fraction(1, 1000)
                        packet.pts = packet.dts = times[min(number, len(times) - 1)]
                    packet.stream, number = copies[id(source.streams[0])], number + 1
                    target.mux(packet)
    return path


def sounds(path):
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None, []
        stream = container.streams.audio[0]
        return stream.codec_context.name, [p.dts * pyav.unit(p) for p in container.demux(stream) if p.size]


@pytest.mark.parametrize('times', [(0, 128, 128, 384), (0, 0, 256, 256), (0,)])
@pytest.mark.parametrize('ending', ['.mp4', '.mov', '.mkv'])
def test_sound_with_equal_or_falling_times(tmp_path, caplog, times, ending):
    source = joined(tmp_path, sound_file(tmp_path / 'sound.mp4'), times=times)
    codec, stamps = sounds(upscale(source, tmp_path / f'out{ending}'))
    assert codec == 'aac'
    assert len(stamps) == len(sounds(source)[1])
    assert stamps == sorted(stamps)
    if ending != '.mkv':
        assert len(set(stamps)) == len(stamps)
        assert 'equal or falling times: they are moved' in caplog.text
    assert max(stamps) - Fraction(max(times), 1000) < Fraction(1, 100)


@pytest.mark.parametrize(
    ('begin', 'end', 'lost'),
    [
        (9.9, 10.0, []),
        (9.9, 10.9, []),  # another duration is stated
        (9.5, 10.0, []),  # raw sound is cut into larger packets
        (8.9, 9.0, ['sound until 9.000 s instead of 10.000 s']),
    ],
)
def test_sound_that_is_missing_at_the_end_is_told_from_other_packets(tmp_path, begin, end, lost):
    written = replace(read_back(write(tmp_path / 'in.mp4', FRAMES[:2])), sound_end=10.0, last_sound=9.9)
    assert differences(written, replace(written, sound_end=end, last_sound=begin)) == lost


class Packet:
    """What an outlet uses of PyAV's packets, with times in milliseconds."""

    duration, time_base = 10, Fraction(1, 1000)

    def __init__(self, pts, dts=None):
        self.pts, self.dts, self.stream = pts, dts, None


@pytest.mark.parametrize(
    ('suffix', 'times', 'expected'),
    [
        ('.mp4', [0, 10, 5, 20], [0, 10, 11, 20]),
        ('.mp4', [0, 10, 10, 10, 11], [0, 10, 11, 12, 13]),
        ('.mkv', [0, 10, 10, 5, 20], [0, 10, 10, 10, 20]),
    ],
)
def test_times_are_nudged_as_little_as_the_container_asks(suffix, times, expected):
    class Stream:
        type, time_base = 'audio', Fraction(1, 1000)

    taken = Taken()
    outlet, packets = Outlet(3, Stream, suffix, taken), [Packet(t) for t in times]
    for packet in packets:
        outlet.take(packet, Fraction(0))
    assert [p.dts for p in packets] == [p.pts for p in packets] == expected
    assert taken.nudged == {3: sum(a != b for a, b in zip(times, expected, strict=True))}


@pytest.mark.parametrize(
    ('codec', 'ending', 'expected'),
    [
        ('pcm_alaw', '.mkv', 'flac'),
        ('pcm_mulaw', '.mp4', 'aac'),
        ('adpcm_ms', '.mkv', 'flac'),
        ('wmav2', '.mkv', 'flac'),
        ('wmav2', '.mp4', 'aac'),
        ('pcm_s16le', '.mp4', 'pcm_s16le'),
        ('pcm_s16le', '.webm', 'opus'),
        ('mp2', '.mkv', 'mp2'),
    ],
)
def test_sound_is_copied_or_encoded_again_never_left_out(tmp_path, caplog, codec, ending, expected):
    sound = sound_file(
        tmp_path / ('sound.asf' if codec == 'wmav2' else 'sound.avi'),
        codec,
        {'mp2': 16000, 'wmav2': 22050}.get(codec, 8000),
    )
    source = joined(tmp_path, sound, '.avi' if codec != 'wmav2' else '.asf')
    output = upscale(source, tmp_path / f'out{ending}')
    name, stamps = sounds(output)
    assert name in (expected, f'lib{expected}', f'{expected}float')
    assert ('is encoded as' in caplog.text) == (not codec.startswith(expected[:3]) and codec != expected)
    with av.open(str(output)) as container:
        decoded = sum(f.samples / f.sample_rate for f in container.decode(audio=0))
    assert decoded == pytest.approx(0.4, abs=0.15)
    assert stamps[0] < Fraction(1, 10)


@pytest.mark.parametrize('codec', ['h264', 'hevc', 'vp9', 'av1', 'ffv1'])
@pytest.mark.parametrize('ending', ['.mkv', '.webm', '.mp4'])
@pytest.mark.parametrize('aspect', [Fraction(4, 3), Fraction(8, 9)])
def test_sample_aspect_ratio(tmp_path, codec, ending, aspect):
    if (ending == '.webm' and codec not in ('vp9', 'av1')) or (ending == '.mp4' and codec == 'ffv1'):
        pytest.skip('the container does not take the codec')
    if codec in ('hevc', 'av1') and aspect != Fraction(4, 3):
        pytest.skip('slow')
    source = write(tmp_path / 'in.mp4', FRAMES[:2], aspect=aspect)
    output = upscale(source, tmp_path / f'out{ending}', codec)
    assert look(output).aspect == aspect
    assert len(look(output).times) == 2


@pytest.mark.parametrize('codec', ['prores', 'ffv1', 'h264', 'vp9'])
def test_full_range(tmp_path, codec):
    """Levels mean the same colors before and after, by the tags that the output carries."""
    source = write(tmp_path / 'in.mkv', FRAMES[:2], tags=(1, 1, 1, 2))
    output = upscale(source, tmp_path / ('out.mov' if codec == 'prores' else 'out.mkv'), codec)
    after, before = look(output), look(source)
    assert after.tags == (1, 1, 1, 1 if codec == 'prores' else 2)
    bits = 10 if codec == 'prores' else 8
    luma = after.planes[0][0].astype(float) / (1 << (bits - 8))
    if codec == 'prores':
        luma = (luma - 16) / 219 * 255
    assert np.abs(luma - before.planes[0][0].repeat(4, 0).repeat(4, 1)).mean() < 1.5


def test_an_unknown_codec_is_refused(tmp_path):
    source = write(tmp_path / 'in.mp4', FRAMES[:2])
    source.write_bytes(source.read_bytes().replace(b'avc1', b'zzzz').replace(b'avcC', b'zzzC'))
    with pytest.raises(DataError, match=r'in\.mp4: got video of a codec that this FFmpeg does not know'):
        upscale(source, tmp_path / 'out.mp4')
    assert [p.name for p in tmp_path.iterdir()] == ['in.mp4']


def test_hevc_in_mp4_is_tagged_for_quicktime(tmp_path):
    source = write(tmp_path / 'in.mp4', FRAMES[:2])
    for ending in ('.mp4', '.mov', '.m4v'):
        with av.open(str(upscale(source, tmp_path / f'out{ending}', 'hevc'))) as container:
            assert container.streams.video[0].codec_context.codec_tag == 'hvc1'


def test_encoders_are_quiet(tmp_path, capfd):
    source = write(tmp_path / 'in.mp4', FRAMES[:2])
    for codec in ('av1', 'hevc', 'h264'):
        upscale(source, tmp_path / f'{codec}.mp4', codec)
    printed = capfd.readouterr()
    assert 'Svt[info]' not in printed.err + printed.out
    assert 'x265 [' not in printed.err + printed.out


def cover_file(path):
    """A video with a cover as its second stream."""
    picture = cv2.imencode('.jpg', np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    video = write(path.parent / 'video.mp4', FRAMES)
    with av.open(str(video)) as source, av.open(str(path), 'w') as target:
        stream = target.add_stream_from_template(source.streams[0], opaque=True)
        if path.suffix == '.mkv':
            target.add_attachment('cover.jpg', 'image/jpeg', picture)
        else:
            cover = target.add_mux_stream('mjpeg', width=16, height=16)
            cover.disposition = av.stream.Disposition.attached_pic.value
        for packet in source.demux(source.streams[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
        if path.suffix != '.mkv':
            packet = av.Packet(picture)
            packet.pts = packet.dts = 0
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), cover, True
            target.mux(packet)
    return path, picture


@pytest.mark.skipif(not hasattr(av.container.OutputContainer, 'add_mux_stream'), reason='needs PyAV 17')
@pytest.mark.parametrize('start', [None, Fraction(1, 5)])
@pytest.mark.parametrize('ending', ['.mp4', '.mkv', '.mov', '.webm'])
@pytest.mark.parametrize('origin', ['.mp4', '.mkv'])
def test_covers(tmp_path, caplog, origin, ending, start):
    source, picture = cover_file(tmp_path / f'in{origin}')
    output = upscale(source, tmp_path / f'out{ending}', start=start)
    with av.open(str(output)) as container:
        covers = [s for s in container.streams.video if pyav.is_attached_picture(s)]
        contents = [bytes(p) for p in container.demux(covers) if p.size] if covers else []
    if ending in ('.mp4', '.mkv'):
        assert contents == [picture]
    else:
        assert contents == []
        assert f'left out: {ending} holds no covers' in caplog.text


def test_an_attachment_in_webm_is_reported(tmp_path, caplog):
    source = tmp_path / 'in.mkv'
    video = write(tmp_path / 'video.mkv', FRAMES)
    with av.open(str(video)) as one, av.open(str(source), 'w') as target:
        stream = target.add_stream_from_template(one.streams[0], opaque=True)
        target.add_attachment('font.ttf', 'application/x-truetype-font', b'font')
        for packet in one.demux(one.streams[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    upscale(source, tmp_path / 'out.webm')
    assert 'stream 1 (attachment) is left out: .webm holds no attachments' in caplog.text
    with av.open(str(upscale(source, tmp_path / 'out.mkv'))) as container:
        (attachment,) = [s for s in container.streams if s.type == 'attachment']
        assert (attachment.data, attachment.metadata['filename']) == (b'font', 'font.ttf')


HDR10 = 'G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)'


def parameters(path, parameters, pix_fmt='yuv420p10le'):
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25, options={'x264-params': parameters})
        stream.width, stream.height, stream.pix_fmt = 32, 32, pix_fmt
        stream.codec_context.color_trc, stream.codec_context.colorspace = 16, 9
        for number in range(3):
            frame = av.VideoFrame(32, 32, pix_fmt)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def first_side_data(path):
    with av.open(str(path)) as container:
        return side_data_of(next(container.decode(video=0)))


@pytest.mark.parametrize('codec', ['h264', 'hevc', 'av1', 'vp9'])
def test_hdr10_metadata(tmp_path, caplog, codec):
    source = parameters(tmp_path / 'in.mp4', f'mastering-display={HDR10}:cll=1000,400')
    before = first_side_data(source)
    if before.mastering is None:
        pytest.skip('this x264 writes no HDR10 metadata')
    assert before.light == (1000, 400)
    after = first_side_data(upscale(source, tmp_path / 'out.mp4', codec))
    if codec == 'vp9':
        assert 'the mastering display (HDR10 metadata) is not kept by libvpx-vp9 in .mp4' in caplog.text
        return
    assert after.light == (1000, 400)
    assert after.mastering is not None
    for one, other in zip(after.mastering.primaries, before.mastering.primaries, strict=True):
        assert [float(v) for v in one] == pytest.approx([float(v) for v in other], abs=1e-4)
    assert float(after.mastering.luminance[1]) == pytest.approx(1000, abs=0.1)


@pytest.mark.parametrize('codec', ['h264', 'vp9'])
def test_stereo_3d(tmp_path, caplog, codec):
    source = parameters(tmp_path / 'in.mp4', 'frame-packing=3', 'yuv420p')
    after = first_side_data(upscale(source, tmp_path / 'out.mp4', codec))
    assert after.stereo == (1 if codec == 'h264' else None)
    assert ('stereo 3D layout (side by side) is not kept' in caplog.text) == (codec == 'vp9')


@pytest.mark.parametrize('ending', ['.mov', '.mp4', '.mkv', '.webm'])
def test_keys_of_phones(tmp_path, caplog, ending):
    source = tmp_path / 'in.mov'
    video = write(tmp_path / 'video.mp4', FRAMES[:2])
    with av.open(str(video)) as one, av.open(str(source), 'w', options={'movflags': 'use_metadata_tags'}) as target:
        target.metadata['com.apple.quicktime.make'] = 'Apple'
        stream = target.add_stream_from_template(one.streams[0], opaque=True)
        for packet in one.demux(one.streams[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    with av.open(str(upscale(source, tmp_path / f'out{ending}'))) as container:
        metadata = {k.lower(): v for k, v in container.metadata.items()}
    assert metadata['com.apple.quicktime.make'] == 'Apple'


def test_sound_may_end_after_the_picture(tmp_path):
    sound = sound_file(tmp_path / 'sound.mp4', seconds=2.0)
    source = joined(tmp_path, sound, '.mp4')
    assert look(source).times[-1] < Fraction(1, 2)
    for settings in ({}, {'start': Fraction(1, 5)}):
        _, stamps = sounds(upscale(source, tmp_path / f'out{len(settings)}.mp4', **settings))
        assert stamps[-1] > Fraction(3, 2)


def test_what_an_edit_list_cuts_away_stays_away(tmp_path):
    """Negative times in .mp4 become an edit list: their packets are there, and are not played."""
    source = joined(tmp_path, sound_file(tmp_path / 'sound.mp4', seconds=2.0), '.mp4', times=None)
    moved = tmp_path / 'moved.mp4'
    with av.open(str(source)) as one, av.open(str(moved), 'w') as target:
        copies = [target.add_stream_from_template(s, opaque=True) for s in one.streams]
        for packet in one.demux():
            if packet.size:
                if packet.stream.type == 'audio':
                    packet.pts -= 8000
                    packet.dts -= 8000
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
    for ending in ('.mkv', '.mp4'):
        output = upscale(moved, tmp_path / f'out{ending}')
        with av.open(str(output)) as container:
            packets = [p for p in container.demux(audio=0) if p.size]
        assert sum(not p.is_discard for p in packets) == pytest.approx(8, abs=1), 'one second of packets of 128 ms'
        assert sum(p.is_discard for p in packets) <= 1


@pytest.mark.parametrize(
    ('code', 'frames', 'rate', 'expected'),
    [
        ('00:59:59:24', 1, Fraction(25), '01:00:00:00'),
        ('00:00:59;29', 1, Fraction(30000, 1001), '00:01:00;02'),
        ('00:09:59;29', 1, Fraction(30000, 1001), '00:10:00;00'),
        ('01:00:00;00', 17982, Fraction(30000, 1001), '01:10:00;00'),
        ('00:00:59;59', 1, Fraction(60000, 1001), '00:01:00;04'),
        ('23:59:59:23', 1, Fraction(24), '00:00:00:00'),
        ('10:00:00:00', 48, Fraction(24000, 1001), '10:00:02:00'),
        ('noon', 1, Fraction(25), None),
    ],
)
def test_time_codes(code, frames, rate, expected):
    assert advanced(code, frames, rate) == expected


@pytest.mark.parametrize('ending', ['.mov', '.mp4', '.mkv'])
def test_a_time_code_is_moved_with_the_beginning(tmp_path, caplog, ending):
    source = write(tmp_path / 'in.mov', FRAMES, timecode='01:00:00:00')
    for start, expected in ((None, '01:00:00:00'), (Fraction(1, 5), '01:00:00:05')):
        output = upscale(source, tmp_path / f'{bool(start)}{ending}', start=start)
        with av.open(str(output)) as container:
            metadata = {k.lower(): v for k, v in {**container.metadata, **container.streams.video[0].metadata}.items()}
        assert metadata['timecode'] == expected
    assert 'left out' not in caplog.text


def test_what_is_not_as_promised_is_an_error_that_keeps_the_segments(tmp_path, monkeypatch):
    source = write(tmp_path / 'in.mp4', FRAMES, audio=True)
    honest = outputs.mux

    def forgetful(target, segments, recipe):
        order, taken = honest(target, segments[:-1], recipe)
        return type(order)(segments), taken

    monkeypatch.setattr(outputs, 'mux', forgetful)
    with pytest.raises(DataError, match=r'(?s)6 frames instead of 10; its last frame .* segments are kept'):
        upscale(source, tmp_path / 'out.mp4')
    assert not (tmp_path / 'out.mp4').exists()
    assert len(list((tmp_path / '.out.mp4.partial').glob('*.packets'))) == 2
    monkeypatch.setattr(outputs, 'mux', honest)
    assert len(look(upscale(source, tmp_path / 'out.mp4')).times) == COUNT


@pytest.mark.parametrize('name', ['out.mkv', 'frames'])
def test_encoding_one_frame_behind_changes_no_byte(tmp_path, monkeypatch, name):
    source = write(tmp_path / 'in.mkv', FRAMES, codec='libx264')

    def contents(folder):
        out = upscale(source, tmp_path / folder / name)
        return {path.name: path.read_bytes() for path in ([out] if out.is_file() else sorted(out.iterdir()))}

    behind = contents('behind')
    monkeypatch.setattr('iart.upscaling.job.overlapped', lambda items, consume: consume(iter(items)))
    assert contents('in turn') == behind


def test_a_full_disk_is_named_from_the_other_thread(tmp_path, monkeypatch):
    source = write(tmp_path / 'in.mkv', FRAMES, codec='libx264')

    def full(path, rgb):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(outputs, 'write_png', full)
    with pytest.raises(DataError, match=r'frames: cannot be written \(No space left on device\)'):
        upscale(source, tmp_path / 'frames')
