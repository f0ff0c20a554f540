"""``iart doctor``: every check is made or says why not, and one that hangs or crashes does not hide the others."""

import json

import pytest

from iart.cli import main
from iart.doctor import gpu_checks, host_checks, run
from iart.doctor.result import Result


@pytest.fixture
def quick(monkeypatch):
    """Checks answered at once: all are fine, there is no GPU."""
    monkeypatch.setattr(
        run,
        '_in_process',
        lambda name, device, limit, variables: Result('skipped', 'no GPU') if name == 'GPU' else Result('ok', 'fine'),
    )


def test_every_check_is_in_the_file(quick, tmp_path, capsys):
    main(['doctor', '--device', 'cpu', '--json', str(tmp_path / 'figures.json')])
    checks = json.loads((tmp_path / 'figures.json').read_text())['checks']
    assert set(checks) == {*host_checks.CHECKS, *gpu_checks.CHECKS}
    assert checks['memory']['verdict'] == 'ok'
    assert checks['parity']['verdict'] == 'skipped', 'without a GPU there is nothing to compare'


def test_something_wrong_ends_with_code_1(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run, '_in_process', lambda *_: Result('wrong', 'broken', 'mend it'))
    with pytest.raises(SystemExit) as ended:
        main(['doctor', '--json', str(tmp_path / 'figures.json')])
    assert ended.value.code == 1
    assert 'mend it' in ' '.join(capsys.readouterr().out.split())


def test_a_check_that_hangs_and_one_that_does_not_exist_are_reported():
    assert 'not finished after' in run._in_process('memory', 'cpu', 0.01, {}).detail
    assert run._in_process('no such check', 'cpu', 60, {}).verdict == 'wrong'


@pytest.mark.parametrize('name', ['installation', 'BasicSR', 'codecs', 'disk', 'shared memory', 'threads'])
def test_checks_of_the_host(name):
    found = host_checks.CHECKS[name][0]()
    assert found.verdict in ('ok', 'wrong', 'skipped')
    assert found.detail
    assert found.remedy or found.verdict != 'wrong', 'what is wrong comes with a remedy'
