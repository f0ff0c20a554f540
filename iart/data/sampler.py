"""Composition of batches: a pure function of seed, rank and the number of batches already seen."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from iart.errors import DataError


class ClipBatchSampler:
    """Endless batches of (epoch, position), ready to be passed to ``DataLoader(batch_sampler=...)``.

    The order of an epoch is a permutation drawn from (seed, epoch). It is cut into global batches of
    ``batch_size * world_size``; rank r takes the r-th slice of each. So N ranks together see what one process with N
    times the batch sees. Positions left over at the end of an epoch, too few for a global batch, are dropped.

    Args:
        length: number of windows in the data set.
        batch_size: windows per batch and rank.
        rank: number of this process, from 0.
        world_size: number of processes.
        seed: seed of every epoch's order.
        shuffle: whether to shuffle; false for the order of the data set.
        enlarge: passes through the data set in an epoch (``dataset_enlarge_ratio``). Positions run up to
            ``length * enlarge``; a position means window ``position % length``.
        start_batch: number of batches this rank has already seen: iteration begins after them, without reading them.

    Raises:
        DataError: an epoch does not fill one global batch.
    """

    def __init__(
        self,
        length: int,
        *,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
        shuffle: bool = True,
        enlarge: float = 1,
        start_batch: int = 0,
    ) -> None:
        self.positions = math.ceil(length * enlarge)
        self.global_batch = batch_size * world_size
        if batch_size < 1 or not 0 <= rank < world_size:
            raise ValueError(
                f'got batch_size {batch_size}, rank {rank} of {world_size}, expected 1 or more, and a rank below '
                'the number'
            )
        if self.positions < self.global_batch:
            needed = math.ceil(self.global_batch / max(length, 1))
            raise DataError(
                f'the training set has {length} windows (x {enlarge} = {self.positions} per epoch), fewer than a '
                'global batch of '
                f'{self.global_batch}, expected a smaller batch_size_per_gpu, or dataset_enlarge_ratio: {needed} '
                'or more'
            )
        self.batch_size, self.rank, self.seed, self.shuffle, self.start_batch = (
            batch_size,
            rank,
            seed,
            shuffle,
            start_batch,
        )

    @property
    def batches_per_epoch(self) -> int:
        return self.positions // self.global_batch

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return all positions of an epoch in order, before they are divided among ranks."""
        if not self.shuffle:
            return np.arange(self.positions)
        return np.random.default_rng([self.seed, epoch]).permutation(self.positions)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, batch = divmod(self.start_batch, self.batches_per_epoch)
        while True:
            order = self.order(epoch)
            for number in range(batch, self.batches_per_epoch):
                first = number * self.global_batch + self.rank * self.batch_size
                yield [(epoch, position) for position in order[first : first + self.batch_size].tolist()]
            epoch, batch = epoch + 1, 0
