"""The folder of a training run: experiments/<name>/{options.yml, train.log, metrics.csv, models/, training_states/,
tb/}.
"""

import time
from collections.abc import Callable
from pathlib import Path

from iart import distributed, log
from iart.errors import UserError
from iart.files import Lock, remove_unfinished, write_atomically
from iart.options import Options, dump
from iart.training.checkpoints import newest_state, numbered, set_aside

_ARCHIVED = '_archived_'  # between the name of a run that was moved aside and the time
_WORTHLESS = ('.lock', 'train.log', 'options.yml')


class Experiment:
    """Finds or creates the folder of a run and locks it against other runs.

    A folder that a former run left is continued (``auto_resume``, or ``path.resume_state`` that lies in it) or renamed,
    never overwritten. Nothing in it is changed before :meth:`begin`, but for files that a killed process left
    unfinished: a run that cannot start leaves the former one in its place.

    Args:
        options: name and paths.
        auto_resume: resume from the newest whole training state in the folder, if there is one; else from
            ``path.resume_state``, if that is given.

    Raises:
        UserError: another run is writing to the folder, it cannot be written, its training states are all damaged, or
            there is none to resume from while an archived run of this name has some.
    """

    def __init__(self, options: Options, *, auto_resume: bool = False) -> None:
        self.folder = Path(options.path.experiments_root) / options.name
        self.models, self.states = self.folder / 'models', self.folder / 'training_states'
        self._lock: Lock | None = None
        self.resume_from: Path | None = None
        self._branches_off = self._moves_aside = False
        try:
            self._on_main(lambda: self._open(options, auto_resume))
        except UserError:
            self.release()
            raise
        self.resume_from = distributed.from_main(self.resume_from)

    def _on_main(self, work: Callable[[], None]) -> None:
        """Return rank 0's decision, or raise its error, on all ranks."""
        problem = None
        if distributed.is_main():
            try:
                work()
            except UserError as error:
                problem = str(error)
            except OSError as error:
                problem = f'{error.filename or self.folder}: cannot be written ({error.strerror})'
        problem = distributed.from_main(problem)
        if problem is not None:
            raise UserError(problem)

    def _open(self, options: Options, auto_resume: bool) -> None:
        given = Path(options.path.resume_state) if options.path.resume_state else None
        resumes = auto_resume or (given is not None and given.resolve().is_relative_to(self.folder.resolve()))
        self._moves_aside = not resumes and _holds_a_run(self.folder)
        if self.folder.exists():
            self._take_lock()
            for folder in (self.folder, self.models, self.states):
                remove_unfinished(folder)
        newest = newest_state(self.states) if auto_resume else None
        if auto_resume and newest is None and given is None and not distributed.restarted():
            self._refuse_beside_archived()
        self.resume_from = newest or given
        self._branches_off = newest is None and given is not None
        if self.folder.exists() and not self._moves_aside:
            log.setup(self.folder / 'train.log')
        else:
            log.hold()

    def _refuse_beside_archived(self) -> None:
        """Raise instead of starting at iteration 0 if ``--auto_resume`` was meant for a run that was moved aside."""
        for archived in sorted(self.folder.parent.glob(f'{self.folder.name}{_ARCHIVED}*'), reverse=True):
            count = len(numbered(archived / 'training_states', '*.state'))
            if count:
                away = f'mv {self.folder} {self.folder}_unused && ' if self.folder.exists() else ''
                raise UserError(
                    f'--auto_resume: got no training state in {self.folder}, but {count} in {archived}, which is a '
                    f'former run of this name.\n  To resume that one:  {away}mv {archived} {self.folder}\n'
                    '  To begin a new run, leave --auto_resume out'
                )

    def begin(self, options: Options, step: int) -> None:
        """Start the run at this step, as the last thing before it trains: move a former run aside, write the options,
        and rename later training states; to be called on every rank.

        Raises:
            UserError: the folder cannot be written, or another run has begun in it.
        """
        self._on_main(lambda: self._begin(options, step))

    def _begin(self, options: Options, step: int) -> None:
        archived = None
        if self._moves_aside:
            archived = self.folder.with_name(f'{self.folder.name}{_ARCHIVED}{time.strftime("%Y%m%d_%H%M%S")}')
            self.folder.rename(archived)
        for folder in (self.folder, self.models, self.states):
            folder.mkdir(parents=True, exist_ok=True)
        if archived is not None or self._lock is None:
            self._take_lock()
        log.setup(self.folder / 'train.log')
        if archived is not None:
            log.logger.info(
                f'{self.folder} held a former run, which is now {archived}. To resume that one instead, stop this '
                f'run, then:  mv {self.folder} {self.folder}_unused && mv {archived} {self.folder}  and start with '
                '--auto_resume'
            )
        if self._branches_off:
            set_aside(self.states, step)
        write_atomically(self.folder / 'options.yml', lambda p: Path(p).write_text(dump(options), encoding='utf-8'))

    def release(self) -> None:
        """Let other runs write to the folder; without this, it is kept from them until this process ends."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _take_lock(self) -> None:
        """Lock the folder until this process ends."""
        self.release()
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


def _holds_a_run(folder: Path) -> bool:
    """Return whether the folder contains files of a run other than its lock, log and options."""
    return any(path.is_file() and path.name not in _WORTHLESS for path in folder.rglob('*'))
