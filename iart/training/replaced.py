"""Windows that another one replaced, because a file could not be read: counted over all ranks, and named."""

from iart import distributed, log
from iart.training.progress import Progress

_MOST_NAMED = 100  # different files in a log; a disk that fails has more than anyone reads


class ReplacedWindows:
    """Counts the windows that could not be read, with the same total on all ranks.

    Args:
        progress: keeps the count, so that a resumed run continues it.
        expected: whether windows can be replaced at all (``unreadable: skip``); if not, ranks exchange nothing.
    """

    def __init__(self, progress: Progress, *, expected: bool) -> None:
        self.progress, self.expected = progress, expected
        self._reasons: list[str] = []
        self._named: set[str] = set()

    def add(self, reasons: list[list[str]]) -> None:
        """Record why windows of this rank were replaced, as a list of reasons for each."""
        self._reasons += [text for window in reasons for text in window]

    def count(self) -> None:
        """Sum up the records of all ranks since the last call; to be called on every rank."""
        if not self.expected:
            return
        reasons = [text for rank in distributed.gather(self._reasons) for text in rank]
        self._reasons = []
        self.progress.unreadable += len(reasons)
        for text in dict.fromkeys(reasons):
            if text in self._named or len(self._named) >= _MOST_NAMED:
                continue
            self._named.add(text)
            log.logger.info(f'cannot be read; another window replaces it: {text}')
            if len(self._named) == _MOST_NAMED:
                log.logger.info('further files that cannot be read are counted, but not named any more')
