"""Trainings of a study: one after the other in this process, or in parallel in processes of their own."""

import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from iart import device as devices
from iart import log
from iart.errors import UserError
from iart.study.runs import perform, read_scores
from iart.study.study_file import Run, StudyPlan
from iart.training.stop_request import StopRequest

_SECONDS_BETWEEN_LOOKS = 0.2


def perform_all(plan: StudyPlan, device: str, processes: int, config: Path, threads: int | None = None) -> None:
    """Train and score every row that has no scores yet.

    Args:
        plan: the study.
        device: name of the device, or several separated by commas, which the trainings share.
        processes: trainings at a time; with 1 on one device they run in this process.
        config: the study file, for the other processes.
        threads: threads of each training on a CPU.

    Raises:
        UserError: a training failed (the others are finished nevertheless), or the study was stopped.
    """
    missing = [run for run in plan.runs() if read_scores(plan, run) is None]
    names = device.split(',')
    if processes == 1 and len(names) == 1:
        for number, run in enumerate(missing, 1):
            log.logger.info(f'training {number} of {len(missing)}: {run.name}')
            perform(plan, run, devices.choose(names[0]))
        return
    options = [*(('--threads', str(threads)) if threads else ())]
    options += ['--force_yml', *plan.overrides] if plan.overrides else []
    places = deque(names[number % len(names)] for number in range(max(processes, len(names))))
    failures = _perform_in_processes(plan, missing, places, [str(config), *options])
    if failures:
        raise UserError(
            f'{len(failures)} trainings failed; run the study again to continue:\n  ' + '\n  '.join(failures)
        )


@dataclass
class _Training:
    """A training in a process of its own.

    Args:
        run: the training.
        place: name of the device that it occupies.
        process: its process, which stops when its standard input is closed, and thereby when this process ends.
        log: the file that it writes to.
    """

    run: Run
    place: str
    process: 'subprocess.Popen[bytes]'
    log: Path

    def stop(self) -> None:
        """Ask the training to finish its step, save, and end."""
        assert self.process.stdin is not None
        self.process.stdin.close()


def _perform_in_processes(plan: StudyPlan, missing: list[Run], places: deque[str], arguments: list[str]) -> list[str]:
    """Run as many trainings at a time as there are places; return a line for each that failed.

    Raises:
        UserError: the study was stopped; its trainings have been saved.
    """
    waiting, running, failures = deque(missing), list[_Training](), list[str]()
    with StopRequest() as stop:
        try:
            while running or (waiting and not stop.made()):
                while waiting and places and not stop.made():
                    running.append(_start(plan, waiting.popleft(), places.popleft(), arguments))
                time.sleep(_SECONDS_BETWEEN_LOOKS)
                if stop.made():
                    for training in running:
                        training.stop()
                for training in [t for t in running if t.process.poll() is not None]:
                    running.remove(training)
                    places.append(training.place)
                    code = training.process.returncode
                    if code and not stop.made():
                        failures.append(f'{training.run.name}: exit code {code}, see {training.log}')
                    log.logger.info(f'{training.run.name}: {_outcome(code, stop.made())}')
            stopped = stop.made()
        finally:
            for training in running:  # after a second request, or an error
                training.process.kill()
                training.process.wait()
    if stopped:
        raise UserError('the study was stopped; run it again to continue')
    return failures


def _outcome(code: int, stopped: bool) -> str:
    if not code:
        return 'done'
    return 'stopped' if stopped else 'failed'


def _start(plan: StudyPlan, run: Run, place: str, arguments: list[str]) -> _Training:
    path = plan.folder / 'logs' / f'{run.name}.log'
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w') as file:
        # In a session of its own: Ctrl-C in a terminal then reaches this process only, which asks each training once.
        process = subprocess.Popen(
            _command(run, place, arguments),
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _Training(run, place, process, path)


def _command(run: Run, place: str, arguments: list[str]) -> list[str]:
    """Return the command line of a training; ``arguments`` are the study file and options of all trainings."""
    study, *options = arguments
    selection = ['--only', run.name, '--device', place, '--stop_with_parent']
    return [sys.executable, '-m', 'iart.study.command', study, *selection, *options]
