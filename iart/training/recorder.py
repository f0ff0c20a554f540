"""Recorder of a training run's figures: metrics.csv, TensorBoard and, optionally, Weights & Biases."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from iart import distributed
from iart.errors import OptionsError, UserError
from iart.options import Options
from iart.training.metrics_file import MetricsFile
from iart.training.tensorboard import Board


class Recorder:
    """Writes scalars and sample frames; rank 0 only, silent elsewhere. A context manager.

    Args:
        folder: the experiment's folder.
        options: the run's options, which choose TensorBoard and Weights & Biases.
        step: the step that the run resumes from: what a stopped run wrote beyond it is removed, so that nothing is
            recorded twice.
        validated: whether the scores of that step are recorded already; if not, they are removed as well.

    Raises:
        OptionsError: ``logger.wandb.project`` is given but wandb is not installed.
        UserError: the files cannot be written.
    """

    def __init__(self, folder: Path, options: Options, *, step: int = 0, validated: bool = False) -> None:
        self._file: MetricsFile | None = None
        self._board: Board | None = None
        self._wandb: Any = None
        if not distributed.is_main():
            return
        try:
            self._file = MetricsFile(folder / 'metrics.csv', step=step, validated=validated)
            if options.logger.use_tb_logger:
                self._board = Board(folder / 'tb', purge_from=step, again=self._file.last)
        except OSError as error:
            raise UserError(f'{error.filename or folder}: cannot be written ({error.strerror})') from error
        if options.logger.wandb.project:
            self._wandb = _start_wandb(options, folder)

    def __enter__(self) -> 'Recorder':
        return self

    def __exit__(self, *_: object) -> None:
        for sink in (self._file, self._board):
            if sink is not None:
                sink.close()
        if self._wandb is not None:
            self._wandb.finish()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record figures that belong to ``step``, under names such as ``train/l_pix`` or ``val/REDS4/psnr``."""
        if self._file is None:
            return
        rows = [(step, name, repr(float(value))) for name, value in values.items()]
        self._file.append(rows)
        if self._board is not None:
            self._board.scalars(rows)
        if self._wandb is not None:
            self._wandb.log(dict(values), step=step)

    def image(self, step: int, name: str, frame: np.ndarray) -> None:
        """Record a (h, w, 3) uint8 RGB frame."""
        if self._board is not None:
            self._board.image(step, name, frame)

    def sync(self) -> None:
        """Flush all figures to disk, before a training state that relies on them is written."""
        if self._file is not None:
            self._file.sync()


def _start_wandb(options: Options, folder: Path) -> Any:
    try:
        import wandb
    except ModuleNotFoundError as error:
        raise OptionsError('logger.wandb.project is given, but wandb is not installed: pip install wandb') from error
    wandb_options = options.logger.wandb
    resume = 'must' if wandb_options.resume_id else 'allow'
    os.makedirs(folder, exist_ok=True)
    return wandb.init(
        project=wandb_options.project,
        id=wandb_options.resume_id,
        resume=resume,
        name=options.name,
        dir=str(folder),
        config=options.model_dump(),
    )
