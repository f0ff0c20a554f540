"""The folder of a training run: experiments/<name>/{options.yml, train.log, metrics.csv, models/, training_states/,
tb/}.
"""

import time
from pathlib import Path

from iart import distributed, log
from iart.errors import UserError
from iart.files import Lock, remove_unfinished, write_atomically
from iart.options import Options, dump
from iart.training.checkpoints import newest_state, set_aside


class Experiment:
    """Finds or makes the folder of a run and keeps other runs out of it.

    A folder that a former run left is continued (``auto_resume``, or ``path.resume_state`` that lies in it) or renamed,
    never overwritten. Nothing in it is changed before :meth:`begin`, but for files that a killed process left
    unfinished.

    Args:
        options: name and paths.
        auto_resume: go on from the newest whole training state in the folder, if there is one; else from
            ``path.resume_state``, if that is given.

    Raises:
        UserError: another run is writing to the folder, it cannot be written, or its training states are all damaged.
    """

    def __init__(self, options: Options, *, auto_resume: bool = False) -> None:
        self.folder = Path(options.path.experiments_root) / options.name
        self.models, self.states = self.folder / 'models', self.folder / 'training_states'
        self._lock: Lock | None = None
        self.resume_from: Path | None = None
        self._branches_off = False
        problem = None
        if distributed.is_main():  # one rank decides for all, also about failing
            try:
                self._open(options, auto_resume)
            except UserError as error:
                problem = str(error)
            except OSError as error:
                problem = f'{error.filename or self.folder}: cannot be written ({error.strerror})'
        self.resume_from, problem = distributed.from_main((self.resume_from, problem))
        if problem is not None:
            raise UserError(problem)

    def _open(self, options: Options, auto_resume: bool) -> None:
        given = Path(options.path.resume_state) if options.path.resume_state else None
        going_on = auto_resume or (given is not None and given.resolve().is_relative_to(self.folder.resolve()))
        old = None
        if self.folder.exists() and not going_on:
            self._take_lock()
            old = self.folder.with_name(f'{self.folder.name}_archived_{time.strftime("%Y%m%d_%H%M%S")}')
            self.folder.rename(old)
        for folder in (self.folder, self.models, self.states):
            folder.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        log.setup(self.folder / 'train.log')
        if old is not None:
            log.logger.info(
                f'{self.folder} held a former run, which was renamed to {old}; --auto_resume goes on from it instead'
            )
        for folder in (self.folder, self.models, self.states):
            remove_unfinished(folder)
        newest = newest_state(self.states) if auto_resume else None
        self.resume_from = newest or given
        self._branches_off = newest is None and given is not None

    def begin(self, options: Options, step: int) -> None:
        """The run starts at this step: write its options, and keep later training states out of its way."""
        if distributed.is_main():
            if self._branches_off:
                set_aside(self.states, step)
            write_atomically(self.folder / 'options.yml', lambda p: Path(p).write_text(dump(options), encoding='utf-8'))

    def _take_lock(self) -> None:
        """Hold the folder until this process ends, however it ends."""
        if self._lock is not None:
            self._lock.release()
        try:
            self._lock = Lock(self.folder / '.lock')
        except BlockingIOError as error:
            raise UserError(
                f'{self.folder}: another run is writing to this folder; wait for it, or give this one another name'
            ) from error

    def model_file(self, label: int | str) -> Path:
        return self.models / f'net_g_{label}.pth'

    def state_file(self, step: int) -> Path:
        return self.states / f'{step}.state'
