"""What does not fit ends as a message before the first iteration, and a former run keeps its place."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import tiny_runs
from helpers.tiny import write_options
from helpers.tiny_runs import train
from rich.console import Console

from iart import distributed, log
from iart.archs.builder import build_network
from iart.archs.probe import show_clip
from iart.data import loaders, shared_memory
from iart.errors import OptionsError, UserError
from iart.models.vsr_model import VSRModel
from iart.optimizers import find_optimizer, optimizer_names
from iart.options import load
from iart.options.train_section import MultiStepLR
from iart.registry import ARCH_REGISTRY, LOSS_REGISTRY, build
from iart.scoring.run_test import run_test
from iart.training import trainer as trainer_module
from iart.training.parameter_groups import build_optimizer
from iart.training.preparation import GradientCheck
from iart.training.schedules import lr_at

CPU = torch.device('cpu')
WORKING = {
    'BasicVSR': {'num_feat': 8, 'num_block': 1},
    'IconVSR': {'num_feat': 8, 'num_block': 1},
    'BasicVSRPlusPlus': {'mid_channels': 8, 'num_blocks': 1},
}
ONE_FRAME = {
    'EDVR': {'num_feat': 8, 'deformable_groups': 2, 'num_extract_block': 1, 'num_reconstruct_block': 1},
    'DUF': {'num_layer': 16},
    'EDSR': {'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1},
}


def start(root, **arguments):
    """Build the trainer and let go of the run's folder."""
    trainer = tiny_runs.build(root, **arguments)
    trainer.experiment._lock.release()
    return trainer


@pytest.mark.parametrize('name', ONE_FRAME)
def test_networks_that_restore_no_clip_are_refused_by_name(name):
    network = build_network({'type': name, **ONE_FRAME[name]})
    frames = 7 if name == 'DUF' else 5
    with pytest.raises(OptionsError, match=f'network_g: {name}'):
        show_clip(network, (64, 64), frames, scale=4, device=CPU)


def test_the_size_that_a_network_refuses_is_named():
    network = build_network({'type': 'BasicVSR', **WORKING['BasicVSR']})
    with pytest.raises(OptionsError, match='network_g: BasicVSR refuses a training clip of 2 frames of 32x32'):
        show_clip(network, (32, 32), 2, scale=4, device=CPU, place='a training clip')


@pytest.mark.parametrize('shape', [(1, 3, 8, 8), (1, 2, 3, 4, 4), (1, 1, 3, 8, 8)])
def test_no_loss_broadcasts(shape):
    class Wrong(torch.nn.Module):
        def forward(self, lq):
            return torch.zeros(shape)

    model = VSRModel(network=Wrong(), losses={'l_pix': build(LOSS_REGISTRY, {'type': 'L1Loss'})})
    with pytest.raises(OptionsError, match=r'network_g: Wrong gives .*, expected \(1, 2, 3, 8, 8\)'):
        model({'lq': torch.zeros(1, 2, 3, 2, 2), 'gt': torch.zeros(1, 2, 3, 8, 8)})


def test_deformable_alignment_is_there_without_a_gpu():
    network = build_network({'type': 'BasicVSRPlusPlus', **WORKING['BasicVSRPlusPlus']})
    assert list(network.deform_align) == ['backward_1', 'forward_1', 'backward_2', 'forward_2']
    network(torch.rand(1, 3, 3, 64, 64)).mean().backward()
    assert all(layer.weight.grad is not None for layer in network.deform_align.values())


@pytest.mark.parametrize(
    ('changes', 'key'),
    [
        ({'network_g': {'type': 'BasicVSR', 'spynet_path': 'missing.pth'}}, r'network_g\.spynet_path'),
        ({'train__pixel_opt': {'type': 'L1Loss', 'reduction': 'avg'}}, r'train\.\w+'),
        ({'train__pixel_opt': {'type': 'L1Loss', 'reduction': 'none'}}, r'train\.pixel_opt'),
        ({'network_g': {'type': 'BasicVSR', 'num_feat': 8, 'num_block': 1}}, r'network_g: BasicVSR refuses'),
    ],
)
def test_components_fail_before_the_first_iteration(root, changes, key):
    with pytest.raises(UserError, match=key):
        start(root, **changes)
    assert not (root / 'experiments').exists(), 'nothing was begun'


