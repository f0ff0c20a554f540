"""Tiny training runs in processes of their own that can be killed at any moment.

The process that imports this once forks a child per attempt, so that an attempt costs no import of torch.
"""

import csv
import gc
import hashlib
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers.tiny import NETWORK, TinyFlow, write_clips, write_options

import iart.archs.flow
from iart import cli, weights
from iart.training import saver as saving
from iart.training.checkpoints import load_state
from iart.training.trainer import Trainer

PHASES = ('starting', 'training', 'scoring', 'writing')
_PIECES = 12  # in which a slowed-down file is written

# A run in which everything has a memory: stochastic depth, an average, accumulation, workers, a flow network that thaws
# on the way.
RUN: dict[str, Any] = {
    'network_g__depths': [2],
    'network_g__drop_path_rate': 0.5,
    'train__accumulate': 2,
    'train__fix_flow': 20,
    'train__grad_clip': 1.0,
    'datasets__train__batch_size_per_gpu': 1,
    'val__val_freq': 6,
    'logger__save_checkpoint_freq': 3,
    'logger__use_tb_logger': True,
}


# The two stages of training on real footage: a chain that degrades, cleaning, then a discriminator.
_CLEANING: dict[str, Any] = {
    'network_g': {'type': 'RealVSR', 'network': NETWORK, 'num_cleaning_feat': 4, 'num_cleaning_block': 1},
    'datasets__train__dataroot_lq': None,
    'datasets__train__degradation': 'RealBasicVSR',
    'train__cleaning_opt': {'type': 'L1Loss'},
}
KINDS: dict[str, dict[str, Any]] = {
    'plain': {},
    'cleaning': _CLEANING,
    'adversarial': {
        **_CLEANING,
        'model_type': 'VSRGANModel',
        'network_d': {'type': 'UNetDiscriminatorSN', 'num_in_ch': 3, 'num_feat': 4},
        'train__gan_opt': {'type': 'GANLoss', 'gan_type': 'vanilla', 'loss_weight': 0.05},
        'train__optim_d': {'type': 'Adam', 'lr': 1e-3},
    },
}


class Phase:
    """What the last child is doing, seen from outside: one byte of shared memory that outlives it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)

    def enter(self, name: str) -> None:
        self._memory[0] = PHASES.index(name)

    def now(self) -> str:
        return PHASES[self._memory[0]]


def make_data(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    write_clips(root, clips=3, frames=3)
    return root


def start(
    root: Path, phase: Phase, *, slow: float = 0.0, rank: int = 0, ranks: int = 1, port: int = 0, **changes: Any
) -> int:
    """Fork a child that trains with ``--auto_resume`` and exits like ``iart train``; its process id.

    Args:
        slow: seconds that writing a checkpoint file takes, so that a kill can hit it half written.
        changes: changes of the options; see tiny.options.
    """
    (root / f'rank{rank}').mkdir(exist_ok=True)
    options = write_options(root / f'rank{rank}', **{**RUN, **_roots(root), **changes})
    phase.enter('starting')

    def run() -> None:
        _patch(phase, slow)
        launcher = join_ranks(rank, ranks, port)
        cli.main(['train', '-opt', str(options), '--auto_resume', '--device', 'cpu', '--launcher', launcher])

    return fork(run, root / f'output{rank}.txt')


def join_ranks(rank: int, ranks: int, port: int) -> str:
    """Set what torchrun puts into the environment, if there are several processes; return the ``--launcher``."""
    torch.set_num_threads(1)
    if ranks == 1:
        return 'none'
    os.environ |= {'RANK': str(rank), 'LOCAL_RANK': str(rank), 'WORLD_SIZE': str(ranks)}
    os.environ |= {'LOCAL_WORLD_SIZE': str(ranks), 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port)}
    return 'pytorch'


def fork(run: Callable[[], object], output: Path) -> int:
    """Fork a child that calls ``run``, appends its output to a file and exits like ``iart``; return its process id.

    What former tests left is destroyed here first: a decoder that the child destroyed would wait for its threads, which
    are not forked.
    """
    gc.collect()
    child = os.fork()
    if child:
        return child
    gc.freeze()
    code = 1
    try:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout = sys.stderr = os.fdopen(file, 'a', buffering=1)  # a test's own streams go elsewhere
        run()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        sys.stdout.flush()
        os._exit(code)


def _roots(root: Path) -> dict[str, Any]:
    roots = {
        f'datasets__{s}__dataroot_{k}': str(root / d) for s in ('train', 'val') for k, d in (('gt', 'GT'), ('lq', 'LR'))
    }
    return {**roots, 'path__experiments_root': str(root / 'experiments')}


def _patch(phase: Phase, slow: float) -> None:
    """In the child only: a small flow network, phases that can be seen, and writing that takes its time."""
    iart.archs.flow.spynet_class = lambda: TinyFlow
    step, validate, write = Trainer.train_step, Trainer.validate, weights.write_atomically

    def train_step(self: Trainer, batches: list[Any]) -> None:
        phase.enter('training')
        step(self, batches)

    def validating(self: Trainer) -> None:
        phase.enter('scoring')
        validate(self)

    def writing(path: Path, fill: Any) -> None:
        def fill_slowly(name: str) -> None:
            fill(name)
            content = Path(name).read_bytes()
            with open(name, 'wb') as file:
                for position in range(0, len(content), len(content) // _PIECES + 1):
                    file.write(content[position : position + len(content) // _PIECES + 1])
                    file.flush()
                    time.sleep(slow / _PIECES)

        phase.enter('writing')
        write(path, fill_slowly if slow else fill)

    Trainer.train_step, Trainer.validate = train_step, validating
    saving.write_atomically = sys.modules['iart.training.checkpoints'].write_atomically = writing


def wait(child: int, seconds: float) -> int | None:
    """Exit code of a child, negative for a signal; None when it still runs after ``seconds``."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        time.sleep(0.005)


