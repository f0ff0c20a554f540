"""The tour notebook: its code runs as a script, without Jupyter, in any folder; its stored outputs are those of now."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import make_tour
import numpy as np
import pytest

NOTEBOOK = make_tour.NOTEBOOK
_MOST_BYTES = 600_000


@pytest.fixture(scope='module')
def cells() -> list[dict[str, Any]]:
    return json.loads(NOTEBOOK.read_text(encoding='utf-8'))['cells']


def code_of(cells: list[dict[str, Any]]) -> str:
    return '\n\n'.join(''.join(cell['source']) for cell in cells if cell['cell_type'] == 'code')


def printed(cells: list[dict[str, Any]]) -> str:
    """What the stored outputs print."""
    outputs = [output for cell in cells for output in cell.get('outputs', [])]
    return ''.join(''.join(o['text']) for o in outputs if o['output_type'] == 'stream' and o['name'] == 'stdout')


def test_it_is_stored_with_its_outputs(cells: list[dict[str, Any]]) -> None:
    outputs = [output for cell in cells for output in cell.get('outputs', [])]
    assert not [output for output in outputs if output['output_type'] == 'error' or output.get('name') == 'stderr']
    assert sum('image/png' in output.get('data', {}) for output in outputs) >= 6
    assert NOTEBOOK.stat().st_size < _MOST_BYTES
    assert '../' not in code_of(cells)


def test_it_runs_and_prints_what_is_stored(cells: list[dict[str, Any]], tmp_path: Path) -> None:
    script = tmp_path / 'tour.py'
    script.write_text(code_of(cells), encoding='utf-8')
    (tmp_path / 'elsewhere').mkdir()
    path = os.pathsep.join([str(make_tour.ROOT), os.environ.get('PYTHONPATH', '')])
    run = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path / 'elsewhere',
        env={**os.environ, 'MPLBACKEND': 'Agg', 'PYTHONPATH': path},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    assert not list((tmp_path / 'elsewhere').iterdir())
    stored = printed(cells)
    numbers = re.compile(r'\d[\d,]*\.?\d*')
    assert numbers.sub('', run.stdout).split() == numbers.sub('', stored).split()
    now, then = ([float(n.replace(',', '')) for n in numbers.findall(text)] for text in (run.stdout, stored))
    # Another processor sums in another order: the last digit may differ. Run scripts/make_tour.py after a change.
    np.testing.assert_allclose(now, then, rtol=0, atol=0.02)
