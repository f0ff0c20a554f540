"""Several processes: one dies, one hangs, one cannot read, and torchrun starts the run again; validation shared out."""

import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers.tiny import TinyFlow, write_clips, write_options
from running import free_port, join_ranks

from iart import cli, distributed, log
from iart.data.loaders import build_dataset
from iart.scoring.evaluator import score_set
from iart.scoring.measures import build_metrics
from iart.scoring.settings import Settings
from iart.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[2]
FORK = multiprocessing.get_context('fork')


def train_rank(rank: int, port: int, root: str, fault: str) -> None:
    join_ranks(rank, 2, port)
    sys.stdout = sys.stderr = log.console.file = open(f'{root}/output{rank}.txt', 'w', buffering=1)  # noqa: SIM115  (until the end)
    import iart.archs.flow

    iart.archs.flow.spynet_class = lambda: TinyFlow
    launch, step = distributed.launch, Trainer.train_step
    distributed.launch = lambda launcher, **kw: launch(launcher, **{**kw, 'timeout_minutes': 0.1})

    def faulty(self: Trainer, batches: list) -> None:
        if self.step == 2 and rank == 1:
            if fault in ('SIGKILL', 'SIGSTOP'):
                os.kill(os.getpid(), getattr(signal, fault))
            elif fault == 'nan':
                batches[0]['gt'][:] = float('nan')
        if self.step == 1 and rank == 1 and fault == 'unreadable':
            (Path(root) / 'LR' / '000' / '00000000.png').write_bytes(b'')
            (Path(root) / 'LR' / '001' / '00000000.png').write_bytes(b'')
        step(self, batches)

    Trainer.train_step = faulty
    cli.main(['train', '-opt', f'{root}/options.yml', '--launcher', 'pytorch', '--device', 'cpu'])


def run_two(root: Path, fault: str) -> tuple[list[int | None], list[str]]:
    """Exit codes and outputs of two ranks; a rank that hangs for good is ended after the other one."""
    port = free_port()
    ranks = [FORK.Process(target=train_rank, args=(rank, port, str(root), fault)) for rank in range(2)]
    for process in ranks:
        process.start()
    ranks[0].join(60)
    assert ranks[0].exitcode is not None, 'rank 0 hangs'
    if fault == 'SIGSTOP':
        ranks[1].kill()
    ranks[1].join(60)
    return [p.exitcode for p in ranks], [(root / f'output{rank}.txt').read_text() for rank in range(2)]


@pytest.mark.parametrize('fault', ['SIGKILL', pytest.param('SIGSTOP', marks=pytest.mark.long)])
def test_a_rank_that_is_lost_ends_the_others_with_a_message(tmp_path: Path, fault: str) -> None:
    write_clips(tmp_path)
    write_options(tmp_path, datasets__val=None, datasets__train__batch_size_per_gpu=1, train__total_iter=50)
    began = time.monotonic()
    codes, outputs = run_two(tmp_path, fault)
    assert codes == [1, -signal.SIGKILL]
    assert 'rank 0: another process of this run has ended or does not answer' in outputs[0]
    assert 'Traceback' not in outputs[0]
    assert time.monotonic() - began < 60
    assert [p.name for p in (tmp_path / 'experiments' / 'tiny' / 'training_states').iterdir()] == ['2.state']


def test_a_bad_loss_on_one_rank_is_skipped_on_both(tmp_path: Path) -> None:
    write_clips(tmp_path)
    write_options(tmp_path, datasets__val=None, datasets__train__batch_size_per_gpu=1, train__total_iter=4)
    codes, outputs = run_two(tmp_path, 'nan')
    assert codes == [0, 0], outputs
    assert re.search(
        r'iteration 3 skipped \(1 so far, the run ends at 100\): rank 1: the loss is nan, from clip \d+, frames',
        outputs[0],
    )
    state = torch.load(tmp_path / 'experiments' / 'tiny' / 'training_states' / '4.state', weights_only=True)
    assert state['skipped'] == 1
    assert all(t.isfinite().all() for t in state['params'].values())


def test_a_file_that_one_rank_cannot_read_ends_both_with_everything_saved(tmp_path: Path) -> None:
    write_clips(tmp_path)
    write_options(tmp_path, datasets__val=None, datasets__train__batch_size_per_gpu=1, train__total_iter=50)
    codes, outputs = run_two(tmp_path, 'unreadable')
    assert codes == [2, 2], outputs
    assert 'the file is empty, expected an image' in outputs[0]
    assert 'Traceback' not in ''.join(outputs)
    states = tmp_path / 'experiments' / 'tiny' / 'training_states'
    last = max(int(p.stem) for p in states.iterdir())
    assert f'error: iteration {last + 1}: ' in outputs[0]


def score_rank(rank: int, ranks: int, port: int, root: str, results: 'multiprocessing.Queue') -> None:
    join_ranks(rank, ranks, port)
    distributed.launch('pytorch', timeout_minutes=1)
    results.put((rank, [score(Path(root), clips) for clips in (1, 2, 3)]))
    distributed.leave()