def kill(child: int) -> None:
    """kill -9, and wait until it is gone."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def newest_step(root: Path) -> int:
    """Of the training states that are there."""
    return max((int(p.stem) for p in (root / 'experiments' / 'tiny' / 'training_states').glob('*.state')), default=0)


def outcome(root: Path, total: int) -> dict[str, Any]:
    """Everything that must not depend on what happened to a run: digests, figures, points, names of files."""
    folder = root / 'experiments' / 'tiny'
    state = load_state(folder / 'training_states' / f'{total}.state')
    facts = state.pop('facts')
    models = {p.name: digest(torch.load(p, weights_only=True)) for p in sorted((folder / 'models').iterdir())}
    with (folder / 'metrics.csv').open() as file:
        rows = [
            tuple(r) for r in csv.reader(file) if r[1].rpartition('/')[2] not in ('it_per_s', 'data_s', 'memory_mb')
        ]
    return {
        'weights': digest(state['params']),
        'state': digest(state),
        'clips': facts['clips'],
        'models': models,
        'metrics.csv': rows,
        'TensorBoard': points(folder / 'tb'),
        'files': sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if 'tb' not in p.parts),
    }


def digest(value: Any) -> str:
    """SHA-256 over tensors and plain containers, in a fixed order."""
    result = hashlib.sha256()

    def add(item: Any) -> None:
        if isinstance(item, torch.Tensor):
            result.update(f'{item.dtype}{tuple(item.shape)}'.encode() + item.contiguous().numpy().tobytes())
        elif isinstance(item, dict):
            for key in sorted(item, key=str):
                result.update(str(key).encode())
                add(item[key])
        elif isinstance(item, list | tuple):
            for part in item:
                add(part)
        else:
            result.update(repr(item).encode())

    add(value)
    return result.hexdigest()


def points(folder: Path) -> list[tuple[str, int, float]]:
    """What TensorBoard shows of figures that depend on the run alone, in its order."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={'scalars': 0})
    events.Reload()
    names = [
        n for n in sorted(events.Tags()['scalars']) if n.rpartition('/')[2] not in ('it_per_s', 'data_s', 'memory_mb')
    ]
    return [(name, e.step, e.value) for name in names for e in events.Scalars(name)]
