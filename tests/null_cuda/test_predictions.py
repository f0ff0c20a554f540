"""What `iart estimate` counts for GPUs on tensors without data, against torch's own CUDA code on the null device."""

import pytest

SMALL = {'mid_channels': 8, 'embed_dim': 40, 'depths': [2], 'num_heads': [2], 'window_size': [3, 8, 8]}


def test_work_on_paper_is_that_of_torchs_cuda_code(on_null_device, tmp_path):
    network = {'type': 'IART', **SMALL, 'use_checkpoint': 'blocks', 'drop_path_rate': 0}
    changes = {'network_g': network, 'train__precision': 'fp16'}
    result = on_null_device('predicted', str(tmp_path), changes, 64, 5, [64, 64])
    for what, expected in result['null'].items():
        paper = result['paper'][what]
        for name in ('tflops', 'gb'):
            assert paper[name] == pytest.approx(expected[name], rel=0.1), (what, name)
        assert paper['calls'] == pytest.approx(expected['launches'], rel=0.15), what
        if 'peak_mb' in expected:
            assert paper['peak_mb'] == pytest.approx(expected['peak_mb'], rel=0.15), what
