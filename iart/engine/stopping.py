"""Stopping on request: finish the step, save, leave with code 0; on a second signal, at once."""

import signal
from types import FrameType

import torch

from iart import distributed
from iart.log import logger

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Catches SIGINT and SIGTERM while it is entered."""

    def __init__(self) -> None:
        self._caught = False

    def __enter__(self) -> 'StopRequest':
        self._former = {number: signal.signal(number, self._catch) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self._caught:
            raise KeyboardInterrupt
        self._caught = True
        logger.info(f'{signal.Signals(number).name}: this step is finished and saved, then the run stops; once more stops at once')

    def made(self, device: torch.device) -> bool:
        """Whether any rank was asked to stop; all ranks get the same answer at the same step."""
        return distributed.any_rank(self._caught, device)
