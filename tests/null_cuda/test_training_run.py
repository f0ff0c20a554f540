"""Training on the null device: everything that the trainer does on a GPU runs, saves and resumes."""

import pytest


@pytest.mark.parametrize('precision', ['fp16', 'bf16'])
def test_a_run_is_saved_and_resumed(on_null_device, tmp_path, precision):
    """Adam's step counts and the scaler's state were what no run on CUDA could save."""
    changes = {'train__precision': precision, 'train__accumulate': 2, 'train__grad_clip': 1.0}
    first = on_null_device('train', str(tmp_path), changes)
    assert first['states'] == ['2.state', '4.state']
    more = on_null_device('train', str(tmp_path), {**changes, 'train__total_iter': 6}, True)
    assert more['step'] == 6
    assert more['resumed'].endswith('4.state')


def test_an_adversarial_run_is_saved_and_resumed(on_null_device, tmp_path):
    """One loss scale for two optimizers, both in the training state."""
    changes = {
        'model_type': 'VSRGANModel',
        'network_d': {'type': 'UNetDiscriminatorSN', 'num_in_ch': 3, 'num_feat': 4},
        'datasets__val': None,
        'train__precision': 'fp16',
        'train__accumulate': 2,
        'train__grad_clip': 1.0,
        'train__gan_opt': {'type': 'GANLoss', 'gan_type': 'vanilla', 'loss_weight': 0.05},
        'train__optim_d': {'type': 'Adam', 'lr': 1e-3},
    }
    first = on_null_device('train', str(tmp_path), changes)
    assert first['states'] == ['2.state', '4.state']
    more = on_null_device('train', str(tmp_path), {**changes, 'train__total_iter': 6}, True)
    assert more['step'] == 6
    assert more['resumed'].endswith('4.state')


def test_a_run_with_nccl(on_null_device, tmp_path):
    (only,) = on_null_device('train', str(tmp_path), {'train__precision': 'fp16'}, ranks=1, MASTER_PORT=29617)
    assert only['states'] == ['2.state', '4.state']
