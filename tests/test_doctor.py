"""``iart doctor``: every check runs or reports why not, and one that hangs or crashes does not hide the others."""

import json

import pytest
import torch

from iart.cli import main
from iart.doctor import examination, gpu_checks, host_checks, ranks
from iart.doctor.result import CheckResult


@pytest.fixture
def quick(monkeypatch):
    """Checks answered at once: all are fine, there is no GPU."""
    monkeypatch.setattr(
        examination,
        '_in_process',
        lambda name, device, limit, variables: (
            CheckResult('skipped', 'no GPU') if name == 'GPU' else CheckResult('ok', 'fine')
        ),
    )


def test_every_check_is_in_the_file(quick, tmp_path, capsys):
    main(['doctor', '--device', 'cpu', '--json', str(tmp_path / 'figures.json')])
    checks = json.loads((tmp_path / 'figures.json').read_text())['checks']
    assert set(checks) == {*host_checks.CHECKS, *gpu_checks.CHECKS}
    assert checks['memory']['verdict'] == 'ok'
    assert checks['parity']['verdict'] == 'skipped', 'without a GPU there is nothing to compare'


def test_something_wrong_ends_with_code_1(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(examination, '_in_process', lambda *_: CheckResult('wrong', 'broken', 'mend it'))
    with pytest.raises(SystemExit) as ended:
        main(['doctor', '--json', str(tmp_path / 'figures.json')])
    assert ended.value.code == 1
    assert 'mend it' in ' '.join(capsys.readouterr().out.split())


def test_a_check_that_hangs_and_one_that_does_not_exist_are_reported():
    assert 'not finished after' in examination._in_process('memory', 'cpu', 0.01, {}).detail
    assert examination._in_process('no such check', 'cpu', 60, {}).verdict == 'wrong'


@pytest.mark.parametrize('name', ['installation', 'BasicSR', 'codecs', 'disk', 'shared memory', 'threads'])
def test_checks_of_the_host(name):
    result = host_checks.CHECKS[name][0]()
    assert result.verdict in ('ok', 'wrong', 'skipped')
    assert result.detail
    assert result.remedy or result.verdict != 'wrong', 'what is wrong comes with a remedy'


@pytest.mark.parametrize(
    ('change', 'word'),
    [
        ({}, ''),
        ({'weights': '2.0'}, 'parameters differ between ranks'),
        ({'losses': [0.5, 0.3]}, 'apart from those of one'),
        ({'losses': [float('nan'), 0.25]}, 'apart from those of one'),
        ({'flags': False}, 'flags or objects did not arrive'),
        ({'noticed': 30.0}, 'ranks [0] did not notice a lost process'),
    ],
)
def test_processes_are_compared_with_one(monkeypatch, change, word):
    fine = {'losses': [0.5, 0.25], 'weights': '1.0', 'flags': True, 'noticed': 0.1}
    monkeypatch.setattr(ranks, '_losses_of_one', lambda device, world: [0.5, 0.25])
    monkeypatch.setattr(
        ranks, '_run', lambda kind, world: [{'rank': 0, **fine, **change}, {'rank': 1, **fine, 'noticed': 0.0}]
    )
    result = ranks.processes(torch.device('cpu'))
    assert result.verdict == ('wrong' if word else 'ok')
    assert word in result.detail


def test_a_process_that_fails_is_reported(monkeypatch):
    monkeypatch.setattr(ranks.subprocess, 'Popen', _Ended)
    result = ranks.processes(torch.device('cpu'))
    assert result.verdict == 'wrong'
    assert 'NCCL error: no network' in result.detail


class _Ended:
    """A process that ended with an error."""

    returncode = 1

    def __init__(self, *_, **__):
        self.stdout = self.stderr = None

    def communicate(self, timeout):
        return '', 'NCCL error: no network'

    def kill(self):
        pass

    def wait(self):
        pass