def score(root: Path, clips: int) -> list[tuple]:
    """Figures of the first few clips under a restorer that depends on what it is given."""

    def restore(lq):
        for frame in lq:
            yield torch.nn.functional.interpolate(frame, scale_factor=4, mode='bilinear')

    restore.used = ()
    names = [f'{i:03}' for i in range(clips)]
    section = {'dataroot_gt': str(root / 'GT'), 'dataroot_lq': str(root / 'LR'), 'clips': names}
    dataset = build_dataset({'type': 'VideoRecurrentTestDataset', **section}, key='datasets.val', scale=4)
    settings = Settings({'psnr': {'type': 'calculate_psnr', 'crop_border': 0}})
    scores = score_set(restore, dataset, build_metrics(settings.metrics), settings, device=torch.device('cpu'))
    return [(c.name, c.frames, c.values) for c in scores.clips] + [(scores.totals(),)]


def test_validation_shared_out_gives_the_figures_of_one_process(tmp_path: Path) -> None:
    write_clips(tmp_path, clips=3, frames=3)
    alone = [score(tmp_path, clips) for clips in (1, 2, 3)]
    results, port = FORK.Queue(), free_port()
    ranks = [FORK.Process(target=score_rank, args=(rank, 2, port, str(tmp_path), results)) for rank in range(2)]
    for process in ranks:
        process.start()
    result = dict(results.get(timeout=60) for _ in ranks)
    for process in ranks:
        process.join(60)
    assert result == {0: alone, 1: alone}


# A network without a flow network is not to be had, so SPyNet itself runs here; few iterations of it do.
def agents(root: Path, nodes: int, processes: int, **variables: str) -> list[subprocess.Popen]:
    """One dist_train.sh per node, on one machine."""
    port = str(free_port())
    environment = {**os.environ, 'PYTHON': sys.executable, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', **variables}
    command = ['bash', str(ROOT / 'dist_train.sh'), str(processes), str(root / 'options.yml'), '--device', 'cpu']
    result = []
    for node in range(nodes):
        meeting = (
            {'NNODES': str(nodes), 'NODE_RANK': str(node), 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': port}
            if nodes > 1
            else {}
        )
        with (root / f'node{node}.txt').open('w') as output:
            started = subprocess.Popen(
                command, env=environment | meeting, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        result.append(started)
    return result


@pytest.fixture
def _bash() -> None:
    if shutil.which('bash') is None:
        pytest.skip('there is no bash here')


@pytest.mark.usefixtures('_bash')
def test_two_agents_on_one_machine_are_two_nodes(tmp_path: Path) -> None:
    write_clips(tmp_path)
    write_options(tmp_path, datasets__train__batch_size_per_gpu=1, train__total_iter=2, train__fix_flow=1)
    codes = [agent.wait(120) for agent in agents(tmp_path, 2, 1)]
    output = [(tmp_path / f'node{n}.txt').read_text() for n in range(2)]
    assert codes == [0, 0], output
    assert 'on cpu × 2' in output[0]
    assert 'finished after 2 iterations' in output[0]
    assert 'iter 2/2' not in output[1], 'rank 0 alone reports'


@pytest.mark.long
@pytest.mark.usefixtures('_bash')
def test_torchrun_starts_the_run_again_where_it_was(tmp_path: Path) -> None:
    write_clips(tmp_path)
    write_options(tmp_path, datasets__val=None, datasets__train__batch_size_per_gpu=1, train__total_iter=12)
    (agent,) = agents(tmp_path, 1, 2)
    states = tmp_path / 'experiments' / 'tiny' / 'training_states'
    end = time.monotonic() + 100
    while not (states / '2.state').exists():
        assert agent.poll() is None, (tmp_path / 'node0.txt').read_text()
        assert time.monotonic() < end
        time.sleep(0.02)
    os.kill(ranks_of(agent.pid)[1], signal.SIGKILL)
    assert agent.wait(120) == 0, (tmp_path / 'node0.txt').read_text()
    output = (tmp_path / 'node0.txt').read_text()
    assert len(re.findall(r'resuming from \S+/\d+\.state, iteration \d+', output)) == 1
    assert 'finished after 12 iterations' in output
    assert (states / '12.state').exists()
    steps = [
        line.split(',')[0]
        for line in (tmp_path / 'experiments' / 'tiny' / 'metrics.csv').read_text().splitlines()
        if 'train/loss' in line
    ]
    assert steps == [str(n) for n in range(1, 13)]


def ranks_of(agent: int) -> list[int]:
    """Process ids of the training processes, by rank."""
    result = {}
    for pid in Path(f'/proc/{agent}/task/{agent}/children').read_text().split():
        variables = dict(v.split('=', 1) for v in Path(f'/proc/{pid}/environ').read_text().split('\0') if '=' in v)
        if 'RANK' in variables:
            result[int(variables['RANK'])] = int(pid)
    return [result[rank] for rank in sorted(result)]
