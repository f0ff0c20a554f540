"""Steps recorded as CUDA graphs: on a CPU the recorded function is called instead, and nothing may differ."""

import logging

import pytest
import torch
from helpers.tiny import TinyFlow, write_clips, write_options

from iart import device as devices
from iart import distributed
from iart.errors import OptionsError
from iart.options import load
from iart.training import recorded_step
from iart.training.trainer import Trainer

CPU = torch.device('cpu')


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setattr('iart.archs.flow.spynet_class', lambda: TinyFlow)


@pytest.fixture
def recording(monkeypatch):
    """Let the CPU record; returns how often a step was recorded."""
    recorded = []
    monkeypatch.setattr(devices, 'records_graphs', lambda device: True)
    monkeypatch.setattr(devices, 'record', lambda function, device: recorded.append(1) or function)
    return recorded


def train(root, **changes):
    write_clips(root)
    trainer = Trainer(load(write_options(root, datasets__train__flip_sequence=True, **changes)), device=CPU)
    trainer.fit()
    return trainer


def test_a_recorded_run_gives_the_same_bits(tmp_path, recording):
    """With two batches a step, stochastic depth, a flow network that rests and thaws, and clips mirrored in time."""
    changes = {'train__accumulate': 2, 'train__grad_clip': 0.5, 'network_g__depths': [2]}
    plain = train(tmp_path / 'plain', **changes)
    assert not recording
    graphs = train(tmp_path / 'graphs', train__cuda_graphs=True, **changes)
    assert len(recording) == 1, 'all steps are of one kind'
    for name, value in plain.state.take()['params'].items():
        assert torch.equal(graphs.model.network.state_dict()[name], value), name
    assert {k: float(v) for k, v in graphs.losses.items()} == {k: float(v) for k, v in plain.losses.items()}


def test_steps_of_another_kind_are_recorded_apart(tmp_path, recording):
    trainer = train(tmp_path, train__cuda_graphs=True)
    batch = {'lq': torch.rand(1, 2, 3, 16, 16), 'gt': torch.rand(1, 2, 3, 64, 64), 'clip': ['a'], 'frames': [['0']]}
    trainer.gradients([batch])
    mirrored = {**batch, 'lq': torch.cat([batch['lq'][:, :1]] * 2, dim=1)}
    for _ in range(2):
        trainer.gradients([mirrored])
    assert len(recording) == 3


def test_gradients_that_were_dropped_are_there_at_the_next_step(tmp_path, recording):
    trainer = train(tmp_path, train__cuda_graphs=True, train__fix_flow=-1, train__total_iter=2)
    assert all(p.grad is None for p in trainer.model.flow_parameters())


def test_a_cpu_trains_without(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, 'iart'):
        trainer = train(tmp_path, train__cuda_graphs=True, train__total_iter=1)
    assert trainer.step == 1
    assert 'train.cuda_graphs: true has no effect on cpu' in caplog.text


@pytest.mark.parametrize('changes', [{'network_g__use_checkpoint': True}, {'network_g__use_checkpoint': 'auto'}])
def test_steps_that_cannot_be_recorded_are_refused(tmp_path, recording, changes):
    write_clips(tmp_path)
    with pytest.raises(OptionsError, match=r'expected use_checkpoint: none or cuda_graphs: false'):
        Trainer(load(write_options(tmp_path, train__cuda_graphs=True, **changes)), device=CPU)


def test_several_processes_are_refused(monkeypatch, recording):
    monkeypatch.setattr(distributed, 'active', lambda: True)
    monkeypatch.setattr(distributed, 'world_size', lambda: 2)
    with pytest.raises(OptionsError, match='got true with 2 processes'):
        recorded_step.recorded(dict, torch.nn.Identity(), CPU, True)


def test_what_cannot_be_recorded_is_named(tmp_path, monkeypatch):
    def record(function, device):
        raise RuntimeError('CUDA error: operation not permitted when stream is capturing\nmore')

    monkeypatch.setattr(devices, 'records_graphs', lambda device: True)
    monkeypatch.setattr(devices, 'record', record)
    with pytest.raises(OptionsError, match=r'a step of IART cannot be recorded \(CUDA error: operation not permitted'):
        train(tmp_path, train__cuda_graphs=True)
