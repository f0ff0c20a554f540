"""Reading of windows in worker processes; a file that cannot be read does not end the run."""

import multiprocessing
import os
import signal
import threading
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from iart.errors import DataError, UserError
from iart.processes import end_with_parent

_MOST_TRIES = 10
_REPLACEMENTS = 0x57A9D  # separates these draws from those of crops and flips


class Guarded(Dataset[Any]):
    """Wraps a data set and returns a user's mistake as an item. Raised in a worker, its text would be in a traceback.

    Args:
        dataset: takes (epoch, position).
        unreadable: ``skip`` replaces a window that cannot be read by another one, drawn from (seed, epoch, position),
            so that a resumed run reads the same; its key ``'unreadable'`` has the reasons. ``stop`` returns the
            error.
        seed: seed of the replacements.
    """

    def __init__(self, dataset: Any, unreadable: Literal['stop', 'skip'], seed: int) -> None:
        self.dataset, self.unreadable, self.seed = dataset, unreadable, seed

    def __getitem__(self, window: tuple[int, int]) -> Any:
        try:
            return self.dataset[window]
        except DataError as error:
            return self._replacement(window, error) if self.unreadable == 'skip' else error
        except UserError as error:
            return error

    def _replacement(self, window: tuple[int, int], error: DataError) -> Any:
        reasons = [str(error)]
        for position in (
            np.random.default_rng([_REPLACEMENTS, self.seed, *window])
            .integers(len(self.dataset), size=_MOST_TRIES)
            .tolist()
        ):
            try:
                return {**self.dataset[window[0], position], 'unreadable': reasons}
            except DataError as another:
                reasons.append(str(another))
        return DataError(
            f'{reasons[0]}; {_MOST_TRIES} other windows in its place could not be read either, the last one: '
            f'{reasons[-1]}'
        )


def collate(items: list[Any]) -> Any:
    """Return a batch of items: tensors stacked to (n, ...), everything else as lists of n; the first mistake, if any.

    ``'unreadable'`` exists only if windows could not be read, with one list of reasons for each of them.
    """
    for item in items:
        if isinstance(item, UserError):
            return item
    reasons = [item.pop('unreadable') for item in items if 'unreadable' in item]
    batch = {
        name: torch.stack([item[name] for item in items]) if torch.is_tensor(value) else [item[name] for item in items]
        for name, value in items[0].items()
    }
    return {**batch, 'unreadable': reasons} if reasons else batch


def prepare_worker(worker: int) -> None:
    """Limit a worker to one thread, and leave signals to the process that trains, which ends its workers itself."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    trainer = (
        multiprocessing.parent_process()
    )  # not the parent in the system's sense: that is the server it was forked from
    if trainer is not None and hasattr(signal, 'sigwaitinfo'):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_told_by, args=(trainer.pid,), daemon=True).start()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _end_when_told_by(trainer: int | None) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != trainer:
        pass
    os._exit(0)
