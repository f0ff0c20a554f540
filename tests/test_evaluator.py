"""Scoring a test set: averages, mirroring, which frames count, sharing out over ranks."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from iart import distributed
from iart.archs.stores import DiskStore
from iart.errors import DataError, OptionsError
from iart.image import read_image, to_tensor, to_uint8
from iart.inference.baselines import BicubicRestorer
from iart.inference.options import PlanOptions
from iart.inference.restorer import plan_restorer
from iart.metrics.psnr_ssim_metric import calculate_psnr
from iart.scoring.evaluator import score_set, share_out
from iart.scoring.measures import build_metrics
from iart.scoring.restored_clip import LQFrames
from iart.scoring.settings import Saving, Settings

CPU = torch.device('cpu')
PSNR = {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}

PLAIN = Settings(PSNR)


@dataclass
class FakeClip:
    name: str
    frames: tuple


class FakeSet:
    """Clips of noise; frame names are in natural order, as the data sets give them."""

    def __init__(self, lengths, *, has_gt=True, center=False):
        self.clips = [FakeClip(f'clip{i}', tuple(f'im{j + 1}' for j in range(n))) for i, n in enumerate(lengths)]
        self.has_gt, self.center = has_gt, center
        self.reads = []

    def scored(self, i):
        n = len(self.clips[i].frames)
        return [n // 2] if self.center else list(range(n))

    def read_lq(self, i):
        return np.stack([self.read_lq_frame(i, j) for j in range(len(self.clips[i].frames))])

    def read_lq_frame(self, i, j):
        self.reads.append((i, j))
        return self._frame(i, j, 12, 16)

    def read_gt(self, i, j):
        return self._frame(i, j, 48, 64)

    @staticmethod
    def _frame(i, j, h, w):
        return np.random.default_rng([i, j]).integers(0, 256, (h, w, 3), dtype=np.uint8)


class RecordingMetric:
    """Returns given numbers, one after the other."""

    def __init__(self, figures):
        self.figures = iter(figures)

    def __call__(self, restored, gt):
        return next(self.figures)


def without_plans(restore):
    """Give a function what scoring asks of everything that restores."""
    restore.used = ()
    return restore


@without_plans
def drifting(lq):
    """A restoration in which every frame depends on those before it."""
    state = 0
    for frame in lq.unbind(1) if isinstance(lq, torch.Tensor) else lq:
        state = 0.5 * state + frame.repeat_interleave(4, 2).repeat_interleave(4, 3)
        yield state * 0.6


def test_average_over_frames_then_clips():
    """Clips of unequal length: not the mean over frames."""
    scores = score_set(drifting, FakeSet([1, 3]), {'m': RecordingMetric([10.0, 1.0, 2.0, 6.0])}, PLAIN, device=CPU)
    assert scores.clips[0].values == {'m': (10.0,)}
    assert scores.clips[1].values == {'m': (1.0, 2.0, 6.0)}
    assert scores.clips[1].mean('m') == 3.0
    assert scores.total('m') == 6.5
    assert scores.restored == 4
    assert scores.seconds > 0


def test_each_frame_is_measured_against_its_own_ground_truth():
    data = FakeSet([3])
    scores = score_set(drifting, data, build_metrics(PSNR), PLAIN, device=CPU)
    outputs = list(drifting(to_tensor(data.read_lq(0))[None]))
    expected = [calculate_psnr(to_uint8(outputs[j][0]), data.read_gt(0, j)) for j in range(3)]
    assert scores.clips[0].values['psnr'] == pytest.approx(expected)


@pytest.mark.parametrize('center', [False, True])
def test_flip_seq_is_the_mean_with_the_mirror(tmp_path, center):
    data = FakeSet([5])
    score_set(
        drifting, data, {}, Settings({}, flip_seq=True, center_frame_only=center), device=CPU, saving=Saving(tmp_path)
    )
    lq = to_tensor(data.read_lq(0))[None]
    outputs = torch.stack(list(drifting(torch.cat([lq, lq.flip(1)], 1))), 1)
    expected = 0.5 * (outputs[:, :5] + outputs[:, 5:].flip(1))
    saved = sorted(p.name for p in (tmp_path / 'score' / 'clip0').iterdir())
    assert saved == (['im3.png'] if center else [f'im{j}.png' for j in range(1, 6)])
    for name in saved:
        j = int(name[2]) - 1
        assert (read_image(tmp_path / 'score' / 'clip0' / name) == to_uint8(expected[0, j])).all()


@pytest.mark.parametrize(('data', 'option'), [(FakeSet([7, 4]), True), (FakeSet([7, 4], center=True), False)])
def test_center_frame_only(data, option):
    scores = score_set(drifting, data, build_metrics(PSNR), Settings(PSNR, center_frame_only=option), device=CPU)
    assert [clip.frames for clip in scores.clips] == [('im4',), ('im3',)]
    everything = score_set(drifting, FakeSet([7, 4]), build_metrics(PSNR), PLAIN, device=CPU)
    assert [c.values['psnr'][0] for c in scores.clips] == [
        everything.clips[0].values['psnr'][3],
        everything.clips[1].values['psnr'][2],
    ]


def test_without_ground_truth_frames_are_only_saved(tmp_path):
    data, saving = FakeSet([2, 1], has_gt=False), Saving(tmp_path, suffix='N6')
    scores = score_set(drifting, data, build_metrics(PSNR), PLAIN, device=CPU, saving=saving)
    assert scores.metrics == ()
    assert scores.totals() == {}
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob('*.png')) == [
        'score/clip0/im1_N6.png',
        'score/clip0/im2_N6.png',
        'score/clip1/im1_N6.png',
    ]


@pytest.mark.parametrize('mirrored', [False, True])
def test_memory_plans_change_nothing_but_what_is_said(mirrored, tmp_path):
    network = DriftingNetwork()
    settings, metrics = Settings(PSNR, flip_seq=mirrored, spill_to=tmp_path), build_metrics(PSNR)
    expected = score_set(plan_restorer(network, CPU), FakeSet([5]), metrics, settings, device=CPU)
    plain = score_set(drifting, FakeSet([5]), metrics, settings, device=CPU)
    assert expected.clips[0].values == plain.clips[0].values
    assert expected.clips[0].plans == ('everything on the device',)
    assert expected.approximations == ()
    restore = plan_restorer(network, CPU, options=PlanOptions('chunks', chunk=2, chunk_overlap=0))
    result = score_set(restore, FakeSet([5, 3]), metrics, settings, device=CPU)
    assert result.clips[0].values != expected.clips[0].values
    assert result.approximations == ('chunks of 2 frames, with 0 more on each side',)
    assert result.rank_memory_mb == (result.memory_mb,)
    assert list(tmp_path.iterdir()) == []


class DriftingNetwork(torch.nn.Module):
    def forward(self, lq):
        return torch.stack(list(drifting(lq)), dim=1)


def test_frames_are_read_again_when_there_is_no_room_to_keep_them(monkeypatch):
    monkeypatch.setattr('iart.scoring.restored_clip._MOST_KEPT', 2 * 12 * 16 * 3)
    data = FakeSet([3])
    frames = LQFrames(lambda j: data.read_lq_frame(0, j), 3, mirrored=True)
    assert [torch.equal(frames[j], frames[5 - j]) for j in range(3)] == [True] * 3
    assert data.reads == [(0, 0), (0, 1), (0, 2), (0, 2)]
    assert len(list(frames)) == 6
    with pytest.raises(IndexError):
        frames[6]


def test_a_full_disk_is_a_message(monkeypatch, tmp_path):
    def full(self, index, value):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(DiskStore, '__setitem__', full)
    settings = Settings({}, flip_seq=True, spill_to=tmp_path)
    with pytest.raises(DataError, match='--spill-to'):
        score_set(drifting, FakeSet([2]), {}, settings, device=CPU, saving=Saving(tmp_path))


def test_measuring_one_frame_behind_changes_nothing(monkeypatch, tmp_path):
    def run(name):
        saving = Saving(tmp_path / name)
        scores = score_set(drifting, FakeSet([4, 3]), build_metrics(PSNR), PLAIN, device=CPU, saving=saving)
        files = {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob('*.png')}
        return [clip.values for clip in scores.clips], files

    behind = run('behind')
    monkeypatch.setattr('iart.scoring.evaluator.overlapped', lambda items, consume: consume(iter(items)))
    assert run('in turn') == behind
    assert len(behind[1]) == 7


def test_a_mistake_while_measuring_is_the_same_message():
    class Short(FakeSet):
        def read_gt(self, clip, frame):
            return super().read_gt(clip, frame)[:-4]

    with pytest.raises(DataError, match='expected the same size'):
        score_set(drifting, Short([3]), build_metrics(PSNR), PLAIN, device=CPU)


class GatheringError(Exception):
    pass


def test_any_number_of_ranks_gives_the_same(monkeypatch):
    lengths = [3, 1, 5, 2, 2]
    expected = score_set(drifting, FakeSet(lengths), build_metrics(PSNR), PLAIN, device=CPU)
    parts, sets = [], [FakeSet(lengths), FakeSet(lengths)]

    def catch(item):
        parts.append(item)
        raise GatheringError

    monkeypatch.setattr(distributed, 'world_size', lambda: 2)
    monkeypatch.setattr(distributed, 'gather', catch)
    for rank, data in enumerate(sets):
        monkeypatch.setattr(distributed, 'rank', lambda rank=rank: rank)
        with pytest.raises(GatheringError):
            score_set(drifting, data, build_metrics(PSNR), PLAIN, device=CPU)
    assert sorted(sets[0].reads + sets[1].reads) == [
        (i, j) for i, n in enumerate(lengths) for j in range(n)
    ]  # none twice
    monkeypatch.setattr(distributed, 'gather', lambda item: parts)
    result = score_set(drifting, FakeSet(lengths), build_metrics(PSNR), PLAIN, device=CPU)
    assert [(c.name, c.frames, c.values) for c in result.clips] == [
        (c.name, c.frames, c.values) for c in expected.clips
    ]
    assert result.totals() == expected.totals()


def test_share_out():
    assert share_out([47, 34, 41, 49], 2) == [[1, 3], [0, 2]]
    assert share_out([5], 3) == [[0], [], []]
    assert share_out([1, 1, 1], 1) == [[0, 1, 2]]


def test_identical_frames_are_infinite():
    class Perfect(FakeSet):
        def read_gt(self, i, j):
            return self.read_lq_frame(i, j)

    scores = score_set(without_plans(lambda lq: iter(lq)), Perfect([2, 1]), build_metrics(PSNR), PLAIN, device=CPU)
    assert scores.total('psnr') == float('inf')


def test_metrics_from_the_options():
    sections = {
        'p': {'type': 'calculate_psnr', 'crop_border': 2, 'test_y_channel': True, 'better': 'higher'},
        's': {'type': 'calculate_ssim', 'crop_border': 0},
    }
    metrics = build_metrics(sections)
    a, b = FakeSet._frame(0, 0, 20, 20), FakeSet._frame(0, 1, 20, 20)
    assert metrics['p'](a, b) == pytest.approx(
        calculate_psnr(a[..., ::-1], b[..., ::-1], 2, test_y_channel=True)
    )  # BGR inside
    assert metrics['s'](a, a) == pytest.approx(1)
    with pytest.raises(OptionsError, match=r"val\.metrics\.p\.crop.*did you mean 'crop_border'"):
        build_metrics({'p': {'type': 'calculate_psnr', 'crop_boarder': 0}})


def test_mistakes():
    with pytest.raises(DataError, match='clip clip0, frame im1: the restored frame is 32x24, its ground truth 64x48'):
        score_set(BicubicRestorer(2), FakeSet([1]), build_metrics(PSNR), PLAIN, device=CPU)
    with pytest.raises(RuntimeError, match='gave 1 frames for 2'):
        score_set(without_plans(lambda lq: iter([next(drifting(lq))])), FakeSet([2]), {}, PLAIN, device=CPU)
    with pytest.raises(RuntimeError, match='gave more than 2 frames for 2'):
        score_set(without_plans(lambda lq: iter([*drifting(lq), *drifting(lq)])), FakeSet([2]), {}, PLAIN, device=CPU)
