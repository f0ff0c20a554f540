"""Commands on the null device: scoring by every plan, reports, upscaling, estimates."""

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
