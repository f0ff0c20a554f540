"""Window, crop, flips: what they draw, and that both sides of a pair get the same."""

import itertools

import numpy as np
import pytest

from iart.data import transforms
from iart.data.store import Box


def rng(seed=0):
    return np.random.default_rng(seed)


def test_window_inside_the_clip():
    drawn = [transforms.pick_frames(rng(s), 20, s % 20, 5, (1, 2, 3), reverse=True) for s in range(200)]
    assert all(set(d) <= set(range(20)) and len(d) == 5 for d in drawn)
    assert {abs(d[1] - d[0]) for d in drawn} == {1, 2, 3}
    assert {d[1] > d[0] for d in drawn} == {True, False}


def test_window_begins_where_asked_if_it_fits():
    assert transforms.pick_frames(rng(), 10, 4, 6, (1,)) == [4, 5, 6, 7, 8, 9]
    moved = [transforms.pick_frames(rng(s), 10, 5, 6, (1,)) for s in range(50)]
    assert {m[0] for m in moved} == {0, 1, 2, 3, 4}


def test_only_intervals_that_fit_are_drawn():
    assert {tuple(transforms.pick_frames(rng(s), 5, 0, 3, (2, 9))) for s in range(20)} == {(0, 2, 4)}


def test_crop_is_a_copy_of_the_place_asked_for():
    frame = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    square = Box(1, 3, 4, 4).cut(frame)
    assert np.array_equal(square, frame[1:5, 3:7])
    assert not np.shares_memory(square, frame)


def test_crop_can_reach_every_corner():
    corners = {transforms.pick_corner(rng(s), 5, 4, 4) for s in range(60)}
    assert corners == {(0, 0), (1, 0)}


def test_flips_give_all_eight_positions_and_treat_the_pair_alike():
    lq = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    gt = lq.repeat(2, 1).repeat(2, 2)
    seen = set()
    for seed in range(100):
        turn = transforms.draw_turn(rng(seed), hflip=True, rotate=True)
        low, high = transforms.turn_frames(lq, turn), transforms.turn_frames(gt, turn)
        assert np.array_equal(low.repeat(2, 1).repeat(2, 2), high)
        seen.add(low.tobytes())
    assert len(seen) == 8


@pytest.mark.parametrize(('hflip', 'rotate', 'positions'), [(False, False, 1), (True, False, 2), (False, True, 4)])
def test_flips_can_be_switched_off(hflip, rotate, positions):
    clip = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    seen = {
        transforms.turn_frames(clip, transforms.draw_turn(rng(s), hflip=hflip, rotate=rotate)).tobytes()
        for s in range(60)
    }
    assert len(seen) == positions


@pytest.mark.parametrize(
    'turn', [transforms.Turn(*flags) for flags in itertools.product((False, True), repeat=3)], ids=str
)
def test_a_turned_flow_leads_where_the_turned_frames_moved(turn):
    """Sampling a turned frame with the turned flow equals turning what the flow samples."""
    random = rng(1)
    frame, flow = (
        random.integers(0, 256, (1, 5, 7, 3), dtype=np.uint8),
        random.integers(-2, 3, (1, 2, 5, 7)).astype(np.float32),
    )
    turned_frame, turned_flow = transforms.turn_frames(frame, turn), transforms.turn_flows(flow, turn)
    assert np.array_equal(sampled(turned_frame, turned_flow), transforms.turn_frames(sampled(frame, flow), turn))


def sampled(frames, flows):
    """Frames (t, h, w, 3) at the places that whole-pixel flows (t, 2, h, w) point to; black outside."""
    _, h, w, _ = frames.shape
    row, column = np.mgrid[:h, :w] + flows[0, ::-1].astype(int)
    inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
    return (frames[0, row.clip(0, h - 1), column.clip(0, w - 1)] * inside[..., None])[None]


def test_flows_of_a_mirrored_clip_lead_back():
    flows = np.arange(4, dtype=np.float32).reshape(2, 2, 1, 1, 1) + 1  # to the next frame 1, 2; back 3, 4
    assert transforms.mirror_flows(flows)[:, :, 0, 0, 0].tolist() == [[1, 2, 0, 4, 3], [3, 4, 0, 2, 1]]


def test_mirror_appends_the_clip_backwards():
    clip = np.arange(7, dtype=np.uint8).reshape(7, 1, 1, 1)
    assert transforms.mirror(clip).ravel().tolist() == [0, 1, 2, 3, 4, 5, 6, 6, 5, 4, 3, 2, 1, 0]
