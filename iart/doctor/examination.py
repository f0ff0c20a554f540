"""Runs the checks, each in a process of its own: one that crashes or hangs does not hide the others."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iart import log
from iart.doctor import host_checks
from iart.doctor.result import CheckResult
from iart.files import write_text
from iart.version import __version__

_MARK = 'iart-doctor-result '


def examine(device: str, file: Path, variables: Mapping[str, str] | None = None) -> bool:
    """Run every check, show a table, and write the figures.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        file: JSON file to write.
        variables: environment variables for the GPU's checks, which run them on the null device.

    Returns:
        Whether no check is wrong.
    """
    results: dict[str, CheckResult] = {}
    for name, (_, limit) in host_checks.CHECKS.items():
        results[name] = _in_process(name, 'cpu', limit, {})
        log.logger.info(f'{name}: {results[name].verdict}')
    for name, limit in _gpu_limits().items():
        results[name] = _on_gpu(name, device, limit, dict(variables or {}), results)
        log.logger.info(f'{name}: {results[name].verdict}')
    # What was found is of any length, so it belongs in the column that wraps.
    rows = [(f'{n}: {r.detail}' + (f' → {r.remedy}' if r.remedy else ''), r.verdict) for n, r in results.items()]
    log.table('iart doctor', ['check', 'verdict'], rows)
    content = {'iart': __version__, 'null': bool(variables), 'checks': {n: r.as_dict() for n, r in results.items()}}
    write_text(file, json.dumps(content, indent=1))
    log.logger.info(f'wrote {file}; attach it to a report if something is wrong')
    return all(result.verdict != 'wrong' for result in results.values())


def _gpu_limits() -> dict[str, int]:
    from iart.doctor import gpu_checks

    return {name: limit for name, (_, limit) in gpu_checks.CHECKS.items()}


def _on_gpu(
    name: str, device: str, limit: int, variables: dict[str, str], so_far: Mapping[str, CheckResult]
) -> CheckResult:
    from iart.doctor import gpu_checks

    if variables and name in gpu_checks.NEED_VALUES:
        return CheckResult('skipped', 'the null device computes no values')
    unusable = so_far.get('GPU')
    if unusable is not None and unusable.verdict != 'ok':
        return CheckResult('skipped', 'no GPU to check' if unusable.verdict == 'skipped' else 'the GPU cannot be used')
    return _in_process(name, 'auto' if variables else device, limit, variables)


def _in_process(name: str, device: str, limit: int, variables: dict[str, str]) -> CheckResult:
    command = [sys.executable, '-m', 'iart.doctor.examination', name, device]
    begin = time.monotonic()
    try:
        done = subprocess.run(
            command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return CheckResult('wrong', f'not finished after {limit} s', 'a hang: report this with the JSON file')
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if not lines:
        reason = done.stderr.strip().splitlines()[-1:] or [f'ended with code {done.returncode}']
        return CheckResult('wrong', reason[0], 'report this with the JSON file', {'stderr': done.stderr[-4000:]})
    result: dict[str, Any] = json.loads(lines[-1].removeprefix(_MARK))
    result['figures']['seconds'] = round(time.monotonic() - begin, 1)
    return CheckResult(**result)


def _check(name: str, device: str) -> CheckResult:
    """Run one check in this process."""
    if name in host_checks.CHECKS:
        return host_checks.CHECKS[name][0]()
    from iart import device as devices
    from iart.doctor import gpu_checks
    from iart.errors import UserError

    check = gpu_checks.CHECKS[name][0]
    try:
        place = devices.choose(device)
    except UserError as error:
        return CheckResult('wrong', str(error), 'see above')
    if devices.shares_host_memory(place):
        return CheckResult('skipped', 'torch sees no GPU here')
    return check(place)


if __name__ == '__main__':
    print('\n' + _MARK + json.dumps(_check(*sys.argv[1:]).as_dict()))