def test_a_metric_that_fails_is_named_at_the_start(root):
    val = {'name': 'held', 'type': 'VideoRecurrentTestDataset'}
    val |= {'dataroot_gt': str(root / 'GT'), 'dataroot_lq': str(root / 'LR')}
    metric = {'broken': {'type': 'calculate_psnr', 'crop_border': 100}}
    with pytest.raises(UserError, match=r'val\.metrics\.broken'):
        start(root, datasets__val=val, val__metrics=metric)


def test_a_start_that_fails_leaves_the_former_run_in_its_place(root):
    train(root, train__total_iter=2)
    folder = root / 'experiments' / 'tiny'
    with pytest.raises(UserError):
        start(root, train__pixel_opt={'type': 'L1Loss', 'reduction': 'none'})
    assert [p.name for p in folder.parent.iterdir()] == ['tiny']
    assert start(root, auto_resume=True).step == 2


def test_auto_resume_beside_an_archived_run_stops_and_its_advice_works(root):
    train(root, train__total_iter=2)
    start(root)  # moves the run aside, and has no state of its own
    with pytest.raises(UserError, match='mv ') as caught:
        start(root, auto_resume=True)
    advice = next(line for line in str(caught.value).splitlines() if 'mv ' in line).split(':  ')[1]
    subprocess.run(advice, shell=True, check=True)
    assert start(root, auto_resume=True).step == 2


def test_an_empty_folder_is_not_moved(root):
    (root / 'experiments' / 'tiny' / 'models').mkdir(parents=True)
    start(root)
    assert [p.name for p in (root / 'experiments').iterdir()] == ['tiny']


@pytest.mark.parametrize(
    ('step', 'factor'), [(1, 1.0), (9, 1.0), (10, 0.5), (19, 0.5), (20, 0.25)], ids=lambda value: str(value)
)
def test_the_rate_is_as_given_until_the_first_restart(step, factor):
    schedule = MultiStepLR(type='MultiStepRestartLR', milestones=(99,), restarts=(10, 20), restart_weights=(0.5, 0.25))
    assert lr_at(step, 1e-3, schedule) == pytest.approx(1e-3 * factor)


@pytest.mark.parametrize(
    ('launcher', 'variables', 'named'),
    [
        ('slurm', {'SLURM_PROCID': '0', 'SLURM_NODELIST': 'a'}, 'SLURM_NTASKS is not set'),
        ('slurm', {'SLURM_PROCID': 'x', 'SLURM_NTASKS': '1', 'SLURM_NODELIST': 'a'}, "SLURM_PROCID is 'x'"),
        ('slurm', {'SLURM_PROCID': '0', 'SLURM_NTASKS': '1'}, 'SLURM_NODELIST is not set'),
        ('pytorch', {'RANK': '0'}, 'WORLD_SIZE is not set'),
    ],
)
def test_variables_of_a_launcher_are_looked_at(monkeypatch, launcher, variables, named):
    for name in [n for n in os.environ if n.startswith(('SLURM_', 'MASTER_'))] + ['RANK', 'WORLD_SIZE']:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=named):
        distributed.launch(launcher)


def test_tables_cut_no_figure(monkeypatch):
    monkeypatch.setattr(log, 'console', Console(width=60, file=io.StringIO()))
    metrics = [f'metric_{number}' for number in range(8)]
    log.table('scores', ['clip', *metrics], [['000', *[f'27.123{n}' for n in range(8)]]], footer=['mean', *'abcdefgh'])
    text = log.console.file.getvalue()
    assert '…' not in text
    assert all(f'27.123{n}' in text for n in range(8))


