"""Losses and gradients that are NaN or infinite, and what stays float32 under fp16 and bf16."""

import math

import pytest
import torch
from helpers.tiny_runs import build, log_of, train

from iart.archs.flow import neighbor_flows
from iart.errors import TrainingError
from iart.models.vsr_model import VSRModel
from iart.training.checkpoints import load_state
from iart.training.guard import all_finite, finite_by_device
from iart.training.trainer import Trainer

CPU = torch.device('cpu')


@pytest.fixture
def spoil(monkeypatch):
    """Make the loss of some calls of the model (from 0) another number; ``gradient`` spoils only what flows back."""
    forward = VSRModel.forward

    def install(calls, value, gradient=False):
        count = iter(range(10_000))

        def spoiled(self, batch):
            out = forward(self, batch)
            if next(count) in calls:
                zero = (out['loss'] - out['loss'].detach()) * value
                out['loss'] = out['loss'] + zero.nan_to_num(0) if gradient else out['loss'] * value
            return out

        monkeypatch.setattr(VSRModel, 'forward', spoiled)

    return install


@pytest.mark.parametrize('precision', ['fp32', 'fp16', 'bf16'])
@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_a_step_with_a_bad_loss_changes_nothing_and_is_named(root, spoil, precision, value):
    spoil({1}, value)
    seen = {}
    step = Trainer.train_step

    def watched(self, batches):
        before = (
            [p.clone() for p in self.model.parameters()],
            self.state.scaler.get_scale(),
            [p.clone() for p in self.state.ema.parameters()],
        )
        step(self, batches)
        same = all(torch.equal(a, b) for a, b in zip(before[0], self.model.parameters(), strict=True))
        same_ema = all(torch.equal(a, b) for a, b in zip(before[2], self.state.ema.parameters(), strict=True))
        seen[self.step] = (same, same_ema, before[1] == self.state.scaler.get_scale(), batches[0])

    Trainer.train_step = watched
    try:
        trainer = train(root, train__precision=precision, train__total_iter=3)
    finally:
        Trainer.train_step = step
    assert seen[2][:3] == (True, True, True), 'weights, average and loss scale'
    assert not seen[1][0]
    assert not seen[3][0]
    assert trainer.progress.skipped == 1
    assert load_state(trainer.experiment.state_file(3))['skipped'] == 1
    batch = seen[2][3]
    assert f'iteration 2 skipped (1 so far, the run ends at 100): the loss is {value}' in log_of(trainer)
    for clip, frames in zip(batch['clip'], batch['frames'], strict=True):
        assert f'clip {clip}, frames {" ".join(frames)}' in log_of(trainer)
    assert 'train/skipped' in (trainer.experiment.folder / 'metrics.csv').read_text()


def test_a_bad_gradient_under_a_good_loss_is_kept_away_too(root, monkeypatch):
    drop = VSRModel.drop_frozen_gradients

    def spoiled(self, step):
        drop(self, step)
        if step == 1:
            next(p for p in self.network.parameters() if p.grad is not None).grad.view(-1)[0] = math.inf

    monkeypatch.setattr(VSRModel, 'drop_frozen_gradients', spoiled)
    trainer = train(root, train__total_iter=3)
    assert 'iteration 2 skipped (1 so far, the run ends at 100): the gradient is not finite' in log_of(trainer)
    assert all(p.isfinite().all() for p in trainer.model.parameters())


def test_infinite_gradients_under_a_loss_scale_lower_the_scale_and_are_not_counted(root, monkeypatch):
    drop = VSRModel.drop_frozen_gradients

    def spoiled(self, step):
        drop(self, step)
        if step == 1:
            next(p for p in self.network.parameters() if p.grad is not None).grad.view(-1)[0] = math.inf

    monkeypatch.setattr(VSRModel, 'drop_frozen_gradients', spoiled)
    trainer = train(root, train__precision='fp16', train__total_iter=3)
    assert trainer.progress.skipped == 0
    assert trainer.state.scaler.get_scale() == 2**15
    assert all(p.isfinite().all() for p in trainer.model.parameters())


