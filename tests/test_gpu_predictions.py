"""Predictions for GPUs: the roofline's arithmetic, and what is counted on tensors without data."""

import pytest
import torch
from helpers.tiny import TinyFlow, write_options

from iart.ops.flops import HALF, Work, total
from iart.options import load
from iart.training import gpu_predictions
from iart.training.cost_estimate import predictions
from iart.training.dry_run import DryRun, Load
from iart.training.gpu_predictions import GPUS, Assumptions, Gpu, predict, roofline

ONE = Gpu(fp32=1, tf32=4, half=8, bandwidth=1000, memory=1)
FULL = Assumptions(arithmetic=1.0, bandwidth=1.0, kernel=1e-6, launch=0.0)


@pytest.mark.parametrize(
    ('operator', 'tf32', 'seconds'),
    [
        ('aten.mm', 'conv', 2.0),
        ('aten.mm', 'all', 0.5),
        (f'aten.mm{HALF}', 'off', 0.25),
        ('aten.convolution', 'conv', 0.5),
        ('aten.convolution', 'off', 2.0),
    ],
)
def test_arithmetic_goes_by_precision(operator, tf32, seconds):
    counts = {('', operator): Work(flops=2 * 10**12, bytes=10**9, calls=5)}
    assert roofline(counts, ONE, tf32=tf32, assumed=FULL) == (pytest.approx(seconds), 'arithmetic')


def test_what_takes_longest_decides():
    counts = {('', 'aten.add'): Work(bytes=10**12, calls=10), ('', 'aten.copy_'): Work(bytes=8, calls=10**5)}
    assert roofline(counts, ONE, assumed=FULL) == (pytest.approx(1.1), 'bandwidth')
    slow_host = Assumptions(1.0, 1.0, 1e-6, 1e-4)
    assert roofline(counts, ONE, assumed=slow_host) == (pytest.approx(10.001), 'launches')


def test_a_card_without_bf16_gets_no_figures():
    work = {('', f'aten.mm{HALF}'): Work(10**12, 10**9, 10)}
    result = {
        p.gpu: p
        for p in predict(work, work, memory=30 * 10**9, precision='bf16', tf32='conv', micro_batches=2, iterations=1000)
    }
    assert result['V100'].seconds is None
    assert not result['RTX 4090'].fits
    assert result['A100'].fits
    assert result['H100'].seconds < result['A100'].seconds
    assert result['A100'].days == pytest.approx(result['A100'].seconds * 1000 / 86400)
    assert set(result) == set(GPUS)


def test_a_gpus_computations_are_counted(tmp_path, monkeypatch):
    """Padded heads, border windows and both orders in one call, and attention's own backward pass."""
    monkeypatch.setattr('iart.archs.flow.spynet_class', lambda: TinyFlow)
    monkeypatch.setattr('iart.training.dry_run._SIDE', 32)
    network = {'embed_dim': 20, 'depths': [2], 'num_heads': [2], 'window_size': [3, 8, 8]}
    options = load(
        write_options(tmp_path, train__precision='fp16', **{f'network_g__{k}': v for k, v in network.items()})
    )
    run = DryRun(options, torch.device('cpu'))
    memory, counts = run.on_gpu_paper()
    few = counts.few['', f'attention{HALF}']
    calls = 4 * 3 * 3  # passes, frames; one call for plain windows, two for shifted ones
    assert few.calls == 3 * 2 * calls, 'three kernels, forward and backward'
    _, plain = run._counted(Load(1, 3, 32))
    assert few.calls + total(counts.few).calls < 1.5 * total(plain).calls
    assert memory.at(Load(2, 4, 32)) > memory.at(Load(1, 4, 32)) > 0
    twice = total(counts.at(Load(2, 5, 32)))
    assert twice.calls == pytest.approx(total(counts.more).calls + counts.update.calls)
    assert twice.flops == pytest.approx(2 * total(counts.more).flops, rel=1e-3)
    assert [p.gpu for p in predictions(options, Load(1, 3, 32))] == list(gpu_predictions.GPUS)
