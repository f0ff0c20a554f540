"""Training on tiny frames: it learns, thaws, stops, resumes bit-exactly, and reports what is wrong."""

import csv
import signal

import pytest
import torch
from helpers.tiny import TinyFlow, write_clips, write_options
from helpers.tiny import options as tiny_options

from iart import log
from iart.errors import OptionsError, UserError, WeightsError
from iart.options import load
from iart.training.checkpoints import is_whole, load_state, newest_state, save_state
from iart.training.trainer import Trainer

CPU = torch.device('cpu')


@pytest.fixture(autouse=True)
def _tiny_flow(monkeypatch):
    monkeypatch.setattr('iart.archs.flow.spynet_class', lambda: TinyFlow)


@pytest.fixture
def root(tmp_path):
    write_clips(tmp_path)
    return tmp_path


def train(root, *, auto_resume=False, **changes):
    trainer = Trainer(load(write_options(root, **changes)), device=CPU, auto_resume=auto_resume)
    trainer.fit()
    trainer.experiment._lock.release()
    return trainer


def weights(trainer):
    return {n: p.clone() for n, p in trainer.model.network.named_parameters()}


def rows(trainer):
    with (trainer.experiment.folder / 'metrics.csv').open() as file:
        return [r for r in csv.reader(file) if not r[1].startswith('train/') or r[1] in ('train/loss', 'train/lr')]


def test_a_run_leaves_everything_it_should(root):
    trainer = train(root)
    folder = trainer.experiment.folder
    assert {p.name for p in folder.iterdir()} >= {
        'options.yml',
        'train.log',
        'metrics.csv',
        'models',
        'training_states',
    }
    assert {p.name for p in (folder / 'models').iterdir()} == {'net_g_2.pth', 'net_g_4.pth', 'net_g_best.pth'}
    saved = torch.load(folder / 'models' / 'net_g_4.pth', weights_only=True)
    assert set(saved) == {'params', 'params_ema'}
    assert load(folder / 'options.yml') == trainer.options, 'the stored options are options'
    figures = {(r[0], r[1]) for r in rows(trainer)}
    assert {('1', 'train/loss'), ('4', 'train/loss'), ('4', 'val/held/psnr')} <= figures
    assert 'finished after 4 iterations' in (folder / 'train.log').read_text()


def test_the_loss_falls(root):
    trainer = train(root, train__total_iter=25, train__fix_flow=0, logger__save_checkpoint_freq=100, datasets__val=None)
    losses = [float(r[2]) for r in rows(trainer) if r[1] == 'train/loss']
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_the_flow_network_thaws_and_its_weights_move_only_then(root):
    frozen = train(root, train__total_iter=2)
    before, after = weights(frozen), weights(train(root, auto_resume=True, train__total_iter=4))
    flow = [n for n in before if n.startswith('spynet')]
    assert flow
    assert not frozen.state.optimizer.state.keys() & set(frozen.model.flow_parameters()), 'no optimizer state before'
    assert any(not torch.equal(before[n], after[n]) for n in flow)


def test_a_flow_network_frozen_for_the_whole_run_never_moves(root):
    trainer = train(root, train__fix_flow=-1, train__total_iter=2)
    assert not any(p.requires_grad for p in trainer.model.flow_parameters())


@pytest.mark.parametrize('workers', [0, 2])
def test_a_resumed_run_is_the_run_that_was_never_stopped(root, workers):
    changes = {'datasets__train__num_worker_per_gpu': workers, 'network_g__drop_path_rate': 0.5, 'train__total_iter': 5}
    changes['network_g__depths'] = [2]  # the first block never drops
    whole = train(root, name='whole', **changes)
    train(root, name='cut', **{**changes, 'train__total_iter': 2})
    resumed = train(root, name='cut', auto_resume=True, **changes)
    assert resumed.step == 5
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name
    for a, b in zip(whole.state.ema.module.parameters(), resumed.state.ema.module.parameters(), strict=True):
        assert torch.equal(a, b)
    cut_rows = [r for r in rows(resumed) if r[0] != '2' or 'val' not in r[1]]  # the short run was scored at its end
    assert cut_rows == rows(whole)


def test_a_signal_saves_and_stops_and_the_run_goes_on(root, monkeypatch):
    original = Trainer.train_step

    def step(self, batches):
        if self.step == 2:
            signal.raise_signal(signal.SIGTERM)
        return original(self, batches)

    monkeypatch.setattr(Trainer, 'train_step', step)
    stopped = train(root, logger__save_checkpoint_freq=1000)
    assert stopped.step == 3
    assert newest_state(stopped.experiment.states).name == '3.state'
    monkeypatch.setattr(Trainer, 'train_step', original)
    assert train(root, auto_resume=True).step == 4


