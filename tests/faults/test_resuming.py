"""What may change between stop and resume, and that nothing random is drawn twice or left out."""

import random

import numpy as np
import pytest
import torch
from helpers.tiny import write_clips
from helpers.tiny_runs import train

from iart import device as devices
from iart.errors import OptionsError, UserError
from iart.training.same_run import is_harmful
from iart.training.trainer import Trainer

CPU = torch.device('cpu')


def log_of(root):
    return (root / 'experiments' / 'tiny' / 'train.log').read_text()


@pytest.mark.parametrize(
    ('change', 'shown'),
    [
        ({'network_g__embed_dim': 16}, 'network_g.embed_dim: 8 → 16'),
        ({'manual_seed': 4}, 'manual_seed: 3 → 4'),
        ({'datasets__train__batch_size_per_gpu': 1}, 'datasets.train.batch_size_per_gpu: 2 → 1'),
        ({'datasets__train__use_hflip': False}, 'datasets.train.use_hflip: True → False'),
        ({'train__accumulate': 2}, 'train.accumulate: 1 → 2'),
    ],
)
def test_harmful_changes_are_refused_and_nothing_is_touched(root, change, shown):
    train(root, train__total_iter=2)
    folder = root / 'experiments' / 'tiny'
    before = {p: p.read_bytes() for p in folder.rglob('*') if p.is_file() and p.name != 'train.log'}
    with pytest.raises(OptionsError, match='force_resume') as caught:
        train(root, auto_resume=True, **change)
    assert shown in str(caught.value)
    assert {p: p.read_bytes() for p in folder.rglob('*') if p.is_file() and p.name != 'train.log'} == before


def test_another_number_of_processes_is_refused_unless_forced(root, monkeypatch):
    train(root, train__total_iter=2)
    original = Trainer._former_state

    def as_if_two(self, forced):
        self.facts['processes'] = 2
        return original(self, forced)

    monkeypatch.setattr(Trainer, '_former_state', as_if_two)
    with pytest.raises(OptionsError, match='processes: 1 → 2'):
        train(root, auto_resume=True)
    assert train(root, auto_resume=True, force_resume=True).step == 4


def test_other_clips_in_the_same_folder_are_refused(root):
    train(root, train__total_iter=2)
    write_clips(root, clips=3)
    with pytest.raises(OptionsError, match=r'training clips: 8 windows, listing .* → 12 windows'):
        train(root, auto_resume=True)
    assert train(root, auto_resume=True, force_resume=True).step == 4


def test_the_same_clips_elsewhere_are_accepted(root):
    train(root, train__total_iter=2)
    (root / 'GT').rename(root / 'GT2')
    assert train(root, auto_resume=True, datasets__train__dataroot_gt=str(root / 'GT2')).step == 4
    assert 'datasets.train.dataroot_gt' in log_of(root)


def test_harmless_changes_are_shown_and_take_effect(root):
    train(root, train__total_iter=2)
    optimizer = {'type': 'Adam', 'lr': 5e-4, 'betas': [0.8, 0.99]}
    resumed = train(root, auto_resume=True, train__optim_g=optimizer, train__grad_clip=0.5, logger__print_freq=2)
    group = resumed.state.optimizer.param_groups[0]
    assert (group['base_lr'], tuple(group['betas'])) == (5e-4, (0.8, 0.99))
    for line in (
        'train.optim_g.lr: 0.001 → 0.0005',
        'train.grad_clip: None → 0.5',
        'logger.print_freq: 1 → 2',
        'train.total_iter: 2 → 4',
    ):
        assert f'changed since the training state was written: {line}' in log_of(root)


@pytest.mark.parametrize('precision', ['fp16', 'fp32'])
def test_the_number_format_may_change(root, precision):
    other = {'fp16': 'fp32', 'fp32': 'fp16'}[precision]
    train(root, train__total_iter=2, train__precision=other)
    assert train(root, auto_resume=True, train__precision=precision).step == 4


def test_forced_or_not_other_shapes_are_a_message(root):
    train(root, train__total_iter=2)
    with pytest.raises(UserError, match='of another network or optimizer and cannot be continued'):
        train(root, auto_resume=True, force_resume=True, network_g__embed_dim=16)
    with pytest.raises(UserError, match='of another network or optimizer'):
        train(root, auto_resume=True, train__fix_flow=-1)


@pytest.mark.parametrize(
    ('key', 'harmful'),
    [
        ('network_g.embed_dim', True),
        ('network_g.use_checkpoint', False),
        ('network_g.alignment.type', True),
        ('datasets.train.gt_size', True),
        ('datasets.train.num_worker_per_gpu', False),
        ('datasets.val.dataroot_gt', False),
        ('scale', True),
        ('train.total_iter', False),
        ('train.accumulate', True),
        ('processes', True),
    ],
)
def test_what_is_harmful(key, harmful):
    assert is_harmful(key) == harmful


def test_every_generator_is_put_back():
    devices.seed(5)
    state = devices.rng_state(CPU)
    first = torch.rand(3).tolist(), np.random.rand(3).tolist(), np.random.randn(), random.random()
    devices.set_rng_state(state, CPU)
    assert (torch.rand(3).tolist(), np.random.rand(3).tolist(), np.random.randn(), random.random()) == first


def test_a_run_that_ended_before_its_validation_catches_up(root, monkeypatch):
    val = {
        'name': 'held',
        'type': 'VideoRecurrentTestDataset',
        'dataroot_gt': str(root / 'GT'),
        'dataroot_lq': str(root / 'LR'),
    }
    validate = Trainer.validate

    def killed(self):
        if self.step == 2:
            raise KeyboardInterrupt
        validate(self)

    monkeypatch.setattr(Trainer, 'validate', killed)
    with pytest.raises(KeyboardInterrupt):
        train(root, name='cut', datasets__val=val, val__val_freq=2)
    monkeypatch.setattr(Trainer, 'validate', validate)
    cut = train(root, name='cut', datasets__val=val, val__val_freq=2, auto_resume=True)
    whole = train(root, name='whole', datasets__val=val, val__val_freq=2)
    assert cut.progress == whole.progress
    names = [line for line in (cut.experiment.folder / 'metrics.csv').read_text().splitlines() if 'val/' in line]
    assert names == [
        line for line in (whole.experiment.folder / 'metrics.csv').read_text().splitlines() if 'val/' in line
    ]
    assert [line.split(',')[0] for line in names] == ['2', '4']
    best = [torch.load(t.experiment.model_file('best'), weights_only=True)['params'] for t in (cut, whole)]
    assert all(torch.equal(best[0][n], best[1][n]) for n in best[0])
