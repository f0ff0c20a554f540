"""Fixtures shared by all tests."""

from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session', autouse=True)
def _few_threads() -> None:
    """Tests may run side by side; small tensors gain nothing from more threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope='session')
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope='session')
def shared() -> Path:
    """Reference outputs, weights and frames that stand beside a developer's checkout."""
    path = REPOSITORY.parent / 'shared'
    if not path.is_dir():
        pytest.skip('the reference outputs and frames are not beside this checkout (../shared)')
    return path
