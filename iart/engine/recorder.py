"""What a training run measures, on its way to metrics.csv, TensorBoard and, if asked for, Weights & Biases."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from iart import distributed
from iart.errors import OptionsError
from iart.options import Options
from iart.weights import write_atomically

_COLUMNS = ['iter', 'name', 'value']


class Recorder:
    """Writes scalars and sample frames; rank 0 only, silent elsewhere. A context manager.

    ``metrics.csv`` has a row ``iter,name,value`` per figure.

    Args:
        folder: the experiment's folder.
        options: decides about TensorBoard and Weights & Biases.
        step: the step a run goes on from: what a stopped run wrote beyond it is cut off, so that nothing is
            there twice.

    Raises:
        OptionsError: ``logger.wandb.project`` is given but wandb is not installed.
    """

    def __init__(self, folder: Path, options: Options, *, step: int = 0) -> None:
        self._csv = self._board = self._wandb = None
        if not distributed.is_main():
            return
        path = folder / 'metrics.csv'
        _keep_until(path, step)
        self._csv = path.open('a', newline='', encoding='utf-8')
        self._rows = csv.writer(self._csv)
        if self._csv.tell() == 0:
            self._rows.writerow(_COLUMNS)
        if options.logger.wandb.project:
            self._wandb = _start_wandb(options, folder)
        if options.logger.use_tb_logger:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / 'tb'), purge_step=step + 1 if step else None)

    def __enter__(self) -> 'Recorder':
        return self

    def __exit__(self, *_: object) -> None:
        for sink in (self._csv, self._board):
            if sink is not None:
                sink.close()
        if self._wandb is not None:
            self._wandb.finish()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record figures that belong to ``step``, under names such as ``train/l_pix`` or ``val/REDS4/psnr``."""
        if self._csv is None:
            return
        for name, value in values.items():
            self._rows.writerow([step, name, repr(float(value))])
            if self._board is not None:
                self._board.add_scalar(name, value, step)
        self._csv.flush()
        if self._wandb is not None:
            self._wandb.log(dict(values), step=step)

    def image(self, step: int, name: str, frame: np.ndarray) -> None:
        """Record a (h, w, 3) uint8 RGB frame."""
        if self._board is not None:
            self._board.add_image(name, frame, step, dataformats='HWC')


def _keep_until(path: Path, step: int) -> None:
    """Drop the rows of a metrics file that come after ``step``, and a last row that was cut short."""
    if not path.exists():
        return
    with path.open(newline='', encoding='utf-8') as file:
        rows = list(csv.reader(file))
    kept = [row for row in rows[1:] if len(row) == len(_COLUMNS) and row[0].isdigit() and int(row[0]) <= step]

    def write(name: str) -> None:
        with open(name, 'w', newline='', encoding='utf-8') as file:
            csv.writer(file).writerows([_COLUMNS, *kept])

    write_atomically(path, write)


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
