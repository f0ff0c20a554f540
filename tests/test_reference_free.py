"""Scores without ground truth and between neighboring frames: what is measured, counted, compared and written."""

from pathlib import Path
from types import SimpleNamespace

import basicsr.metrics
import cv2
import numpy as np
import pytest
import scipy.io
import torch
from helpers.prepared_clips import write_gt

from iart.data.video_test_dataset import VideoRecurrentTestDataset
from iart.errors import DataError, OptionsError
from iart.image import Frame
from iart.inference.baselines import BicubicRestorer
from iart.metrics.temporal import temporal_scores
from iart.protocols import candidates, get, match
from iart.registry import METRIC_REGISTRY, find
from iart.reporting.results import _frames
from iart.scoring.benchmark import agree, compare
from iart.scoring.evaluator import score_set
from iart.scoring.measures import build_metrics, try_metrics, usable
from iart.scoring.score_tables import frames_csv
from iart.scoring.scores import ClipScores, SetScores
from iart.scoring.set_report import NetworkFacts
from iart.scoring.settings import Settings

CPU = torch.device('cpu')
NIQE = {'niqe': {'type': 'calculate_niqe', 'crop_border': 0, 'better': 'lower'}}
PSNR = {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}
SHARED_GT = Path(__file__).parents[2] / 'shared' / 'data' / 'eval' / 'Vid4' / 'GT'
NIQE_OF_PYIQA = {  # pyiqa 0.1.16 with the parameters of NIQE's authors: on Y, and on gray, its default
    'city/00000000.png': (4.66439, 4.73217),
    'walk/00000000.png': (2.63984, 2.59222),
}
TEMPORAL = {name: {'type': f'calculate_{name}', 'spynet_path': 'x.pth'} for name in ('tof', 'warping_error')}


def shift_flow(a, b):
    """The mean difference as motion: enough to distinguish frames."""
    return (b - a).mean(dim=(1, 2, 3), keepdim=True).expand(a.shape[0], 2, *a.shape[-2:])


