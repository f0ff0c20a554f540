"""TensorBoard events, each point once."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from iart.log import logger
from iart.training.metrics_file import Row


class Board:
    """Writes events that have left the process as soon as a call returns.

    What cannot be written, because the disk is full, is left out (``metrics.csv`` has every figure); the next call
    begins another event file.

    Args:
        folder: folder of the event files.
        purge_from: readers forget what earlier event files hold from this step on.
        again: rows of that step which are to stay.
    """

    def __init__(self, folder: Path, *, purge_from: int, again: Iterable[Row] = ()) -> None:
        self._folder = folder
        earlier = any(folder.glob('events.*'))
        self._writer: Any = _open(folder, purge_from if earlier else None)
        if earlier:
            self.scalars(again)

    def scalars(self, rows: Iterable[Row]) -> None:
        def write(writer: Any) -> None:
            for step, name, value in rows:
                writer.add_scalar(name, float(value), step)

        self._tried(write)

    def image(self, step: int, name: str, frame: np.ndarray) -> None:
        """A (h, w, 3) uint8 RGB frame."""
        self._tried(lambda writer: writer.add_image(name, frame, step, dataformats='HWC'))

    def close(self) -> None:
        self._tried(lambda writer: writer.close())

    def _tried(self, write: Callable[[Any], None]) -> None:
        try:
            self._writer = self._writer or _open(self._folder, None)
            write(self._writer)
            self._writer.flush()
        except OSError as error:
            self._writer = None
            logger.error(
                f'{self._folder}: these events could not be written and are left out: {error.strerror or error}'
            )


def _open(folder: Path, purge_step: int | None) -> Any:
    from torch.utils.tensorboard import SummaryWriter  # slow to import, and not everyone wants it

    return SummaryWriter(str(folder), purge_step=purge_step)
