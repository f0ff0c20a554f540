"""Commands on the null device: scoring by every plan, reports, upscaling, estimates."""

import pytest

PLANS = [
    ['--plan', 'device', '--tf32', 'off'],
    ['--plan', 'host', '--precision', 'fp16', '--force_yml', 'val:flip_seq=true'],
    ['--plan', 'disk', '--precision', 'bf16'],
    ['--plan', 'chunks', '--chunk', '2', '--chunk-overlap', '1'],
    ['--plan', 'tiles', '--tile', '40', '--tile-overlap', '8', '--tf32', 'all', '--report'],
]


def test_scoring_by_every_plan(on_null_device, tmp_path):
    result = on_null_device('scoring', str(tmp_path), PLANS)
    assert result['codes'] == [0] * (len(PLANS) + 1)
    assert result['page']
    assert result['tf32'] == 'all', 'what --tf32 named for the last plan'
    assert 'null device' in result['facts'][0]
    assert result['facts'][1] == 'fp16'


def test_upscaling(on_null_device, tmp_path):
    result = on_null_device('upscaling', str(tmp_path))
    assert result['codes'] == [0, 0, 0]
    assert {'frames', 'video.mkv', 'deep.mkv'} <= set(result['written'])


def test_an_estimate(on_null_device, tmp_path):
    """What the command counts without data is what its own timed steps allocate, and what it predicts for GPUs."""
    result = on_null_device('estimating', str(tmp_path))
    assert result['codes'] == [0]
    assert result['device'] == 'cuda:0'
    assert result['precision'] == result['timed_precision'] == 'fp16'
    assert result['timed'] == result['load'], 'no smaller step'
    assert result['memory'] == pytest.approx(result['peak'], rel=0.15)
    assert result['fits']
    predicted = {prediction['gpu']: prediction for prediction in result['predictions']}
    assert set(predicted) == {'V100', 'A100', 'H100', 'RTX 4090'}
    for card in predicted.values():
        assert card['memory'] == pytest.approx(result['memory'], rel=0.05)
        assert card['days'] == pytest.approx(card['seconds'] * result['total_iter'] / 86400)
    assert predicted['H100']['frame_ms'] < predicted['A100']['frame_ms'] < predicted['V100']['frame_ms']
