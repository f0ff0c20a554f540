"""Kernels, waits and memory of the published network on a GPU, counted on a device that computes nothing.

The limits are the project's aims with 10 % of slack. Counted before masks, biases and weights were prepared once a
pass and heads were padded: 6,532 launches a frame and 2,745 MB; 131,448 launches, 1,676 waits and 44.6 GB (policy
``none``) a step.
"""

import pytest

SLACK = 1.1


def test_a_frame_in_half_precision(on_null_device):
    result = on_null_device('frame', 'fp16')
    assert result['launches'] <= 3000 * SLACK
    assert result['peak_mb'] <= 900 * SLACK
    assert result['fused'] > 0
    assert result['math'] == 0, 'no attention in plain products'


@pytest.mark.parametrize(('policy', 'launches', 'gigabytes'), [('blocks', 70_000, 2.4), ('none', 60_430, 20.6)])
def test_a_training_step_in_half_precision(on_null_device, policy, launches, gigabytes):
    result = on_null_device('step', 'fp16', policy)
    assert result['launches'] <= launches * SLACK
    assert result['peak_mb'] <= gigabytes * 1000 * SLACK
    assert result['waits'] <= 10, result['where']
    assert result['fused backward'] > 0
    assert result['math'] == 0, 'no attention in plain products'


def test_every_card_takes_the_memory_efficient_kernel(on_null_device):
    capabilities = ['7.0', '7.5', '8.0', '8.6', '8.9', '9.0', '10.0', '12.0']
    result = on_null_device('attention', capabilities)
    assert 'no kernels for it' in result['7.0'].pop('refused', 'no kernels for it'), 'a build without V100'
    for capability, modes in result.items():
        assert len(modes) == (6 if float(capability) >= 8 else 4), (capability, modes)
        for mode, kernels in modes.items():
            assert kernels['fused'] > 0, (capability, mode)
            assert kernels['plain'] == 0, (capability, mode)
            assert kernels['fused backward'] > 0 or 'training' not in mode, (capability, mode)
