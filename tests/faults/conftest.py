"""The fault tests share the tiny runs of the other tests. ``python -m pytest tests/faults --long`` runs the slow ones,
too.
"""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from helpers.tiny import TinyFlow, write_clips  # noqa: E402


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with the clips of the tiny run, whose flow network takes no time."""
    monkeypatch.setattr('iart.archs.flow.spynet_class', lambda: TinyFlow)
    write_clips(tmp_path)
    return tmp_path
