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


THREE = """
import tempfile
from pathlib import Path
from kill_run import finish
from running import make_data, outcome

found = []
with tempfile.TemporaryDirectory() as folder:
    for name, parts in (('whole', (6,)), ('cut', (3, 6))):
        root = make_data(Path(folder) / name)
        for total in parts:
            codes = finish(root, 3, train__total_iter=total, train__accumulate=1, train__fix_flow=1, datasets__val=None)
            assert codes == [0, 0, 0], (root / 'output0.txt').read_text()[-3000:]
        found.append(outcome(root, 6))
print('differs:', [k for k in found[0] if k not in ('files', 'models') and found[0][k] != found[1][k]])
"""


@pytest.mark.long
def test_three_processes_resume_exactly_too() -> None:
    """From three on, the place of a gradient in DDP's buckets decides the order of summation."""
    variables = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': f'{HERE.parents[1]}:{HERE}'}
    done = subprocess.run([sys.executable, '-c', THREE], capture_output=True, text=True, check=False, env=variables)
    assert 'differs: []' in done.stdout, done.stdout + done.stderr
