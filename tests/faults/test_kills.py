"""kill -9 at random moments. The short part of what ``python tests/faults/kill_run.py`` does 30 times."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize('processes', [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_killed_run_ends_as_the_one_left_alone(processes: int) -> None:
    command = [sys.executable, HERE / 'kill_run.py', '--kills', '2', '--processes', str(processes)]
    variables = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(HERE.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'kills: 2' in done.stdout
    assert 'differs: nothing' in done.stdout