def test_at_the_limit_the_run_ends_with_nothing_bad_saved(root, spoil):
    spoil({3, 5, 6}, math.nan)
    with pytest.raises(TrainingError, match='3 steps were skipped'):
        train(root, train__total_iter=20, train__skip_limit=3, logger__keep_states=20)
    states = sorted((root / 'experiments' / 'tiny' / 'training_states').iterdir())
    assert [p.name for p in states] == ['2.state', '4.state', '6.state']
    for path in states:
        assert all(t.isfinite().all() for key in ('params', 'params_ema') for t in load_state(path)[key].values())


def test_weights_that_are_not_finite_are_not_saved(root, monkeypatch):
    step = Trainer.train_step

    def ruin(self, batches):
        step(self, batches)
        if self.step == 4:
            next(self.model.parameters()).data.view(-1)[0] = math.nan

    monkeypatch.setattr(Trainer, 'train_step', ruin)
    with pytest.raises(TrainingError, match='hold a NaN or an infinite number and were not saved'):
        train(root, train__total_iter=6)
    assert [p.name for p in (root / 'experiments' / 'tiny' / 'training_states').iterdir()] == ['2.state']


def test_tensors_on_two_devices_are_checked_each_where_they_are():
    """Adam's step counts stay on the CPU when weights are on a GPU; the meta device takes the GPU's place here."""
    flags = finite_by_device(
        [
            torch.ones(2, device='meta'),
            torch.tensor(3.0),
            torch.zeros(2, dtype=torch.long),
            torch.ones(3, device='meta'),
        ]
    )
    assert [flag.device.type for flag in flags] == ['meta', 'cpu']
    assert all_finite([])
    assert all_finite([torch.zeros(2), torch.zeros(2, dtype=torch.bfloat16)])
    assert not all_finite([torch.zeros(2), torch.tensor([0.0, math.nan]), torch.zeros(3)])
    assert not all_finite([torch.tensor(math.inf)])


@pytest.mark.long
@pytest.mark.parametrize('precision', ['fp16', 'bf16'])
def test_half_precision_learns_as_full_precision_does(root, precision):
    def losses(name, precision):
        trainer = train(
            root, name=name, train__precision=precision, train__total_iter=20, logger__save_checkpoint_freq=100
        )
        lines = (trainer.experiment.folder / 'metrics.csv').read_text().splitlines()
        return [float(line.split(',')[2]) for line in lines if ',train/loss,' in line]

    full, half = losses('full', 'fp32'), losses('half', precision)
    assert sum(half[-5:]) < 0.8 * sum(half[:5])
    assert half == pytest.approx(full, rel=0.1)


@pytest.mark.parametrize('precision', ['fp16', 'bf16'])
def test_flow_grids_and_codes_stay_float32(root, monkeypatch, precision):
    import iart.alignments.implicit_alignment as alignment
    import iart.archs.flow as flow
    import iart.ops.warp as warp

    seen = {}

    def spy(module, name, look):
        original = getattr(module, name)

        def wrapper(*args, **kwargs):
            result = original(*args, **kwargs)
            seen.setdefault(name, set()).update(t.dtype for t in look(args, result) if t.is_floating_point())
            return result

        monkeypatch.setattr(module, name, wrapper)

    spy(flow, 'pair_flows', lambda args, result: [result])
    spy(warp.F, 'grid_sample', lambda args, result: [args[1]])
    spy(alignment, 'sampling_taps', lambda args, result: [args[0], *result])
    spy(alignment, 'offset_code', lambda args, result: [result])
    spy(alignment, 'tap_code', lambda args, result: [result])
    trainer = build(root, train__precision=precision)
    with torch.autocast('cpu', {'fp16': torch.float16, 'bf16': torch.bfloat16}[precision]):
        lq = torch.rand(1, 3, 3, 16, 16)
        neighbor_flows(trainer.model.network.spynet, lq)
        half = trainer.model.network.conv_first(lq[0])
        trainer.model.network(lq)
        warp.flow_warp(half, torch.zeros(3, 2, 16, 16, dtype=half.dtype))
    trainer.experiment._lock.release()
    assert half.dtype != torch.float32, 'autocast is at work'
    expected = {'pair_flows', 'grid_sample', 'sampling_taps', 'offset_code', 'tap_code'}
    assert seen == {name: {torch.float32} for name in expected}
