"""Stopping on request: finish the step, save, leave with code 0; on a second request, at once."""

import signal
import time
from types import FrameType

from iart import distributed
from iart.log import logger

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Ctrl-C in a terminal reaches torchrun and the processes that train, and torchrun passes it on to them: within so many
# seconds
# that is one request.
_ONE_REQUEST = 2.0


class StopRequest:
    """Catches SIGINT and SIGTERM while it is entered."""

    def __init__(self) -> None:
        self._caught: float | None = None  # when

    def __enter__(self) -> 'StopRequest':
        self._former = {number: signal.signal(number, self._catch) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._caught is not None:
            if now - self._caught > _ONE_REQUEST:
                raise KeyboardInterrupt
            return
        self._caught = now
        logger.info(
            f'{signal.Signals(number).name}: this step is finished and saved, then the run stops; once more stops '
            'at once'
        )

    def made(self) -> bool:
        """Return whether any rank was asked to stop; all ranks get the same answer at the same step."""
        return distributed.any_rank(self._caught is not None)
