"""The fault tests share the tiny runs of the other tests. ``python -m pytest tests/faults --long`` runs the slow ones,
too.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--long', action='store_true', help='run the slow fault tests, too')


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line('markers', 'long: runs with --long only')


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption('--long', default=False):
        return
    for item in items:
        if item.get_closest_marker('long'):
            item.add_marker(pytest.mark.skip(reason='slow: python -m pytest tests/faults --long'))
