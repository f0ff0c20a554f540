"""``iart upscale`` on videos: what is kept, what can be chosen, and what an interruption leaves."""

import hashlib
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from helpers.upscale_clips import IRREGULAR, WRITES_SUBTITLES, Enlarge, look, texture, tiny_weights, write

from iart.cli import main
from iart.errors import DataError, UserError
from iart.inference.options import PlanOptions
from iart.upscaling.job import run
from iart.upscaling.networks import Loaded
from iart.upscaling.sources import find_jobs
from iart.upscaling.upscale_options import UpscaleOptions
from iart.video.encoding_options import EncodingOptions

CPU = torch.device('cpu')
SMALL = PlanOptions(chunk_overlap=2)


def upscale(source, output, network=None, **settings):
    settings = {'segment': 5, 'plan': SMALL, **settings}
    run(find_jobs([str(source)], output), Loaded(network or Enlarge(), 'Enlarge', ''), CPU, UpscaleOptions(**settings))
    return output


@pytest.fixture(scope='module')
def rich(tmp_path_factory):
    """A video with everything that must be kept."""
    path = tmp_path_factory.mktemp('rich') / 'in.mp4'
    frames = [texture(n) for n in range(len(IRREGULAR))]
    extras = {'aspect': Fraction(4, 3), 'rotated': True, 'audio': True, 'subtitles': True, 'chapters': True}
    return write(path, frames, times=IRREGULAR, time_base=Fraction(1, 90), tags=(5, 5, 6, 1), **extras)


@pytest.mark.parametrize('ending', ['.mp4', '.mov', '.mkv'])
def test_what_is_kept(rich, tmp_path, ending):
    before = look(rich)
    if ending == '.mkv':  # which knows milliseconds, and other subtitles than .mp4
        frames = [texture(n) for n in range(16)]
        source = write(
            tmp_path / 'in.mkv',
            frames,
            times=IRREGULAR,
            time_base=Fraction(1, 100),
            audio=True,
            subtitles=True,
            chapters=True,
        )
        before = look(source)
    else:
        source = rich
    after = look(upscale(source, tmp_path / f'out{ending}'))
    assert after.size == (4 * before.size[0], 4 * before.size[1])
    assert [s.replace(':und', ':') for s in after.streams] == [s.replace(':und', ':') for s in before.streams]
    for what in ('times', 'tags', 'pix_fmt', 'aspect', 'rotation', 'packets', 'chapters'):
        assert getattr(after, what) == getattr(before, what), what
    assert after.metadata['title'] == 'a title'
    assert before.times[1] - before.times[0] != before.times[2] - before.times[1]
    assert sorted(before.packets) == (['audio', 'subtitle'] if WRITES_SUBTITLES else ['audio'])


@pytest.mark.parametrize(
    ('pix_fmt', 'codec'),
    [
        ('yuv420p', 'libx264'),
        ('yuv420p10le', 'libx264'),
        ('yuv444p', 'libx264'),
        ('yuv422p10le', 'ffv1'),
        ('bgr0', 'ffv1'),
        ('gray', 'ffv1'),
    ],
)
def test_lossless_gives_what_the_network_gave(tmp_path, pix_fmt, codec):
    tags = (0, 1, 1, 2) if pix_fmt == 'bgr0' else (9, 9, 16, 1)
    source = write(tmp_path / 'in.mkv', [texture(n) for n in range(4)], codec='ffv1', pix_fmt=pix_fmt, tags=tags)
    wishes = EncodingOptions(codec=codec, lossless=True, pix_fmt='bgr0' if pix_fmt == 'bgr0' else None)
    after, before = look(upscale(source, tmp_path / 'out.mkv', encode=wishes)), look(source)
    assert after.tags[:3] == before.tags[:3]
    assert after.pix_fmt == ('yuv420p' if pix_fmt == 'gray' else pix_fmt)
    for new, old in zip(after.planes, before.planes, strict=True):
        if pix_fmt == 'gray':
            old = (old[0].clip(16, 235),)  # what limited range can hold
        if pix_fmt == 'bgr0':
            assert np.array_equal(new[0], old[0].repeat(4, 0).repeat(4, 1))
            continue
        enlarged = old[0].repeat(4, 0).repeat(4, 1).astype(int)
        assert np.abs(new[0].astype(int) - enlarged).max() <= 1
        assert (new[0] == enlarged).mean() > 0.97  # colors out of gamut are clamped