def test_too_little_shared_memory_is_a_message(root, monkeypatch):
    monkeypatch.setattr(shared_memory, '_FOLDER', root)
    usage = type('Usage', (), {'free': 1000})
    monkeypatch.setattr(shared_memory.shutil, 'disk_usage', lambda folder: usage)
    with pytest.raises(UserError, match=r'/dev/shm has .*--shm-size.*num_worker_per_gpu: 0'):
        start(root, datasets__train__num_worker_per_gpu=2)


def test_readers_that_do_not_deliver_end_the_run(root, monkeypatch):
    monkeypatch.setattr(loaders, '_PATIENCE', 0.01)
    with pytest.raises(UserError, match=r'within 0 s.*--shm-size'):
        train(root, datasets__train__num_worker_per_gpu=1)


READERS = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import torch
import iart.archs.flow
from helpers.tiny import TinyFlow, write_clips, write_options
iart.archs.flow.spynet_class = lambda: TinyFlow
from iart.options import load
from iart.training.trainer import Trainer
if __name__ == '__main__':
    root = Path(sys.argv[1])
    write_clips(root)
    changes = dict(train__scheduler__periods=[100000], train__total_iter=100000, datasets__val=None)
    changes |= dict(datasets__train__num_worker_per_gpu=2)
    Trainer(load(write_options(root, **changes)), device=torch.device('cpu')).fit()
"""


def descendants(pid):
    """Return the processes that a process and its children have started, by /proc."""
    parents = {}
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            parents.setdefault(int((folder / 'stat').read_text().rpartition(')')[2].split()[1]), []).append(
                int(folder.name)
            )
        except OSError:
            continue
    children = parents.get(pid, [])
    return children + [below for child in children for below in descendants(child)]


def runs(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='counts processes by /proc')
def test_nothing_outlives_a_trainer_that_is_killed(tmp_path):
    script = tmp_path / 'train_tiny.py'
    script.write_text(READERS.format(tests=str(Path(__file__).parents[1])))
    trainer = subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.DEVNULL)
    try:
        metrics, end = tmp_path / 'experiments' / 'tiny' / 'metrics.csv', time.monotonic() + 120
        while not (metrics.exists() and 'train/loss' in metrics.read_text()):
            assert trainer.poll() is None, 'the run ended'
            assert time.monotonic() < end, 'the run did not start'
            time.sleep(0.05)
        helpers = descendants(trainer.pid)
        assert len(helpers) >= 3, 'a fork server and two readers'
    finally:
        trainer.send_signal(signal.SIGKILL)
        trainer.wait()
    end = time.monotonic() + 20
    while any(map(runs, helpers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert [pid for pid in helpers if runs(pid)] == []


def small_optimizer(name):
    """Return a network of every kind of parameter, and an optimizer by this name as training builds it."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.PReLU(), torch.nn.Conv2d(4, 3, 1))
    model = VSRModel(network=network, losses={'l_pix': build(LOSS_REGISTRY, {'type': 'L1Loss'})})
    section = {'type': name, 'lr': 1e-3, **({'momentum': 0.9} if name == 'timm/sgdw' else {})}
    return network, build_optimizer(model, SimpleNamespace(optim_g=section, flow_lr_mul=1.0))


def take_steps(network, optimizer, steps):
    for step in steps:
        clip = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        network(clip).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize('name', ['timm/adan', 'timm/lion', 'timm/lamb', 'timm/muon', 'timm/adamw', 'timm/sgdw'])
