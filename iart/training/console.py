"""Console output of a training run: a line at the start, one every ``print_freq`` iterations, and its speed."""

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
    """Writes lines to the console and the log, and the same figures to the recorder; changes nothing.

    Args:
        options, train: the options of the run, and their ``train`` section.
        device: the device whose memory is reported.
        progress: progress of the run.
    """

    def __init__(self, options: Options, train: TrainOptions, device: torch.device, progress: Progress) -> None:
        self.options, self.train, self.device, self.progress = options, train, device, progress

    def announce(self, parameters: int, windows: int) -> None:
        """Log what is trained, on how many clips, and from which iteration to which.

        Args:
            parameters: number of parameters of the network.
            windows: number of training clips.
        """
        ranks = distributed.world_size()
        clips = self.options.datasets['train'].batch_size_per_gpu * ranks * self.train.accumulate
        log.logger.info(
            f'{self.options.network_g["type"]}, {parameters:,} parameters, on {self.device} × {ranks}, '
            f'{self.train.precision}; '
            f'{windows:,} training clips, {clips} per step; iterations {self.progress.step:,} to '
            f'{self.train.total_iter:,}'
        )
        devices.warn_of_slow_precision(self.device, self.train.precision)

    def losses(self, losses: Mapping[str, Tensor], rate: float, speed: tuple[float, float], recorder: Recorder) -> None:
        """Report the mean over ranks; to be called on every rank.

        Args:
            losses: losses of this rank at the last step.
            rate: learning rate at the last step.
            speed: seconds per step, and seconds of waiting for data per step (:meth:`Meter.rates`).
            recorder: recorder of the figures.
        """
        values = {name: value.item() for name, value in distributed.mean(losses).items()}
        step, (per_step, data) = self.progress.step, speed
        memory, reserved = devices.peak_memory_mb(self.device), devices.peak_reserved_mb(self.device)
        taken = f'{memory:,.0f} MB' + (f' of {reserved:,.0f} reserved' if reserved else '')
        remaining = log.duration((self.train.total_iter - step) * per_step)
        shown = '  '.join(f'{name} {value:.4e}' for name, value in values.items() if name != 'loss' or len(values) == 2)
        incidents = {name: n for name in ('skipped', 'unreadable') if (n := getattr(self.progress, name))}
        log.logger.info(
            f'[{self.options.name}] iter {step:,}/{self.train.total_iter:,}  lr {rate:.3e}  {shown}  '
            f'{1 / per_step:.2f} it/s  data {data:.3f} s  memory {taken}  left {remaining}'
            + ''.join(f'  {name} {n:,}' for name, n in incidents.items())
        )
        figures = {**values, 'lr': rate, 'it_per_s': 1 / per_step, 'data_s': data, 'memory_mb': memory, **incidents}
        if reserved:
            figures['reserved_mb'] = reserved
        recorder.scalars(step, {f'train/{name}': value for name, value in figures.items()})


class Meter:
    """Measures seconds per step, and how many of them passed waiting for data, since the last report.

    Args:
        step: iterations done when measuring begins.
    """

    def __init__(self, step: int) -> None:
        self._step, self._waited = step, 0.0
        self._began = self._mark = time.monotonic()

    def restart(self, step: int) -> None:
        """Restart the measurement at this step."""
        self._step, self._waited = step, 0.0
        self._began = self._mark = time.monotonic()

    def data_arrived(self) -> None:
        """Mark the time at which the batches of a step are available."""
        self._waited += time.monotonic() - self._mark

    def step_done(self) -> None:
        """Mark the end of a step: from here on, data are waited for."""
        self._mark = time.monotonic()

    def rates(self, step: int) -> tuple[float, float]:
        """Return seconds per step and seconds of waiting for data per step, and begin again."""
        steps = max(step - self._step, 1)
        per_step, data = (time.monotonic() - self._began) / steps, self._waited / steps
        self.restart(step)
        return max(per_step, 1e-9), data
