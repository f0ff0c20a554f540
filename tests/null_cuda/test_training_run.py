"""Training on the null device: everything that the trainer does on a GPU runs, saves and resumes."""

import pytest


@pytest.mark.parametrize('precision', ['fp16', 'bf16'])
def test_a_run_is_saved_and_resumed(on_null_device, tmp_path, precision):
    """Adam's step counts and the scaler's state were what no run on CUDA could save."""
    changes = {'train__precision': precision, 'train__accumulate': 2, 'train__grad_clip': 1.0}
    first = on_null_device('train', str(tmp_path), changes)
    assert first['states'] == ['2.state', '4.state']
    assert first['searches'] == {'validation': [False], 'training': True}, 'for the fastest algorithm'
    assert first['fused'] == [True, True]
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


def test_a_run_of_two_processes_with_gloo(on_null_device, tmp_path):
    changes = {'train__precision': 'bf16', 'datasets__train__batch_size_per_gpu': 1}
    results = on_null_device(
        'train', str(tmp_path), changes, False, 'gloo', ranks=2, MASTER_PORT=29631, NULL_CUDA_DEVICES=2
    )
    assert [result['step'] for result in results] == [4, 4]
    assert results[0]['states'] == ['2.state', '4.state']


def test_basicvsr_trains(on_null_device, tmp_path):
    network = {'type': 'BasicVSR', 'num_feat': 8, 'num_block': 1}
    changes = {'network_g': network, 'train__precision': 'fp16', 'datasets__train__gt_size': 256}
    result = on_null_device('train', str(tmp_path), changes, False, 'nccl', 64)
    assert result['states'] == ['2.state', '4.state']


def test_a_step_is_recorded_and_replayed(on_null_device, tmp_path):
    """The flow network rests for two steps and then trains, two batches make a step, values cannot be asked for."""
    changes = {'train__precision': 'fp16', 'train__cuda_graphs': True, 'train__accumulate': 2, 'train__grad_clip': 1.0}
    result = on_null_device('train', str(tmp_path), changes)
    assert result['step'] == 4
    recorded, launched = result['graphs']
    assert launched == 4, 'for every step'
    assert 1 <= recorded <= 2, 'whether a clip is mirrored is a question about values, which are garbage'
