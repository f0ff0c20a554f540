"""The null device as a fixture: built once for a run of the tests, whatever the number of processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import null_device  # noqa: E402 (found by the line above)


@pytest.fixture(scope='session')
def null_cuda(tmp_path_factory):
    """Environment variables that put a program on the null device; tests are skipped where it cannot be built."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get('PYTEST_XDIST_WORKER') else base
    record = shared / 'null_cuda.json'
    with FileLock(f'{record}.lock'):
        if not record.exists():
            try:
                result = {'variables': null_device.build(shared / 'null_cuda')}
            except null_device.UnavailableError as error:
                result = {'reason': str(error)}
            record.write_text(json.dumps(result))
    result = json.loads(record.read_text())
    if 'reason' in result:
        pytest.skip(result['reason'])
    return result['variables']


@pytest.fixture
def on_null_device(null_cuda, tmp_path):
    """Run a function of scenarios.py in a process on the null device and return what it returns, as JSON carries it."""

    def run(scenario, *arguments, folder=tmp_path, capability='8.0', gigabytes=80, ranks=None, **variables):
        environment = (
            os.environ
            | null_cuda
            | {
                'NULL_CUDA_CAPABILITY': capability,
                'NULL_CUDA_GB': str(gigabytes),
                'OMP_NUM_THREADS': '1',
                'PYTHONPATH': os.pathsep.join(
                    [str(HERE.parents[1]), str(HERE.parent), os.environ.get('PYTHONPATH', '')]
                ),
                **{name: str(value) for name, value in variables.items()},
            }
        )
        command = [sys.executable, str(HERE / 'scenarios.py'), scenario, json.dumps(arguments)]
        processes = []
        for rank in range(ranks or 1):
            this = {'RANK': str(rank), 'LOCAL_RANK': str(rank), 'WORLD_SIZE': str(ranks), 'MASTER_ADDR': '127.0.0.1'}
            processes.append(
                subprocess.Popen(
                    command,
                    env=environment | (this if ranks else {}),
                    cwd=folder,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        results = []
        for process in processes:
            out, error = process.communicate(timeout=600)
            assert process.returncode == 0, f'{scenario}{arguments}: {error[-4000:]}'
            results.append(json.loads(out.strip().splitlines()[-1]))
        return results if ranks else results[0]

    return run
