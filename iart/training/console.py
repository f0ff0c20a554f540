"""What a training run says of itself: a line at the start, one every ``print_freq`` iterations, and how fast it is."""

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from iart import device as devices
from iart import distributed, log
from iart.options import Options, TrainOptions
from iart.training.progress import Progress
from iart.training.recorder import Recorder


class Reporter:
    """Lines for the console and the log, and the same figures for the recorder.

    Args:
        options, train: of the run.
        device: whose memory is reported.
        progress: of the run.
    """

    def __init__(self, options: Options, train: TrainOptions, device: torch.device, progress: Progress) -> None:
        self.options, self.train, self.device, self.progress = options, train, device, progress
        self.meter = Meter(progress.step)
        self._stand_ins: list[str] = []

    def announce(self, weights: int, windows: int) -> None:
        """What is trained on what, and from where to where."""
        ranks = distributed.world_size()
        clips = self.options.datasets['train'].batch_size_per_gpu * ranks * self.train.accumulate
        log.logger.info(
            f'{self.options.network_g["type"]}, {weights:,} weights, on {self.device} × {ranks}, '
            f'{self.train.precision}; '
            f'{windows:,} training clips, {clips} a step; iterations {self.progress.step:,} to '
            f'{self.train.total_iter:,}'
        )

    def losses(self, losses: Mapping[str, Tensor], rate: float, recorder: Recorder) -> None:
        """To be called on every rank.

        Args:
            losses: of this rank at the last step.
            rate: learning rate at the last step.
        """
        values = {name: value.item() for name, value in distributed.mean(losses).items()}
        self.count_stand_ins()
        step, (per_step, data) = self.progress.step, self.meter.rates(self.progress.step)
        memory, reserved = devices.peak_memory_mb(self.device), devices.peak_reserved_mb(self.device)
        taken = f'{memory:,.0f} MB' + (f' of {reserved:,.0f} reserved' if reserved else '')
        left = log.duration((self.train.total_iter - step) * per_step)
        shown = '  '.join(f'{name} {value:.4e}' for name, value in values.items() if name != 'loss' or len(values) == 2)
        mishaps = {name: n for name in ('skipped', 'unreadable') if (n := getattr(self.progress, name))}
        log.logger.info(
            f'[{self.options.name}] iter {step:,}/{self.train.total_iter:,}  lr {rate:.3e}  {shown}  '
            f'{1 / per_step:.2f} it/s  data {data:.3f} s  memory {taken}  left {left}'
            + ''.join(f'  {name} {n:,}' for name, n in mishaps.items())
        )
        figures = {**values, 'lr': rate, 'it_per_s': 1 / per_step, 'data_s': data, 'memory_mb': memory, **mishaps}
        if reserved:
            figures['reserved_mb'] = reserved
        recorder.scalars(step, {f'train/{name}': value for name, value in figures.items()})

    def stand_ins(self, reasons: list[list[str]]) -> None:
        """Windows of this rank that others stood in for: why, for each of them."""
        self._stand_ins += [text for own in reasons for text in own]

    def count_stand_ins(self) -> None:
        """Bring together what the ranks could not read; to be called on every rank."""
        if self.options.datasets['train'].unreadable != 'skip':
            return
        told = [text for own in distributed.gather(self._stand_ins) for text in own]
        self.progress.unreadable += len(told)
        for text in dict.fromkeys(told):
            log.once(f'cannot be read; another window stands in: {text}')
        self._stand_ins = []


class Meter:
    """Seconds per step, and how much of them went by waiting for data, since the last question."""

    def __init__(self, step: int) -> None:
        self.restart(step)

    def restart(self, step: int) -> None:
        self._step, self._began, self._waited, self._mark = step, time.monotonic(), 0.0, time.monotonic()

    def data_arrived(self) -> None:
        self._waited += time.monotonic() - self._mark

    def step_done(self) -> None:
        self._mark = time.monotonic()

    def rates(self, step: int) -> tuple[float, float]:
        """Seconds per step, and seconds of waiting for data per step; begins anew."""
        steps = max(step - self._step, 1)
        per_step, data = (time.monotonic() - self._began) / steps, self._waited / steps
        self.restart(step)
        return max(per_step, 1e-9), data