def test_ten_bits_in_ten_bits_out_and_hdr_is_said(tmp_path, capsys):
    source = write(tmp_path / 'in.mp4', [texture(n) for n in range(3)], pix_fmt='yuv420p10le', tags=(9, 9, 16, 1))
    main(['upscale', str(source), str(tmp_path / 'out.mp4'), '--weights', str(tiny_weights(tmp_path))])
    after = look(tmp_path / 'out.mp4')
    assert (after.pix_fmt, after.tags) == ('yuv420p10le', (9, 9, 16, 1))
    assert len(np.unique(after.planes[0][0] % 4)) == 4, 'the lower two bits are in use'
    assert 'HDR (PQ)' in capsys.readouterr().out


def test_untagged_input_is_tagged_as_it_was_read(tmp_path):
    source = write(tmp_path / 'in.mp4', [texture(n) for n in range(2)], tags=(2, 2, 2, 0))
    assert look(upscale(source, tmp_path / 'out.mp4')).tags == (6, 2, 2, 1)


@pytest.mark.parametrize('size', [(2, 2), (16, 18), (18, 34)])
@pytest.mark.parametrize('codec', [None, 'ffv1'])
def test_sizes(tmp_path, size, codec):
    source = write(tmp_path / 'in.mkv', [texture(n, *size) for n in range(3)], codec='ffv1')
    after = look(upscale(source, tmp_path / 'out.mkv', encode=EncodingOptions(codec=codec)))
    assert after.size == (4 * size[0], 4 * size[1])


@pytest.mark.parametrize('size', [(1, 1), (17, 33)])
def test_odd_sizes(tmp_path, size):
    source = write(tmp_path / 'in.mkv', [texture(n, *size) for n in range(3)], codec='ffv1', pix_fmt='yuv444p')
    assert look(upscale(source, tmp_path / 'out.mp4')).size == (4 * size[0], 4 * size[1])
    assert look(upscale(source, tmp_path / 'out420.mp4', encode=EncodingOptions(pix_fmt='yuv420p'))).size == (
        4 * size[0],
        4 * size[1],
    )


def test_parts(rich, tmp_path):
    times = look(rich).times
    assert look(upscale(rich, tmp_path / 'preview.mp4', preview=7)).times == times[:7]
    part = look(upscale(rich, tmp_path / 'part.mp4', start=Fraction(9, 90), end=Fraction(1)))
    expected = [t for t in times if Fraction(9, 90) <= t < 1]
    assert part.times == [t - expected[0] for t in expected]
    span = expected[0], Fraction(1)
    sound = [packet for packet in look(rich).packets['audio'] if span[0] <= packet[0] < span[1]]
    assert [content for _, content in part.packets['audio']] == [content for _, content in sound]
    (chapter,) = look(rich).chapters
    assert part.chapters == [(0, chapter[1] - expected[0], 'the middle')]
    with pytest.raises(DataError, match='no frames between --start and --end'):
        upscale(rich, tmp_path / 'none.mp4', start=Fraction(50))


def test_compare_puts_bicubic_beside(rich, tmp_path):
    after = look(upscale(rich, tmp_path / 'out.mp4', compare=True, preview=2))
    assert after.size == (72, 176)
    left, right = np.split(after.planes[0][0].astype(int), 2, axis=1)
    assert 0 < np.abs(left - right).mean() < 10


