"""``train.deterministic`` on CUDA: no kernel that adds in an order of its own choice, as far as torch knows them."""

import pytest

SMALL = {'type': 'IART', 'mid_channels': 8, 'embed_dim': 40, 'depths': [2], 'num_heads': [2], 'window_size': [3, 4, 4]}
BASICVSR = {'type': 'BasicVSR', 'num_feat': 8, 'num_block': 1}


@pytest.mark.parametrize('section', [SMALL, BASICVSR], ids=['IART', 'BasicVSR'])
def test_a_step_takes_deterministic_kernels(on_null_device, section):
    """cuDNN's sampler adds gradients atomically, unknown to torch; attention's backward pass sums split keys."""
    result = on_null_device('deterministic', section)
    assert result['warned'] == []
    assert result['samplers'] == 0
    assert result['fused backward'] == 0


def test_without_it_the_fast_kernels_are_taken(on_null_device):
    result = on_null_device('deterministic', SMALL, False)
    assert result['samplers'] > 0
    assert result['fused backward'] > 0