def test_accumulated_batches_are_one_larger_batch(root):
    network = {'network_g__drop_path_rate': 0, 'train__total_iter': 2, 'train__optim_g': {'type': 'Adam', 'lr': 1e-3}}
    large = train(root, name='large', datasets__train__batch_size_per_gpu=4, **network)
    small = train(root, name='small', datasets__train__batch_size_per_gpu=2, train__accumulate=2, **network)
    for a, b in zip(large.model.parameters(), small.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize('precision', ['fp16', 'bf16'])
def test_half_precision_trains(root, precision):
    trainer = train(root, train__precision=precision, train__total_iter=2, train__grad_clip=1.0, datasets__val=None)
    assert all(p.isfinite().all() for p in trainer.model.parameters())
    assert trainer.state.scaler.is_enabled() == (precision == 'fp16')


def test_compilation_without_a_compiler_is_refused(root, monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(OptionsError, match=r'train\.compile: got true, but no-such-compiler is not on the PATH'):
        train(root, train__compile=True)


def test_pixel_losses_are_compiled_with_the_network(root):
    model = Trainer(load(write_options(root, datasets__val=None)), device=CPU).model
    model.compile_parts(backend='eager')
    assert model.losses['l_pix']._compiled_call_impl is not None


@pytest.mark.parametrize('network', [{'type': 'BasicVSR', 'num_feat': 8, 'num_block': 1}])
def test_networks_of_basicsr_train_and_score(tmp_path, network):
    write_clips(tmp_path, size=(64, 64), frames=2, clips=1)
    trainer = train(
        tmp_path,
        network_g=network,
        train__total_iter=2,
        datasets__train__gt_size=256,
        datasets__train__batch_size_per_gpu=1,
    )
    assert ('2', 'val/held/psnr') in {(r[0], r[1]) for r in rows(trainer)}


def test_the_best_weights_are_kept_by_metric(root, monkeypatch):
    figures = iter([30.0, 29.0])
    monkeypatch.setattr(
        'iart.training.validation.Validator.run', lambda self, network, step, recorder: {'held/psnr': next(figures)}
    )
    trainer = train(root, val__val_freq=2)
    assert trainer.progress.best == {'metric': 'held/psnr', 'value': 30.0, 'step': 2}
    best, second = (torch.load(trainer.experiment.model_file(n), weights_only=True)['params'] for n in ('best', 2))
    assert all(torch.equal(best[n], second[n]) for n in best)


def test_old_states_are_removed(root):
    trainer = train(root, logger__save_checkpoint_freq=1, logger__keep_states=2, logger__keep_models=1)
    assert sorted(p.name for p in trainer.experiment.states.iterdir()) == ['3.state', '4.state']
    assert sorted(p.name for p in trainer.experiment.models.iterdir()) == ['net_g_4.pth', 'net_g_best.pth']


def test_a_former_run_is_kept(root):
    first = train(root, train__total_iter=1)
    train(root, train__total_iter=1)
    stored = [p for p in first.experiment.folder.parent.iterdir() if '_archived_' in p.name]
    assert len(stored) == 1
    assert (stored[0] / 'models' / 'net_g_1.pth').exists()


def test_a_second_run_in_the_same_folder_is_refused(root):
    first = Trainer(load(write_options(root)), device=CPU)
    with pytest.raises(UserError, match='another run is writing to this folder'):
        Trainer(load(write_options(root)), device=CPU)
    assert first.experiment.folder.exists()


def test_a_state_of_another_network_is_refused(root):
    train(root, train__total_iter=2)
    with pytest.raises(OptionsError, match=r'network_g\.embed_dim: 8 → 16'):
        train(root, auto_resume=True, network_g__embed_dim=16)


@pytest.mark.parametrize('damage', ['cut', 'flipped', 'empty'])
def test_damaged_states_are_recognized_and_an_older_one_is_used(tmp_path, damage, caplog, monkeypatch):
    monkeypatch.setattr(log.logger, 'propagate', True)
    for step in (9, 10):
        save_state(tmp_path / f'{step}.state', {'step': step, 'params': {'w': torch.rand(1000)}, 'facts': {}})
    newest = tmp_path / '10.state'
    content = bytearray(newest.read_bytes())
    if damage == 'flipped':
        content[len(content) // 2] ^= 1
    newest.write_bytes(b'' if damage == 'empty' else content[:-100] if damage == 'cut' else content)
    assert not is_whole(newest)
    assert newest_state(tmp_path).name == '9.state'
    assert '10.state' in caplog.text
    with pytest.raises(WeightsError, match='cut short or damaged'):
        load_state(newest)


def test_a_training_run_needs_its_sections(root):
    content = {k: v for k, v in tiny_options(root).items() if k != 'train'}
    path = root / 'o.yml'
    path.write_text(__import__('yaml').safe_dump(content))
    with pytest.raises(OptionsError, match='train'):
        Trainer(load(path), device=CPU)


def test_a_teacher_is_a_second_target_that_fades(tmp_path):
    write_clips(tmp_path)
    path = write_options(
        tmp_path,
        datasets__train__dataroot_teacher=str(tmp_path / 'GT'),
        train__teacher_opt={'type': 'CharbonnierLoss', 'loss_weight': 0.5},
        train__teacher_fade=1.0,
    )
    trainer = Trainer(load(path), device=CPU)
    trainer.fit()
    ratio = trainer.losses['l_teacher'] / trainer.losses['l_pix']
    assert ratio == pytest.approx(0.5 / 4, rel=1e-5), 'the last of 4 steps: a quarter of the weight'
    assert trainer.losses['loss'] == pytest.approx(
        float(trainer.losses['l_pix'] + trainer.losses['l_teacher']), rel=1e-6
    )
