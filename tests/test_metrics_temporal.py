"""tOF and warping error on motion that is known, and the metrics of a package that need not be there."""

import sys
import types

import numpy as np
import pytest
import torch
from helpers.prepared_clips import texture, write_gt

from iart.errors import DataError, UserError, WeightsError
from iart.metrics import pyiqa_metric
from iart.metrics.temporal import spynet_flow, temporal_scores, visible_in_both
from iart.registry import METRIC_REGISTRY, find, spynet_class


def moving(count=4, step=2, noise=0.0):
    """A texture that moves to the left by ``step`` pixels a frame."""
    wide = texture(0, 0, (80, 140)).astype(float)
    rng = np.random.default_rng(0)
    frames = [wide[:, step * n : step * n + 100] + noise * rng.standard_normal((80, 100, 3)) for n in range(count)]
    return [np.clip(f, 0, 255).astype(np.uint8) for f in frames]


def constant_flow(step):
    """Pretends that everything moves alike; the flow between two equal images is 0."""

    def flow(a, b):
        result = torch.zeros(1, 2, *a.shape[-2:])
        sign = -1 if _is_later(a, b) else 1
        result[:, 0] = step * sign
        return result

    order = [tuple(f[0, :5, 0].tolist()) for f in moving()]

    def _is_later(a, b):
        places = [order.index(tuple((x[0, 0, 0, :5] * 255).round().int().tolist())) for x in (a, b)]
        return places[1] > places[0]

    return flow


def test_perfect_restoration():
    scores = temporal_scores(moving(), moving(), constant_flow(2))
    assert (scores.tof, scores.pairs) == (0, 3)
    assert scores.warping_error == scores.gt_warping_error < 1e-9


def test_flicker_shows():
    gt, flickering = (
        moving(),
        [np.clip(f.astype(int) + 20 * (n % 2), 0, 255).astype(np.uint8) for n, f in enumerate(moving())],
    )
    real = constant_flow(2)
    scores = temporal_scores(
        flickering, gt, lambda a, b: real(a, b) if _known(a) and _known(b) else torch.zeros(1, 2, *a.shape[-2:])
    )
    assert scores.tof == pytest.approx(2)
    assert scores.warping_error > 1e-3 > scores.gt_warping_error


def _known(image):
    return tuple((image[0, 0, 0, :5] * 255).round().int().tolist()) in [tuple(f[0, :5, 0].tolist()) for f in moving()]


def test_what_leaves_the_image_does_not_count():
    forward, backward = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8)
    forward[:, 0], backward[:, 0] = 3, -3
    visible = visible_in_both(forward, backward)
    assert visible[0, 0].tolist() == [[1.0] * 5 + [0.0] * 3] * 8
    backward[:, 0, :, :4] = 5  # covered on the way
    assert visible_in_both(forward, backward)[0, 0, 0].tolist() == [0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]


def test_clips_that_do_not_fit():
    flow = constant_flow(2)
    for restored, words in (
        (moving(3), 'no frame'),
        (moving(1)[:0], 'no frame'),
        ([f[:70] for f in moving()], '100x70 and 100x80'),
    ):
        with pytest.raises(DataError, match=words):
            temporal_scores(restored, moving(), flow)
    with pytest.raises(DataError, match='fewer than two'):
        temporal_scores(moving(1), moving(1), flow)
    with pytest.raises(DataError, match='64 pixels'):
        temporal_scores([f[:40] for f in moving()], [f[:40] for f in moving()], flow)


def test_real_flow(shared, tmp_path, capsys, monkeypatch):
    """SPyNet sees the motion of a clip; and the script prints the figures."""
    import score_temporal

    weights = shared / 'weights' / 'spynet_basicvsr_reds4.safetensors'
    assert temporal_scores(moving(2), moving(2), spynet_flow(weights)).tof == 0
    still = [moving(2)[0]] * 2
    assert temporal_scores(still, moving(2), spynet_flow(weights)).tof == pytest.approx(2, abs=0.3)
    gt, restored = write_gt(tmp_path / 'gt', {'a': 2, 'b': 2}), write_gt(tmp_path / 'restored', {'a': 2, 'b': 2})
    (restored / 'b' / '00000001.png').write_bytes((restored / 'b' / '00000000.png').read_bytes())
    options = ['--spynet', str(weights), '--csv', str(tmp_path / 'x.csv')]
    monkeypatch.setattr(sys, 'argv', ['score_temporal.py', str(restored), str(gt), *options])
    score_temporal.main()
    assert 'mean of clips' in capsys.readouterr().out
    lines = (tmp_path / 'x.csv').read_text().splitlines()
    assert lines[1].startswith('a,0.0,')
    assert float(lines[2].split(',')[1]) > 1


def test_missing_weights(tmp_path):
    with pytest.raises(WeightsError, match='nowhere'):
        spynet_flow(tmp_path / 'nowhere.safetensors')


def test_flow_of_the_network_that_restored(tmp_path):
    """SPyNet is found inside the weights of a larger network."""
    alone = spynet_class()()
    torch.save(
        {'params': {'conv.weight': torch.ones(1), **{f'spynet.{n}': t for n, t in alone.state_dict().items()}}},
        tmp_path / 'w.pth',
    )
    frames = torch.rand(2, 1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(spynet_flow(tmp_path / 'w.pth')(*frames), alone(*frames))


@pytest.fixture
def fresh():
    pyiqa_metric._network.cache_clear()
    yield
    pyiqa_metric._network.cache_clear()


@pytest.mark.parametrize('name', ['calculate_lpips', 'calculate_dists', 'calculate_pyiqa'])
@pytest.mark.usefixtures('fresh')
def test_pyiqa_absent(monkeypatch, name):
    monkeypatch.setitem(sys.modules, 'pyiqa', None)
    with pytest.raises(UserError, match='pip install pyiqa'):
        find(METRIC_REGISTRY, name)(texture(0, 0), texture(0, 1))


@pytest.mark.usefixtures('fresh')
def test_pyiqa_present(monkeypatch):
    """A stand-in with the interface of the package: it sees RGB in [0, 1], cropped, and a second image only where it
    compares.
    """
    seen = []

    class Network:
        def __init__(self, mode):
            self.metric_mode = mode

        def __call__(self, *images):
            seen.append(images)
            return torch.tensor(0.25)

    package = types.ModuleType('pyiqa')
    package.list_models = lambda: ['lpips', 'dists', 'niqe']
    package.create_metric = lambda name, device: Network('NR' if name == 'niqe' else 'FR')
    monkeypatch.setitem(sys.modules, 'pyiqa', package)
    bgr = texture(0, 0)
    assert find(METRIC_REGISTRY, 'calculate_lpips')(bgr, bgr, crop_border=4) == 0.25
    assert pyiqa_metric.calculate_pyiqa(bgr, bgr, metric='niqe') == 0.25
    assert [len(images) for images in seen] == [2, 1]
    assert seen[0][0].shape == (1, 3, 88, 120)
    assert float(seen[1][0][0, 0, 5, 7]) == pytest.approx(bgr[5, 7, 2] / 255)
    with pytest.raises(UserError, match='did you mean'):
        pyiqa_metric.calculate_pyiqa(bgr, bgr, metric='lpip')