class Stops(Enlarge):
    """A run that ends in the middle of a segment."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def forward(self, lq):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().forward(lq)


def content(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize('ending', ['.mp4', '.mkv'])
def test_interrupted_and_continued_gives_the_same_bytes(tmp_path, capsys, ending):
    frames = [texture(n, seed=n // 11) for n in range(22)]
    source = write(tmp_path / f'in{ending}', frames, audio=True)
    whole = upscale(source, tmp_path / f'whole{ending}')
    output = tmp_path / f'out{ending}'
    measuring = 2  # calls of the network that measure its memory
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            upscale(source, output, Stops(measuring + 1))
        assert not output.exists()
    stored = sorted(p.name for p in (tmp_path / f'.out{ending}.partial').glob('*.packets'))
    assert stored == [f'0000000{n}.packets' for n in range(3)]
    upscale(source, output)
    assert content(output) == content(whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([source.name, output.name, whole.name])


def test_another_job_is_not_mixed_in(rich, tmp_path):
    output = tmp_path / 'out.mp4'
    with pytest.raises(KeyboardInterrupt):
        upscale(rich, output, Stops(3))
    with pytest.raises(DataError, match=r'(?s)encoding: was .*--restart') as caught:
        upscale(rich, output, encode=EncodingOptions(crf=30))
    assert 'versions' not in str(caught.value)
    upscale(rich, output, encode=EncodingOptions(crf=30), restart=True)
    assert output.exists()


def test_two_runs_do_not_write_one_output(rich, tmp_path):
    from iart.partial import PartialFolder

    with PartialFolder(tmp_path / 'out.mp4'), pytest.raises(DataError, match='another run is writing it'):
        upscale(rich, tmp_path / 'out.mp4')


def test_an_output_is_not_replaced_unasked(rich, tmp_path):
    output = tmp_path / 'out.mp4'
    output.write_bytes(b'precious')
    with pytest.raises(DataError, match=r'out\.mp4: exists already.*--overwrite'):
        upscale(rich, output)
    assert output.read_bytes() == b'precious'
    upscale(rich, output, overwrite=True)
    assert look(output).size == (72, 88)


def test_nothing_leaks_over_a_cut(tmp_path):
    """The mean of the network's input identifies its frames."""

    class Mean(Enlarge):
        def forward(self, lq):
            return super().forward(lq.mean(1, keepdim=True).expand_as(lq))

    frames = [texture(0, seed=n // 8) for n in range(16)]
    source = write(tmp_path / 'in.mkv', frames, codec='ffv1', pix_fmt='bgr0', tags=(0, 1, 1, 2))
    wishes = EncodingOptions(codec='ffv1', pix_fmt='bgr0')
    apart = look(upscale(source, tmp_path / 'on.mkv', Mean(), segment=50, encode=wishes))
    mixed = look(upscale(source, tmp_path / 'off.mkv', Mean(), segment=50, encode=wishes, scene_cuts=False))
    assert np.array_equal(apart.planes[0][0], frames[0].repeat(4, 0).repeat(4, 1))
    assert not np.array_equal(mixed.planes[0][0], apart.planes[0][0])


@pytest.mark.parametrize('codec', ['hevc', 'vp9', 'av1', 'prores'])
def test_other_codecs(rich, tmp_path, codec):
    from iart.video.encode import CODECS

    if CODECS[codec] not in av.codecs_available:
        pytest.skip(f'this FFmpeg has no {codec}')
    after = look(upscale(rich, tmp_path / 'out.mkv', preview=7, encode=EncodingOptions(codec=codec)))
    before = look(rich).times[:7]
    # sound begins before 0, which Matroska cannot store: everything is shown that much later
    assert [round((t - after.times[0]) * 1000) for t in after.times] == pytest.approx([t * 1000 for t in before], abs=1)
    assert after.tags[0] == (6 if codec == 'prores' else 5)  # ProRes knows BT.601 by the other of its two numbers


def test_scale_is_checked_against_the_network(rich, tmp_path):
    jobs = find_jobs([str(rich)], tmp_path / 'out.mp4')
    with pytest.raises(UserError, match='scale: got 2, but this network enlarges by 4'):
        run(jobs, Loaded(Enlarge(), '', ''), CPU, UpscaleOptions(), scale=2)


def test_interlaced_is_refused_with_advice(tmp_path):
    source = write(tmp_path / 'in.mkv', [texture(n, 32, 32) for n in range(6)], interlaced=True)
    with pytest.raises(DataError, match=r'in\.mkv: is interlaced.*bwdif'):
        upscale(source, tmp_path / 'out.mp4')
    assert len(look(upscale(source, tmp_path / 'out.mp4', progressive=True)).times) == 6
