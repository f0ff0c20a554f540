"""Cost of a training run: counts against torch's own counter and real steps, and the command's output."""

import contextlib
import json
import re
from dataclasses import replace

import pytest
import torch
from helpers.tiny import NETWORK, TinyFlow, write_options
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from iart import cli
from iart.archs.builder import build_network
from iart.archs.fusion_backbone import FusionBackbone
from iart.errors import OptionsError
from iart.inference.costs import Allocations
from iart.ops import flops
from iart.options import load
from iart.training import cost_estimate
from iart.training.cost_estimate import estimate
from iart.training.dry_run import DryRun, Load, StepMemory, StepWork
from iart.training.estimate_tables import print_estimate
from iart.training.gpu_predictions import Prediction

CPU = torch.device('cpu')


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setattr('iart.archs.flow.spynet_class', lambda: TinyFlow)
    monkeypatch.setattr('iart.training.dry_run._SIDE', 16)
    unknown = Prediction('V100', None, None, 10**9, True, None, 'no bf16')
    known = Prediction('A100', 0.25, 1.5, 10**9, True, 120.0, 'bandwidth')
    monkeypatch.setattr(cost_estimate, 'predictions', lambda options, load: [unknown, known])


def options_file(root, **changes):
    """Few windows and plain warping: what tensors without data cost is the number of operators."""
    network = {'alignment': {'type': 'FlowWarpAlignment'}, 'window_size': [3, 8, 8], 'drop_path_rate': 0}
    return write_options(root, **{f'network_g__{key}': value for key, value in network.items()}, **changes)


def dry_run(root, **changes):
    return DryRun(load(options_file(root, **changes)), CPU)


def test_counts_without_data_are_those_with_data():
    network = build_network(NETWORK).eval()
    attention = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v)
    }
    measured = []
    for frames in (3, 5):
        with FlopCounterMode(display=False, custom_mapping=attention) as counter, torch.no_grad():
            network(torch.rand(1, frames, 3, 16, 24))
        measured.append(counter.get_total_flops())
    counts = flops.count_frame(network, (16, 24))
    assert flops.total(counts).flops == (measured[1] - measured[0]) // 2
    modules = {module for module, _ in counts}
    assert any('swin_backbone' in module for module in modules)
    assert any('spynet' in module for module in modules)


def test_bytes_of_an_operator_are_what_it_reads_and_writes():
    counts = flops.count(lambda: torch.rand(10, 3).view(3, 10) @ torch.rand(10, 4))
    assert counts['', 'aten.mm'] == flops.Work(flops=2 * 3 * 10 * 4, bytes=4 * (30 + 40 + 12), calls=1)
    assert not any('view' in operator for _, operator in counts)


def test_memory_on_paper_is_what_a_step_allocates(tmp_path, monkeypatch):
    monkeypatch.setattr('iart.training.dry_run._SIDE', 64)  # smaller ones are padded to this for the flow
    size, result = Load(2, 4, 64), []
    for checkpoint in (False, True):
        run = dry_run(tmp_path, network_g__use_checkpoint=checkpoint)
        memory, work = run.on_paper()
        run.step(run.batch(Load(1, 1, 16)))  # creates the optimizer's state
        run._drop_gradients()
        batch = run.batch(size)
        with Allocations() as allocations:
            run.step(batch)
        weights = sum(4 * p.numel() for p in run.model.parameters())
        there_before = 4 * weights + sum(
            4 * value.numel() for value in batch.values()
        )  # with the average and Adam's two moments
        assert memory.at(size) == pytest.approx(allocations.peak + there_before, rel=0.05)
        result.append((memory.at(size), work.at(size)))
    (memory, work), (less_memory, more_work) = result
    assert less_memory < memory
    assert more_work > work


def test_a_backbone_is_executed_once_for_all_frames_and_passes(tmp_path, monkeypatch):
    """What took minutes for the published network takes seconds, with the same FLOPs and nearly the same bytes."""
    run, load_ = dry_run(tmp_path, network_g__use_checkpoint=True), Load(1, 3, 64)
    calls = []
    fuse = FusionBackbone._fuse
    monkeypatch.setattr(FusionBackbone, '_fuse', lambda *args: calls.append(1) or fuse(*args))
    memory, work = run._counted(load_)
    once = len(calls)
    monkeypatch.setattr('iart.training.dry_run.backbones_once', lambda *_: contextlib.nullcontext())
    expected_memory, expected_work = run._counted(load_)
    assert once == 1
    assert len(calls) - once == 4 * 3
    assert flops.total(work).flops == flops.total(expected_work).flops
    assert flops.total(work).bytes == pytest.approx(flops.total(expected_work).bytes, rel=0.05)
    assert memory == pytest.approx(expected_memory, rel=0.05)


