"""Several processes give what one process with as large a batch gives."""

import csv
import os
import socket
from pathlib import Path

import pytest
import torch
from helpers.tiny import NETWORK, TinyFlow, write_clips, write_options

from iart import distributed
from iart.errors import UserError
from iart.options import load
from iart.scoring.evaluator import share_out
from iart.training.trainer import Trainer

# Half the network's blocks recomputed in the backward pass, and a flow network that thaws on the way.
SETTINGS = {
    'network_g__drop_path_rate': 0,
    'network_g__use_checkpoint': True,
    'train__total_iter': 4,
    'train__fix_flow': 2,
}

# Cleaning, a discriminator with an optimizer of its own, an average; LR frames are files.
ADVERSARIAL = {
    'model_type': 'VSRGANModel',
    'network_g': {'type': 'RealVSR', 'network': NETWORK, 'num_cleaning_feat': 4, 'num_cleaning_block': 1},
    'network_d': {'type': 'UNetDiscriminatorSN', 'num_in_ch': 3, 'num_feat': 4},
    'datasets__val': None,
    'train__cleaning_opt': {'type': 'L1Loss'},
    'train__gan_opt': {'type': 'GANLoss', 'gan_type': 'vanilla', 'loss_weight': 0.05},
    'train__optim_d': {'type': 'Adam', 'lr': 1e-3},
    'train__grad_clip': 1.0,
}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def rank_main(rank: int, ranks: int, port: int, *options: str) -> None:
    """One process of one or more runs; a spawned process starts without the parent's patches.

    Its weights and buffers after each run are written to ``<options>.rank<rank>``.
    """
    torch.set_num_threads(1)
    os.environ |= {
        'RANK': str(rank),
        'LOCAL_RANK': str(rank),
        'WORLD_SIZE': str(ranks),
        'MASTER_ADDR': '127.0.0.1',
        'MASTER_PORT': str(port),
    }
    import iart.archs.flow

    iart.archs.flow.spynet_class = lambda: TinyFlow
    distributed.launch('pytorch', timeout_minutes=2)
    try:
        for path in options:
            trainer = Trainer(load(path), device=torch.device('cpu'))
            trainer.fit()
            torch.save(trainer.model.state_dict(), f'{path}.rank{rank}')
    finally:
        distributed.leave()


def figures(root: Path, name: str) -> dict[tuple[int, str], float]:
    with (root / 'experiments' / name / 'metrics.csv').open() as file:
        return {(int(r[0]), r[1]): float(r[2]) for r in list(csv.reader(file))[1:]}


def test_two_processes_are_one_with_twice_the_batch(tmp_path, monkeypatch):
    write_clips(tmp_path, clips=3, frames=3)
    monkeypatch.setattr('iart.archs.flow.spynet_class', lambda: TinyFlow)
    Trainer(
        load(write_options(tmp_path, name='one', datasets__train__batch_size_per_gpu=2, **SETTINGS)),
        device=torch.device('cpu'),
    ).fit()
    options = write_options(tmp_path, name='two', datasets__train__batch_size_per_gpu=1, **SETTINGS)
    torch.multiprocessing.spawn(rank_main, args=(2, free_port(), str(options)), nprocs=2)
    one, two = figures(tmp_path, 'one'), figures(tmp_path, 'two')
    assert one.keys() == two.keys()
    for step in range(1, 5):
        assert two[step, 'train/loss'] == pytest.approx(one[step, 'train/loss'], rel=1e-3)
    assert two[4, 'val/held/psnr'] == pytest.approx(one[4, 'val/held/psnr'], abs=0.02)
    saved = [
        torch.load(tmp_path / 'experiments' / n / 'models' / 'net_g_4.pth', weights_only=True)['params']
        for n in ('one', 'two')
    ]
    for name, value in saved[0].items():
        torch.testing.assert_close(saved[1][name], value, atol=1e-3, rtol=1e-3, msg=name)


def test_two_processes_train_one_discriminator(tmp_path, monkeypatch):
    """The losses are those of one process, and both ranks hold the same bits, also where gradients are accumulated."""
    write_clips(tmp_path, clips=3, frames=3)
    monkeypatch.setattr('iart.archs.flow.spynet_class', lambda: TinyFlow)
    one = load(write_options(tmp_path, name='one', datasets__train__batch_size_per_gpu=2, **ADVERSARIAL))
    alone = Trainer(one, device=torch.device('cpu'))
    alone.fit()
    paths = []
    for name, accumulate in (('two', 1), ('accumulated', 2)):
        changes = {'datasets__train__batch_size_per_gpu': 1, 'train__accumulate': accumulate, **ADVERSARIAL}
        path = write_options(tmp_path, name=name, **changes)
        paths.append(str(path.rename(tmp_path / f'{name}.yml')))
    torch.multiprocessing.spawn(rank_main, args=(2, free_port(), *paths), nprocs=2)
    for path in paths:
        ranks = [torch.load(f'{path}.rank{rank}', weights_only=True) for rank in range(2)]
        assert [name for name, value in ranks[0].items() if not torch.equal(value, ranks[1][name])] == []
    one_figures, two_figures = figures(tmp_path, 'one'), figures(tmp_path, 'two')
    for key, value in one_figures.items():
        if key[1].startswith('train/l_'):
            assert two_figures[key] == pytest.approx(value, rel=1e-3), key
    assert {name for _, name in one_figures} >= {'train/l_g_gan', 'train/l_d_real', 'train/l_d_fake'}
    two = torch.load(f'{paths[0]}.rank0', weights_only=True)
    for name, value in alone.model.state_dict().items():
        torch.testing.assert_close(two[name], value, atol=1e-3, rtol=1e-3, msg=name)


@pytest.mark.parametrize('ranks', [1, 2, 3, 5])
def test_every_clip_is_scored_once(ranks):
    shares = share_out([41, 34, 49, 47], ranks)
    assert len(shares) == ranks
    assert sorted(i for share in shares for i in share) == [0, 1, 2, 3]


def test_in_one_process_nothing_needs_a_group():
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    assert distributed.gather('x') == ['x']
    assert distributed.any_rank(True)
    value = {'a': torch.tensor(2.0)}
    assert distributed.mean(value) == value


def test_a_launcher_without_its_variables_is_named(monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    monkeypatch.delenv('SLURM_PROCID', raising=False)
    with pytest.raises(UserError, match=r'dist_train\.sh'):
        distributed.launch('pytorch')
    with pytest.raises(UserError, match='srun'):
        distributed.launch('slurm')
