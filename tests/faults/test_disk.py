"""A disk that is full, files that were left half written, and training states that are damaged."""

import csv
import errno
import os
import resource
import signal
from pathlib import Path

import pytest
import torch
from helpers.tiny import write_options
from helpers.tiny_runs import train

from iart import weights
from iart.errors import UserError, WeightsError
from iart.options import load
from iart.training import checkpoints
from iart.training.checkpoints import is_whole, newest_state
from iart.training.experiment import Experiment
from iart.training.trainer import Trainer

CPU = torch.device('cpu')


@pytest.fixture
def small_files():
    """While it is called with a size, no file of this process can grow beyond it, as on a disk without room."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (former[0] if size is None else size, former[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, former)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_costs_one_save_and_nothing_else(root, small_files, monkeypatch):
    step = Trainer.train_step

    def with_room_or_without(self, batches):
        small_files(30_000 if self.step == 3 else None)  # the save after iteration 4 fails in the middle of the file
        step(self, batches)

    monkeypatch.setattr(Trainer, 'train_step', with_room_or_without)
    trainer = train(root, train__total_iter=6, logger__keep_states=1)
    assert trainer.step == 6
    errors = [
        line
        for line in (trainer.experiment.folder / 'train.log').read_text().splitlines()
        if 'could not be written' in line
    ]
    assert len(errors) == 1
    assert 'net_g_4.pth' in errors[0]
    assert 'the next save tries again' in errors[0]
    assert [p.name for p in trainer.experiment.states.iterdir()] == ['6.state']
    assert sorted(p.name for p in trainer.experiment.models.iterdir()) == ['net_g_2.pth', 'net_g_6.pth']


def test_earlier_states_stay_while_the_disk_is_full_and_the_end_is_an_error(root, small_files, monkeypatch):
    step = Trainer.train_step

    def without_room(self, batches):
        small_files(30_000 if self.step >= 2 else None)
        step(self, batches)

    monkeypatch.setattr(Trainer, 'train_step', without_room)
    with pytest.raises(UserError, match='its last training state could not be written'):
        train(root, logger__keep_states=1)
    small_files(None)
    states = root / 'experiments' / 'tiny' / 'training_states'
    assert [p.name for p in states.iterdir()] == ['2.state']
    assert is_whole(states / '2.state')
    monkeypatch.setattr(Trainer, 'train_step', step)
    assert train(root, auto_resume=True).step == 4


def test_rows_wait_while_the_disk_is_full(root, small_files, monkeypatch):
    step = Trainer.train_step

    def with_room_or_without(self, batches):
        small_files(40 if self.step in (1, 2) else None)
        step(self, batches)

    monkeypatch.setattr(Trainer, 'train_step', with_room_or_without)
    trainer = train(root, logger__save_checkpoint_freq=4)
    with (trainer.experiment.folder / 'metrics.csv').open() as file:
        rows = list(csv.reader(file))
    assert [r[0] for r in rows if r[1] == 'train/loss'] == ['1', '2', '3', '4']
    assert all(len(r) == 3 for r in rows)


def test_what_a_killed_save_left_is_removed_and_never_used(root):
    first = train(root, train__total_iter=2)
    for folder, name in (
        (first.experiment.states, '.4.state.abc.unfinished'),
        (first.experiment.models, '.net_g_4.pth.abc.unfinished'),
    ):
        (folder / name).write_bytes(b'half')
    again = train(root, auto_resume=True)
    assert again.step == 4
    assert not list(first.experiment.folder.rglob('*.unfinished'))


def test_a_failed_write_leaves_neither_file_nor_remains(tmp_path):
    def fail(name):
        Path(name).write_bytes(b'half')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / 'x').write_text('whole')
    with pytest.raises(OSError, match='No space'):
        weights.write_atomically(tmp_path / 'x', fail)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [('x', 'whole')]


@pytest.mark.parametrize('damage', ['cut', 'flipped', 'empty'])
def test_the_run_goes_on_from_the_newest_whole_state(root, damage):
    trainer = train(root)
    newest = trainer.experiment.state_file(4)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes({'cut': bytes(content[:-100]), 'flipped': bytes(content), 'empty': b''}[damage])
    again = train(root, auto_resume=True)
    assert f'{newest} is cut short or damaged' in (trainer.experiment.folder / 'train.log').read_text()
    assert again.experiment.resume_from.name == '2.state'
    assert is_whole(newest)
    for a, b in zip(trainer.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_run_whose_states_are_all_damaged_is_not_silently_begun_anew(root):
    trainer = train(root)
    for path in trainer.experiment.states.iterdir():
        path.write_bytes(b'')
    with pytest.raises(UserError, match=r'none of the 2 in .* is whole'):
        train(root, auto_resume=True)
    assert (trainer.experiment.models / 'net_g_4.pth').exists()
    with pytest.raises(WeightsError):
        newest_state(trainer.experiment.states)


def test_a_run_that_branches_off_keeps_later_states_out_of_its_way(root):
    first = train(root)
    branch = train(root, path__resume_state=str(first.experiment.state_file(2)), train__total_iter=3)
    assert branch.step == 3
    names = sorted(p.name.partition('_')[0] for p in branch.experiment.states.iterdir())
    assert names == ['2.state', '3.state', '4.state.aside']
    assert newest_state(branch.experiment.states).name == '3.state'


def test_the_lock_is_not_inherited_by_processes_that_outlive_a_kill(root):
    options = load(write_options(root))
    holder = Experiment(options)
    holder.begin(options, 0)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    holder._lock.release()  # what the kernel does for a process that is killed
    again = Experiment(options, auto_resume=True)
    os.close(writer)
    os.waitpid(child, 0)
    again._lock.release()


def test_a_state_seals_what_was_written(tmp_path):
    path = tmp_path / '1.state'
    checkpoints.save_state(path, {'step': 1, 'facts': {}, 'params': {}})
    assert checkpoints.load_state(path) == {'step': 1, 'facts': {}, 'params': {}}
