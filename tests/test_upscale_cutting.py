"""Scene cuts and segments."""

import itertools

import pytest
import torch
from helpers.upscale_clips import texture

from iart.image import to_tensor
from iart.upscaling.scene_cuts import LEAST, NEIGHBORS, RATIO, difference, is_cut, mark_shots, thumbnail
from iart.upscaling.segments import segments


def shots(frames):
    return [n for n, (_, begins) in enumerate(mark_shots(frames, to_tensor)) if begins]


def clip(count, seed=0, first=0):
    return [texture(first + n, seed=seed) for n in range(count)]


def test_cuts_are_found_where_they_are():
    assert shots([*clip(9), *clip(8, seed=1), *clip(7, seed=2)]) == [0, 9, 17]


def test_motion_flashes_and_fades_are_no_cuts():
    assert shots([texture(12 * n) for n in range(20)]) == [0]
    flash = clip(20)
    flash[10] = flash[10] // 4 + 190
    assert shots(flash) == [0]
    fade = [(texture(n) * (1 - n / 25)).astype('uint8') for n in range(25)]
    assert shots(fade) == [0]


def test_the_rule():
    assert is_cut(LEAST, [])
    assert not is_cut(LEAST - 0.1, [])
    assert is_cut(20.0, [20.0 / RATIO])
    assert not is_cut(20.0, [0.0, 20.0 / RATIO + 0.1])
    small = thumbnail(torch.rand(3, 100, 200))
    assert small.shape == (3, 18, 32)
    assert thumbnail(torch.rand(3, 1, 5)).shape == (3, 1, 5)
    assert difference(small, small + 3) == pytest.approx(3)


def test_frames_are_taken_as_they_are_needed():
    taken = []
    source = (taken.append(n) or texture(n) for n in itertools.count())
    marked = mark_shots(source, to_tensor)
    next(marked)
    assert len(taken) == 1 + NEIGHBORS


def cut_up(begins, length, overlap):
    return [([*s.frames], s.own) for s in segments(enumerate_shots(begins), length, overlap)]


def enumerate_shots(begins):
    return ((n, b) for n, b in enumerate(begins))


@pytest.mark.parametrize(
    ('count', 'length', 'overlap'), [(1, 5, 2), (23, 5, 2), (20, 5, 0), (24, 5, 6), (7, 100, 6), (12, 1, 1)]
)
def test_every_frame_is_delivered_once(count, length, overlap):
    begins = [n in (0, 8, 11) for n in range(count)]
    shot = [sum(begins[: n + 1]) for n in range(count)]
    result = list(segments(enumerate_shots(begins), length, overlap))
    assert [s.number for s in result] == list(range(len(result)))
    assert [s.frames[k] for s in result for k in s.own] == list(range(count))
    for s in result:
        assert len({shot[n] for n in s.frames}) == 1, 'nothing is seen across a cut'
        assert len(s.frames) <= length + 2 * overlap
        before, after = s.own.start, len(s.frames) - s.own.stop
        first, last = s.frames[s.own.start], s.frames[s.own.stop - 1]
        inside = shot.index(shot[first])
        assert before == min(overlap, first - inside)
        assert after in (0, min(overlap, count - 1 - last))


def test_segments_do_not_wait_for_the_end():
    endless = segments(((n, n == 0) for n in itertools.count()), 5, 2)
    assert [next(endless).own for _ in range(3)] == [range(0, 5), range(2, 7), range(2, 7)]