def test_optimizers_of_timm_resume_exactly(name):
    if name not in optimizer_names():
        pytest.skip(f'this version of timm has no {name}')
    whole, cut, resumed = (small_optimizer(name) for _ in range(3))
    take_steps(*whole, range(4))
    take_steps(*cut, range(2))
    file = io.BytesIO()
    torch.save([part.state_dict() for part in cut], file)
    file.seek(0)
    for part, state in zip(resumed, torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    take_steps(*resumed, range(2, 4))
    fresh, _ = small_optimizer(name)
    for a, b, begun in zip(whole[0].parameters(), resumed[0].parameters(), fresh.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, begun)


def test_an_optimizer_that_refuses_its_arguments_is_named():
    with pytest.raises(OptionsError, match=r'train\.optim_g: timm/sgd could not be built: Nesterov'):
        small_optimizer('timm/sgd')


def test_a_wrong_optimizer_lists_those_that_there_are(root):
    assert len(optimizer_names()) > 50
    with pytest.raises(OptionsError, match=r"train\.optim_g\.type.*'timm/adann'.*did you mean 'timm/adan'"):
        load(write_options(root, train__optim_g={'type': 'timm/adann', 'lr': 1e-3}))
    with pytest.raises(OptionsError, match='timm/lion'):
        find_optimizer('SGDD')


def test_a_best_score_whose_weights_cannot_be_written_counts_on_no_rank(root, monkeypatch):
    monkeypatch.setattr('iart.training.saver.Saver.weights', lambda self, label, content: label != 'best')
    val = {'name': 'held', 'type': 'VideoRecurrentTestDataset'}
    val |= {'dataroot_gt': str(root / 'GT'), 'dataroot_lq': str(root / 'LR')}
    asked = []
    monkeypatch.setattr(distributed, 'from_main', lambda item: asked.append(item) or item)
    trainer = train(root, datasets__val=val, train__total_iter=1)
    assert asked[-1] is False, 'rank 0 notified the others'
    assert trainer.progress.best is None


class Idle(torch.nn.Module):
    """A model of which a part gets no gradient."""

    def __init__(self):
        super().__init__()
        self.used, self.idle = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)

    def forward(self, x):
        return self.used(x)


@pytest.mark.parametrize(('ranks', 'obeyed', 'refused'), [(2, False, True), (2, True, False), (1, False, False)])
def test_parameters_without_gradient_are_named(monkeypatch, ranks, obeyed, refused):
    monkeypatch.setattr(distributed, 'world_size', lambda: ranks)
    lines = []
    monkeypatch.setattr(log, 'once', lines.append)
    check = GradientCheck(model := Idle(), obeyed=obeyed)
    model(torch.ones(1, 2)).sum().backward()
    if refused:
        with pytest.raises(OptionsError, match=r'find_unused_parameters: got false.*idle\.weight, idle\.bias'):
            check.after_backward()
    else:
        check.after_backward()
        check.after_backward()
        assert lines == ['2 tensors of parameters get no gradient: idle.weight, idle.bias']


def test_find_unused_parameters_is_obeyed(root, monkeypatch):
    given = {}
    monkeypatch.setattr(trainer_module, 'DistributedDataParallel', lambda model, **how: given.update(how) or model)
    trainer = start(root, train__deterministic=False)
    monkeypatch.setattr(distributed, 'active', lambda: True)
    for value in (False, True):
        trainer.options = SimpleNamespace(find_unused_parameters=value)
        trainer._wrap()
        assert given['find_unused_parameters'] is value


class Middle(torch.nn.Module):
    """A user's network that gives one frame of a window."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, lq):
        return lq[:, lq.shape[1] // 2].repeat_interleave(4, -1).repeat_interleave(4, -2) * self.weight


def test_scoring_shows_a_clip_before_it_plans(root, monkeypatch):
    monkeypatch.setitem(ARCH_REGISTRY._obj_map, 'Middle_iart', Middle)
    torch.save({'params': Middle().state_dict()}, root / 'middle.pth')
    monkeypatch.setattr('iart.inference.restorer.measure', lambda *_: pytest.fail('planned'))
    options = load(write_options(root, network_g={'type': 'Middle'}))
    with pytest.raises(OptionsError, match=r'network_g: Middle gives \(1, 3, 64, 80\), expected \(1, 4, 3, 64, 80\)'):
        run_test(options, device=CPU, weights=str(root / 'middle.pth'))
    with pytest.raises(OptionsError, match=r'network_g: Middle gives .* take a recurrent network'):
        start(root, network_g={'type': 'Middle'})
