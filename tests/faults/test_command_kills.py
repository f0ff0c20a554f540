"""kill -9 of what works without a training loop: making LR frames, and validation in the middle of a run."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.prepared_clips import snapshot, write_gt
from running import Phase, fork, make_data, outcome, start, wait

from iart import cli
from iart.training.recorder import Recorder
from iart.training.saver import Saver
from iart.training.trainer import Trainer
from iart.training.validation import Validator

VALIDATED = {'train__total_iter': 4, 'train__accumulate': 1, 'val__val_freq': 2, 'logger__save_checkpoint_freq': 4}


def dies_at(method: Callable, call: int) -> Callable:
    """Return ``method``, which kills its process instead of its nth call."""
    calls = []

    def dying(*arguments, **named):
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*arguments, **named)

    return dying


@pytest.mark.parametrize(('kind', 'jobs'), [('BI', 2), ('RealBasicVSR', 1), ('RealBasicVSR', 2)])
def test_killed_while_frames_are_degraded(tmp_path, kind, jobs):
    gt = write_gt(tmp_path / 'gt', {'a': 3, 'b': 2}, size=(40, 52))

    def degrade(target: str, call: int = 0) -> int | None:
        def run() -> None:
            Path.replace = dies_at(Path.replace, call)  # type: ignore[method-assign]  # in the child only
            cli.main(
                ['data', 'degrade', str(gt), str(tmp_path / target), '--kind', kind, '--jobs', str(jobs), '--seed', '1']
            )

        return wait(fork(run, tmp_path / 'output.txt'), 120)

    assert degrade('whole') == 0, (tmp_path / 'output.txt').read_text()
    expected = snapshot(tmp_path / 'whole')
    assert len(expected) == 5
    for call in (1, 2, 3, 2):  # each in the run that the one before left; the first renamed file holds the settings
        assert degrade('torn', call) == -signal.SIGKILL
        assert not (tmp_path / 'torn').exists()
    assert degrade('torn') == 0, (tmp_path / 'output.txt').read_text()
    assert snapshot(tmp_path / 'torn') == expected
    assert not list(tmp_path.glob('*torn.*'))


@pytest.mark.parametrize(
    ('owner', 'name', 'call'),
    [
        (Validator, 'run', 1),
        (Recorder, 'scalars', 4),
        (Saver, 'weights', 1),
        (Saver, 'state', 1),
        (Trainer, 'validate', 2),
    ],
    ids=['scoring', 'figures', 'best weights', 'state', 'second validation'],
)
def test_killed_while_a_run_is_validated(whole, tmp_path, monkeypatch, owner, name, call):
    torn = make_data(tmp_path / 'torn')
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, dies_at(getattr(owner, name), call))
        assert wait(start(torn, Phase(), **VALIDATED), 120) == -signal.SIGKILL
    assert wait(start(torn, Phase(), **VALIDATED), 120) == 0, (torn / 'output0.txt').read_text()
    assert outcome(torn, 4) == whole


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    root = make_data(tmp_path_factory.mktemp('whole'))
    assert wait(start(root, Phase(), **VALIDATED), 120) == 0, (root / 'output0.txt').read_text()
    return outcome(root, 4)
