"""Several processes upscale together: the bytes of one process, whatever happens to one of them."""

import pytest
from helpers.upscale_clips import texture, write
from kill_upscale import checksum, kill_once, make_input, segments, start, upscale_together, wait


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A video and what one process makes of it."""
    folder = tmp_path_factory.mktemp('whole')
    source = make_input(folder)
    assert wait(start([source], folder / 'whole.mp4'), 60) == 0
    return source, folder / 'whole.mp4'


def test_two_processes_write_the_bytes_of_one(whole, tmp_path):
    source, expected = whole
    assert upscale_together([source], tmp_path / 'out.mp4', 2) == [0, 0]
    assert checksum(tmp_path / 'out.mp4') == checksum(expected)
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.endswith('.txt')) == ['out.mp4']
    assert 'written' not in (tmp_path / 'out.mp4.1.txt').read_text()


@pytest.mark.parametrize('victim', [0, 1])
def test_segments_of_a_lost_process_are_done_by_the_next_run(whole, tmp_path, victim):
    source, expected = whole
    output = tmp_path / 'out.mp4'
    assert kill_once([source], output, 2, victim, 1.2, 0.3)
    assert not output.exists()
    before = segments(output)
    assert upscale_together([source], output, 2) == [0, 0]
    assert checksum(output) == checksum(expected)
    assert (before > 0) == ('continuing' in (tmp_path / 'out.mp4.0.txt').read_text())


def test_videos_are_shared_out(tmp_path):
    sources = [write(tmp_path / f'{name}.mp4', [texture(n, seed=k) for n in range(3)]) for k, name in enumerate('abc')]
    for name, ranks in (('one', 1), ('two', 2)):
        (tmp_path / name).mkdir()
        assert upscale_together(sources, tmp_path / name, ranks) == [0] * ranks
    for name in 'abc':
        assert checksum(tmp_path / 'two' / f'{name}.mp4') == checksum(tmp_path / 'one' / f'{name}.mp4')


@pytest.mark.parametrize('ranks', [2, 3])
def test_one_bad_video_does_not_stop_the_others(tmp_path, ranks):
    (tmp_path / 'bad.mp4').write_bytes(b'text')
    good = write(tmp_path / 'good.mp4', [texture(n) for n in range(3)])
    (tmp_path / 'out').mkdir()
    assert upscale_together([good, tmp_path / 'bad.mp4'], tmp_path / 'out', ranks) == [2] * ranks
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['good.mp4']
    text = (tmp_path / 'out.0.txt').read_text()
    assert 'bad.mp4: cannot be read as video' in text
    assert '1 of 2 inputs could not be upscaled' in text


def test_a_mistake_ends_all_processes_and_is_told_once(tmp_path):
    (tmp_path / 'in.mp4').write_bytes(b'text')
    assert upscale_together([tmp_path / 'in.mp4'], tmp_path / 'out.mp4', 2) == [2, 2]
    texts = [(tmp_path / f'out.mp4.{rank}.txt').read_text() for rank in range(2)]
    assert 'cannot be read as video' in texts[0]
    assert 'error' not in texts[1]
