"""Files that become unreadable in mid-training, processes that read frames and die, and signals that go to all
of them."""

import multiprocessing
import os
import signal
import subprocess
import time

import pytest
import torch
from helpers.tiny import write_clips
from helpers.tiny_runs import build, log_of, train

from iart.data.guarded import Guarded
from iart.errors import DataError
from iart.training.trainer import Trainer

CPU = torch.device('cpu')


def damage(root):
    """One frame that several windows need, emptied."""
    path = root / 'LR' / '000' / '00000001.png'
    path.write_bytes(b'')
    return path


@pytest.mark.parametrize('workers', [0, 2])
def test_stop_saves_and_names_the_file(root, workers, monkeypatch):
    trainer = build(
        root, datasets__train__num_worker_per_gpu=workers, train__total_iter=50, logger__save_checkpoint_freq=1000
    )
    path = damage(root)
    with pytest.raises(DataError, match='the file is empty') as caught:
        trainer.fit()
    trainer.experiment._lock.release()
    assert str(path) in str(caught.value)
    assert str(caught.value).startswith(f'iteration {trainer.step + 1}: ')
    saved = [p.name for p in trainer.experiment.states.iterdir()]
    assert saved == ([f'{trainer.step}.state'] if trainer.step else [])


def train_skipping(root, *, auto_resume=False, **changes):
    """The file is whole when the run starts, so that it passes the checks, and unreadable from the first
    iteration on."""
    write_clips(root)
    trainer = build(root, auto_resume=auto_resume, datasets__train__unreadable='skip', **changes)
    path = damage(root)
    trainer.fit()
    trainer.experiment._lock.release()
    return trainer, path


def test_skip_names_counts_and_stays_exact(root):
    whole, path = train_skipping(root, name='whole', train__total_iter=8)
    train_skipping(root, name='cut', train__total_iter=3, datasets__train__num_worker_per_gpu=2)
    cut, _ = train_skipping(
        root, name='cut', auto_resume=True, train__total_iter=8, datasets__train__num_worker_per_gpu=2
    )
    assert whole.progress.unreadable > 0
    assert whole.progress == cut.progress
    assert f'another window replaces it: {path}' in log_of(whole)
    assert 'train/unreadable' in (whole.experiment.folder / 'metrics.csv').read_text()
    for a, b in zip(whole.model.parameters(), cut.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_set_without_readable_windows_ends_the_run():
    class Gone:
        def __len__(self):
            return 5

        def __getitem__(self, window):
            raise DataError(f'window {window[1]}: gone')

    result = Guarded(Gone(), 'skip', seed=1)[0, 3]
    assert isinstance(result, DataError)
    assert 'window 3: gone; 10 other windows in its place could not be read' in str(result)


def test_a_worker_that_dies_ends_the_run_with_everything_saved(root, monkeypatch):
    step = Trainer.train_step

    def then_die(self, batches):
        step(self, batches)
        if self.step == 2:
            for worker in multiprocessing.active_children():
                os.kill(worker.pid, signal.SIGKILL)

    monkeypatch.setattr(Trainer, 'train_step', then_die)
    with pytest.raises((DataError, RuntimeError), match=r'a process that reads frames ended|DataLoader worker'):
        train(root, datasets__train__num_worker_per_gpu=1, train__total_iter=100, logger__save_checkpoint_freq=1)
    assert list((root / 'experiments' / 'tiny' / 'training_states').iterdir())


@pytest.mark.parametrize('name', ['INT', 'TERM'])
def test_a_signal_to_the_whole_group_stops_in_order(root, monkeypatch, name):
    """Ctrl-C and batch systems signal every process of a run, those that read frames among them."""
    step = Trainer.train_step

    def signaled(self, batches):
        if self.step == 1:
            everybody = [os.getpid(), *(worker.pid for worker in multiprocessing.active_children())]
            subprocess.run(['kill', f'-{name}', *map(str, everybody)], check=True)
        step(self, batches)

    monkeypatch.setattr(Trainer, 'train_step', signaled)
    trainer = train(
        root, datasets__train__num_worker_per_gpu=2, train__total_iter=50, logger__save_checkpoint_freq=1000
    )
    assert trainer.step == 2
    assert [p.name for p in trainer.experiment.states.iterdir()] == ['2.state']


def test_a_second_signal_stops_at_once(root, monkeypatch):
    def signaled(self, batches):
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.05)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr('iart.training.stop_request._ONE_REQUEST', 0.01)
    monkeypatch.setattr(Trainer, 'train_step', signaled)
    with pytest.raises(KeyboardInterrupt):
        train(root)


def test_a_signal_that_comes_twice_at_once_is_one(root, monkeypatch):
    """As Ctrl-C under torchrun, which passes on what the terminal has sent already."""
    step = Trainer.train_step

    def signaled(self, batches):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        step(self, batches)

    monkeypatch.setattr(Trainer, 'train_step', signaled)
    assert train(root, train__total_iter=50, logger__save_checkpoint_freq=1000).step == 1
