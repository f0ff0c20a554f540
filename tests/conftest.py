"""Fixtures shared by all tests."""

from pathlib import Path

import cv2
import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--long', action='store_true', help='run the slow tests, too')


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line('markers', 'long: runs with --long only')


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption('--long'):
        return
    for item in items:
        if item.get_closest_marker('long'):
            item.add_marker(pytest.mark.skip(reason='slow: bash scripts/test.sh --long'))


@pytest.fixture(scope='session', autouse=True)
def _few_threads() -> None:
    """Tests may run side by side; small tensors gain nothing from more threads.

    OpenCV must not start any, either: a forked child waits forever when it sets the number of threads that its parent
    has started, and tests that kill a command fork.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


@pytest.fixture(scope='session')
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope='session')
def shared() -> Path:
    """Reference outputs, weights and frames beside a developer's checkout."""
    path = REPOSITORY.parent / 'shared'
    if not path.is_dir():
        pytest.skip('the reference outputs and frames are not beside this checkout (../shared)')
    return path