def test_footage_without_ground_truth(tmp_path):
    dataset = VideoRecurrentTestDataset(
        dataroot_lq=str(write_gt(tmp_path, {'a': 3}, size=(48, 52))), scored_frames=[0, 2]
    )
    metrics = build_metrics({**PSNR, **NIQE})
    assert [metric.needs_gt for metric in metrics.values()] == [True, False]
    try_metrics(metrics, [dataset], 4)
    scores = score_set(BicubicRestorer(4), dataset, metrics, Settings({**PSNR, **NIQE}), device=CPU)
    assert scores.metrics == ('niqe',)
    assert scores.clips[0].frames == ('00000000', '00000002')
    restored: list[Frame] = []
    niqe = find(METRIC_REGISTRY, 'calculate_niqe')
    for index in (0, 2):
        lq = torch.from_numpy(dataset.read_lq_frame(0, index)).permute(2, 0, 1)[None].float() / 255
        sr = next(iter(BicubicRestorer(4)([lq])))
        restored.append((sr[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
    expected = [niqe(np.ascontiguousarray(frame[..., ::-1]), crop_border=0) for frame in restored]
    np.testing.assert_allclose(scores.clips[0].values['niqe'], expected, rtol=1e-6)


def test_neighbors_are_measured(tmp_path, monkeypatch):
    monkeypatch.setattr('iart.metrics.temporal_metric.spynet_flow', lambda path: shift_flow)
    gt = write_gt(tmp_path, {'a': 3}, size=(64, 68))
    dataset = VideoRecurrentTestDataset(dataroot_gt=str(gt), degradation='BI')
    metrics = build_metrics({**PSNR, **TEMPORAL})
    scores = score_set(BicubicRestorer(4), dataset, metrics, Settings({**PSNR, **TEMPORAL}), device=CPU)
    [clip] = scores.clips
    assert clip.values['tof'][0] is None
    assert clip.values['psnr'][0] is not None
    restored = [to_frame(sr) for sr in BicubicRestorer(4)([to_lq(dataset, i) for i in range(3)])]
    whole = temporal_scores(restored, [dataset.read_gt(0, i) for i in range(3)], shift_flow)
    assert np.isclose(scores.total('tof'), whole.tof)
    assert np.isclose(scores.total('warping_error'), whole.warping_error)
    lines = frames_csv([scores]).splitlines()
    assert lines[0] == 'set,clip,frame,psnr,tof,warping_error'
    assert lines[1].endswith(',,')
    rows = [dict(zip(lines[0].split(','), line.split(','), strict=True)) for line in lines[1:]]
    values = _frames(rows).values['tof']
    assert np.isnan(values[0]) and values[1] == clip.values['tof'][1]  # noqa: PT018


def to_lq(dataset, index):
    return torch.from_numpy(dataset.read_lq_frame(0, index)).permute(2, 0, 1)[None].float() / 255


def to_frame(sr):
    return (sr[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def videolq(frames=100, clips=50, scored=(0, 50, 99)):
    names = [
        SimpleNamespace(name=f'{i:03d}', frames=[f'{k:08d}' for k in range(frames)], size=(8, 8)) for i in range(clips)
    ]
    return SimpleNamespace(has_gt=False, clips=names, scored=lambda _: list(scored))


def scored_as(niqe):
    clip = ClipScores('000', ('00000000',), {'niqe': (niqe,)}, 100, 1.0)
    return SetScores('VideoLQ', ('niqe',), (clip,) * 50, (0.0,))


def test_videolq_is_compared_with_its_published_niqe():
    settings = Settings(NIQE)
    agreement = agree(videolq(), 'VideoLQ', settings)
    assert agreement.kind == 'exact'
    [row] = compare(scored_as(3.9), agreement, settings, NetworkFacts('RealVSR'))
    assert (row.method, row.figure, row.published) == ('RealBasicVSR', 'niqe', 3.7662)
    assert agree(videolq(clips=49), 'VideoLQ', settings).kind == 'partial'


@pytest.mark.parametrize(
    ('dataset', 'metrics', 'words'),
    [
        (videolq(scored=range(100)), NIQE, '100 of 100 frames are scored'),
        (videolq(clips=51), NIQE, '51 clips'),
        (videolq(), {'niqe': {**NIQE['niqe'], 'convert_to': 'gray'}}, 'measured on gray'),
        (videolq(), {'niqe': {**NIQE['niqe'], 'crop_border': 4}}, 'cuts off 4 pixels'),
    ],
)
def test_what_is_not_videolq(dataset, metrics, words):
    agreement = agree(dataset, 'VideoLQ', Settings(metrics))
    assert agreement.kind == 'mismatch'
    assert words in agreement.explanation


def test_benchmarks_with_ground_truth_keep_their_names():
    assert agree(videolq(), None, Settings(NIQE)) is None
    fifty = {f'{i:03d}': 100 for i in range(50)}
    assert 'VideoLQ' not in [m.protocol.id for m in candidates(fifty)]
    assert match(get('VideoLQ'), fifty).kind == 'exact'


def test_numbers_of_scored_frames_are_checked(tmp_path):
    root = str(write_gt(tmp_path, {'a': 3}, size=(8, 8)))
    with pytest.raises(DataError, match=r'scored_frames: .*a \(3\)'):
        VideoRecurrentTestDataset(dataroot_lq=root, scored_frames=[0, 50, 99])
    with pytest.raises(OptionsError, match=r'scored_frames: got .*rising'):
        VideoRecurrentTestDataset(dataroot_lq=root, scored_frames=[2, 0])


def test_metrics_of_pyiqa_without_reference(monkeypatch):
    network = SimpleNamespace(metric_mode='NR')
    monkeypatch.setattr('iart.metrics.pyiqa_metric._network', lambda name: network)
    metrics = build_metrics({'q': {'type': 'calculate_pyiqa', 'metric': 'musiq'}, **PSNR})
    assert list(usable(metrics, has_gt=False)) == ['q']


@pytest.mark.skipif(not SHARED_GT.is_dir(), reason=f'no reference frames in {SHARED_GT}')
@pytest.mark.parametrize('frame', NIQE_OF_PYIQA)
def test_niqe_of_another_implementation(frame):
    image = cv2.imread(str(SHARED_GT / frame))
    niqe = find(METRIC_REGISTRY, 'calculate_niqe')
    values = niqe(image, crop_border=0), niqe(image, crop_border=0, convert_to='gray')
    np.testing.assert_allclose(values, NIQE_OF_PYIQA[frame], atol=0.003)


@pytest.mark.skipif(not SHARED_GT.is_dir(), reason=f'no reference frames in {SHARED_GT}')
def test_niqe_of_pyiqa_itself(tmp_path):
    pyiqa = pytest.importorskip('pyiqa', reason='pyiqa is not installed')
    with np.load(Path(basicsr.metrics.__file__).with_name('niqe_pris_params.npz')) as parameters:
        prior = {f'{name}_prisparam': parameters[f'{name}_pris_param'] for name in ('mu', 'cov')}
    scipy.io.savemat(tmp_path / 'niqe.mat', prior)  # pyiqa would download the same file
    for frame, expected in NIQE_OF_PYIQA.items():
        image = cv2.imread(str(SHARED_GT / frame))
        tensor = torch.from_numpy(np.ascontiguousarray(image[..., ::-1])).permute(2, 0, 1)[None].float() / 255
        for space, value in zip(('ycbcr', 'yiq'), expected, strict=True):
            metric = pyiqa.create_metric(
                'niqe', device=CPU, pretrained_model_path=str(tmp_path / 'niqe.mat'), color_space=space
            )
            assert float(metric(tensor)) == pytest.approx(value, abs=1e-3)
