"""Writing of weights and training states during a run, also when the disk is full."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from iart.files import write_atomically
from iart.log import logger
from iart.options import LoggerOptions
from iart.training.checkpoints import prune, save_state
from iart.training.experiment import Experiment


class Saver:
    """Writes the files of one run; for rank 0 only.

    A file that cannot be written is logged as an error; earlier files stay intact, the run continues, and the next save
    tries again.
    """

    def __init__(self, experiment: Experiment, options: LoggerOptions) -> None:
        self.experiment, self.options = experiment, options

    def weights(self, label: int | str, content: Mapping[str, Any]) -> bool:
        """Write ``models/net_g_<label>.pth``; return whether it was written."""
        path = self.experiment.model_file(label)
        return _tried(path, lambda: write_atomically(path, lambda name: torch.save(dict(content), name)))

    def state(self, step: int, content: dict[str, Any]) -> bool:
        """Write ``training_states/<step>.state``, remove all but ``keep_states``; return whether it was written."""
        path = self.experiment.state_file(step)
        done = _tried(path, lambda: save_state(path, content))
        if done:
            prune(self.experiment.states, '*.state', self.options.keep_states)
            prune(self.experiment.models, 'net_g_[0-9]*.pth', self.options.keep_models)
        return done


def _tried(path: Path, write: Callable[[], object]) -> bool:
    try:
        write()
    except (OSError, RuntimeError) as error:  # torch reports a full disk as either of them
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error).split('\n')[0]
        logger.error(
            f'{path} could not be written: {reason}. The run continues; earlier files are intact; the next '
            'save tries again'
        )
        return False
    return True