def test_what_does_not_fit_gets_advice(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cost_estimate.devices, 'free_memory', lambda device: 2**20)
    monkeypatch.setattr(DryRun, 'on_paper', lambda self: (StepMemory(1e6, -10, 2_000), StepWork(-1e3, 3e5)))
    result = estimate(
        load(options_file(tmp_path, datasets__train__num_frame=6, datasets__train__gt_size=256)), CPU, seconds=0
    )
    assert not result.fits
    assert [change.what.split(':')[0] for change in result.changes] == [
        'network_g.use_checkpoint',
        'train.precision',
        'batch_size_per_gpu',
        'num_frame',
        'gt_size',
    ]
    assert all(change.memory < result.memory for change in result.changes[2:])
    assert result.timed == Load(1, 1, 16)
    print_estimate(result)
    shown = capsys.readouterr().out
    assert 'days in all' in shown
    assert 'Ways to less memory' in shown
    assert 'PREDICTED for GPUs, not measured' in shown
    rows = [line.replace('│', ' ').split() for line in shown.splitlines()]
    assert [row[:3] for row in rows if row[:1] in (['V100'], ['A100'])] == [
        ['V100', '–', '–'],
        ['A100', '0.25', '1.50'],
    ]


def test_a_recipe_for_gpus_on_a_cpu(tmp_path, monkeypatch, capsys):
    """Timed in what the processor has instructions for; months there are no answer, so the GPUs come first."""
    monkeypatch.setattr(cost_estimate.devices, 'native_precision', lambda device, precision: 'bf16')
    monkeypatch.setattr(DryRun, 'on_paper', lambda self: (StepMemory(1e6, 0, 2_000), StepWork(0, 3e5)))
    monkeypatch.setattr(DryRun, 'frame_flops', lambda self, side: 10**9)
    result = estimate(load(options_file(tmp_path, train__precision='fp16')), CPU, seconds=0)
    assert any('no instructions for fp16: memory and time here are those of bf16' in note for note in result.notes)
    for days in (1.0, 1000.0):
        print_estimate(replace(result, days=days))
        shown = capsys.readouterr().out
        assert '16×16, fp16' in shown
        assert re.search('timed.* 16×16, bf16', shown)
        assert (shown.index('A100') < shown.index('days in all')) == (days > 100)


def test_the_command(tmp_path, capsys):
    path = options_file(tmp_path, datasets__train__flip_sequence=True)
    cli.main(['estimate', str(path), '--device', 'cpu', '--json', '--seconds', '5'])
    result = json.loads(capsys.readouterr().out)
    assert result['load'] == {'clips': 2, 'frames': 4, 'side': 16}
    assert result['parameters'] == sum(p.numel() for p in build_network(load(path)).parameters())
    assert result['days'] == pytest.approx(result['seconds'] * 4 / 86400)
    assert result['fits']
    assert [prediction['gpu'] for prediction in result['predictions']] == ['V100', 'A100']


def test_an_adversarial_step_is_counted_whole(tmp_path, monkeypatch):
    """Cleaning, discriminator and VGG features, whose weights are not read."""
    monkeypatch.setattr('torch.hub.load_state_dict_from_url', lambda *_, **__: pytest.fail('weights were fetched'))
    cleaned = {'type': 'RealVSR', 'network': {'type': 'BasicVSR', 'num_feat': 4, 'num_block': 1}}
    cleaned |= {'num_cleaning_feat': 4, 'num_cleaning_block': 1}
    stages = [
        {'train__cleaning_opt': {'type': 'L1Loss'}},
        {
            'model_type': 'VSRGANModel',
            'network_d': {'type': 'UNetDiscriminatorSN', 'num_in_ch': 3, 'num_feat': 4},
            'train__gan_opt': {'type': 'GANLoss', 'gan_type': 'vanilla', 'loss_weight': 0.05},
            'train__optim_d': {'type': 'Adam', 'lr': 1e-3},
        },
        {'train__perceptual_opt': {'type': 'PerceptualLoss', 'layer_weights': {'conv1_2': 1.0}}},
    ]
    changes, load_ = {}, Load(1, 3, 16)
    works, memories = [], []
    for stage in stages:
        changes |= stage
        options = load(write_options(tmp_path, **{'network_g': cleaned, **changes}))
        run = DryRun(options, CPU)
        memory, work = run.on_paper()
        works.append(work.at(load_))
        memories.append(memory.at(load_))
        run.step(run.batch(Load(1, 2, 16)))
    assert works == sorted(works)
    assert memories == sorted(memories)
    discriminator = sum(p.numel() for p in run.model.discriminator.parameters())
    assert memories[1] - memories[0] > 4 * 4 * discriminator  # weights, gradients and two moments
    gt_pixels = 3 * 64 * 64
    layers = 2 * 9 * 64 * (3 + 64) * gt_pixels  # FLOPs of VGG's first two layers
    assert works[2] - works[1] == pytest.approx(3 * layers, rel=0.01)  # of output and ground truth, and backward


def test_mistakes(tmp_path):
    content = load(write_options(tmp_path, datasets__train__num_frame=-1))
    with pytest.raises(OptionsError, match=r'datasets\.train\.num_frame'):
        estimate(content, CPU)


def test_flows_kept_on_disk_cost_no_step(tmp_path):
    cache = {'folder': 'flows', 'spynet_path': 'spynet.pth'}
    work = [
        dry_run(tmp_path, **changes).on_paper()[1].at(Load(1, 4, 16))
        for changes in ({}, {'datasets__train__flow_cache': cache, 'train__fix_flow': -1})
    ]
    assert work[1] < work[0]
