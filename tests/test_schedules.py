"""Learning rates against the formulas they are known by, and what rests when."""

import math

import pytest
import torch

from iart.models.vsr_model import flow_is_frozen
from iart.options import CosineAnnealingRestartLR, MultiStepLR, TrueCosineAnnealingLR
from iart.training.schedules import lr_at, teacher_weight


def test_cosine_is_torchs():
    schedule = TrueCosineAnnealingLR(type='TrueCosineAnnealingLR', T_max=20, eta_min=1e-4)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20, eta_min=1e-4)
    for step in range(20):
        assert lr_at(step, 0.1, schedule) == pytest.approx(optimizer.param_groups[0]['lr'], rel=1e-9)
        optimizer.step()
        reference.step()


def test_cosine_starts_anew_in_each_period():
    schedule = CosineAnnealingRestartLR(
        type='CosineAnnealingRestartLR', periods=(10, 20), restart_weights=(1.0, 0.5), eta_min=0.0
    )
    assert lr_at(0, 1.0, schedule) == 1
    assert lr_at(5, 1.0, schedule) == pytest.approx(0.5)
    assert lr_at(10, 1.0, schedule) == pytest.approx(0, abs=1e-12)
    assert lr_at(11, 1.0, schedule) == pytest.approx(0.5 * (1 + math.cos(math.pi / 20)) / 2)
    assert lr_at(30, 1.0, schedule) == pytest.approx(0, abs=1e-12)


def test_published_recipe_ends_at_its_minimum():
    schedule = CosineAnnealingRestartLR(
        type='CosineAnnealingRestartLR', periods=(300000,), restart_weights=(1.0,), eta_min=1e-7
    )
    assert lr_at(0, 2e-4, schedule) == 2e-4
    assert lr_at(300000, 2e-4, schedule) == pytest.approx(1e-7)
    assert lr_at(150000, 2.5e-5, schedule) == pytest.approx((2.5e-5 + 1e-7) / 2)


def test_steps():
    schedule = MultiStepLR(type='MultiStepLR', milestones=(4, 8), gamma=0.5)
    assert [lr_at(step, 1.0, schedule) for step in (0, 3, 4, 7, 8)] == [1, 1, 0.5, 0.5, 0.25]


def test_steps_with_restarts():
    schedule = MultiStepLR(
        type='MultiStepRestartLR', milestones=(4, 14), gamma=0.5, restarts=(0, 10), restart_weights=(1.0, 0.8)
    )
    assert [lr_at(step, 1.0, schedule) for step in (5, 10, 14)] == [0.5, 0.8, 0.4]


def test_warm_up_rises_linearly():
    schedule = MultiStepLR(type='MultiStepLR', milestones=(100,))
    assert [lr_at(step, 1.0, schedule, 4) for step in (0, 1, 2, 3)] == [0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize(('fix_flow', 'frozen'), [(0, [False, False]), (-1, [True, True]), (5, [True, False])])
def test_flow_rests(fix_flow, frozen):
    assert [flow_is_frozen(step, fix_flow) for step in (4, 5)] == frozen


def test_the_teacher_fades_over_the_end_of_the_run():
    weights = [teacher_weight(step, 90, 1 / 3) for step in (0, 59, 60, 75, 89)]
    assert weights == pytest.approx([1, 1, 1, 0.5, 1 / 30])
    assert teacher_weight(89, 90, 0) == 1
