"""Training: :meth:`Trainer.fit` is the table of contents."""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from iart import device as devices
from iart import distributed, log
from iart.archs.building import build_network
from iart.data.building import Batch, build_dataset, build_train_loader
from iart.engine.checkpoints import load_state, prune, save_state
from iart.engine.experiment import Experiment
from iart.engine.optimizers import build_optimizer
from iart.engine.recorder import Recorder
from iart.engine.resuming import check_same_run
from iart.engine.schedules import lr_at
from iart.engine.stopping import StopRequest
from iart.engine.validation import Best, Validator
from iart.errors import OptionsError
from iart.models.vsr_model import VSRModel
from iart.options import Options, dump
from iart.registry import LOSS_REGISTRY, MODEL_REGISTRY, build
from iart.weights import load_weights, write_atomically


class Trainer:
    """Trains the network of the options, from the start or from where a former run was stopped.

    Args:
        options: with a ``train`` section and ``datasets.train``.
        device: where to compute.
        auto_resume: go on from the newest whole training state of the experiment, if there is one.

    Raises:
        OptionsError: sections that training needs are missing.
        DataError, WeightsError: data or weights do not fit; before anything is trained.
    """

    def __init__(self, options: Options, *, device: torch.device, auto_resume: bool = False) -> None:
        if options.train is None or 'train' not in options.datasets:
            raise OptionsError('train and datasets.train: found nothing; wanted both sections, since this is a training run')
        self.options, self.train, self.device = options, options.train, device
        self.experiment = Experiment(options, auto_resume=auto_resume)
        for note in options.notes:
            log.logger.info(note)
        devices.configure(self.train.deterministic)
        torch.manual_seed(options.manual_seed)  # the same first weights on every rank
        train_set = options.datasets['train']
        self.dataset = build_dataset(train_set.section, key='datasets.train', scale=options.scale, seed=options.manual_seed)
        self.validator = Validator(options, device, self.experiment.folder)
        self.model = self._build_model()
        self.optimizer = build_optimizer(self.model, self.train)
        self.scaler = devices.grad_scaler(device, self.train.precision)
        self.ema = self._build_ema() if self.train.ema_decay else None
        self.step = 0
        self.best: Best | None = None
        torch.manual_seed(options.manual_seed + distributed.rank())  # stochastic depth differs between ranks
        if self.experiment.resume_from is not None:
            self._resume(load_state(self.experiment.resume_from))
        self.runner = self._wrap()

    def fit(self) -> None:
        """Train to ``total_iter``, or until the process is asked to stop."""
        total = self.train.total_iter
        self._announce()
        with (
            StopRequest() as stop,
            Recorder(self.experiment.folder, self.options, step=self.step) as self.recorder,
            log.Bar('training', total, unit='it', start=self.step, lines=False) as bar,
        ):
            batches = self._batches()
            self._meter = _Meter(self.step)
            while self.step < total:
                micro_batches = [next(batches) for _ in range(self.train.accumulate)]
                self._meter.data_arrived()
                losses = self.train_step(micro_batches)
                self.step += 1
                bar.advance()
                self._meter.step_done()
                if self._due(self.options.logger.print_freq) or self.step == total:
                    self._report(losses)
                stopping = stop.made(self.device)
                if self._due(self.options.logger.save_checkpoint_freq) or self.step == total or stopping:
                    self.save()
                if stopping and self.step < total:
                    log.logger.info(f'stopped after iteration {self.step:,}; --auto_resume goes on from here')
                    return
                if self._due(self.options.val.val_freq) or self.step == total:
                    self.validate()
                    self._meter.restart(self.step)
        log.logger.info(f'finished after {total:,} iterations; everything is in {self.experiment.folder}')

    def train_step(self, micro_batches: list[Batch]) -> dict[str, Tensor]:
        """One optimiser step over one or more batches whose gradients are averaged; returns the mean of each loss."""
        self._set_rates()
        self.optimizer.zero_grad(set_to_none=True)
        share, losses = 1 / len(micro_batches), dict[str, Tensor]()
        for number, batch in enumerate(micro_batches, 1):
            with self._synchronising(number == len(micro_batches)), devices.autocast(self.device, self.train.precision):
                out = self.runner(batch)
            with self._synchronising(number == len(micro_batches)):
                self.scaler.scale(out['loss'] * share).backward()
            for name in out.keys() - {'output'}:
                losses[name] = losses.get(name, 0) + out[name].detach() * share
        self.model.drop_frozen_gradients(self.step)
        if self.train.grad_clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.train.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema is not None:
            self.ema.update_parameters(self.model.network)
        return losses

    def validate(self) -> None:
        """Score every validation set; keep the weights if they are the best so far."""
        figures = self.validator.run(self.scored_network(), self.step, self.recorder)
        if not figures:
            return
        log.logger.info(f'[{self.step:,}] ' + '  '.join(f'{name} {value:.4f}' for name, value in figures.items()))
        self.recorder.scalars(self.step, {f'val/{name}': value for name, value in figures.items()})
        best = self.validator.better(figures, self.step, self.best)
        if best != self.best:
            self.best = best
            self._write_model('best')

    def scored_network(self) -> nn.Module:
        """The averaged network where there is one and the options want it, else the trained one."""
        return self.ema.module if self.ema is not None and self.options.val.use_ema else self.model.network

    def save(self) -> None:
        """Write weights for use and one state for going on."""
        generators = distributed.gather(devices.rng_state(self.device))
        if not distributed.is_main():
            return
        state = {
            'step': self.step,
            **self._weights(),
            'optimizer': self.optimizer.state_dict(),
            'scaler': self.scaler.state_dict(),
            'generators': generators,
            'best': self.best,
            'options': dump(self.options),
        }
        self._write_model(self.step)
        save_state(self.experiment.state_file(self.step), state)
        prune(self.experiment.states, '*.state', self.options.logger.keep_states)
        prune(self.experiment.models, 'net_g_[0-9]*.pth', self.options.logger.keep_models)
        log.logger.info(f'saved {self.experiment.model_file(self.step)} and its training state')

    def _weights(self) -> dict[str, Any]:
        weights = {'params': self.model.network.state_dict()}
        if self.ema is not None:
            weights['params_ema'] = self.ema.module.state_dict()
        return weights

    def _write_model(self, label: int | str) -> None:
        if distributed.is_main():
            write_atomically(self.experiment.model_file(label), lambda path: torch.save(self._weights(), path))

    def _resume(self, state: Mapping[str, Any]) -> None:
        check_same_run(state, self.options)
        self.step, self.best = state['step'], state['best']
        self.model.network.load_state_dict(state['params'])
        if self.ema is not None:
            self.ema.module.load_state_dict(state.get('params_ema', state['params']))
        self.optimizer.load_state_dict(state['optimizer'])
        self.scaler.load_state_dict(state['scaler'])
        if len(state['generators']) == distributed.world_size():
            devices.set_rng_state(state['generators'][distributed.rank()], self.device)
        log.logger.info(f'going on from {self.experiment.resume_from}, iteration {self.step:,}')

    def _build_model(self) -> VSRModel:
        network = build_network(self.options)
        path = self.options.path
        if path.pretrain_network_g and self.experiment.resume_from is None:
            load_weights(network, path.pretrain_network_g, path.param_key_g or 'params', path.strict_load_g)
        sections = {'l_pix': self.train.pixel_opt, 'l_percep': self.train.perceptual_opt}
        losses = {name: build(LOSS_REGISTRY, section, key=f'train.{name}') for name, section in sections.items() if section}
        if not losses:
            raise OptionsError('train.pixel_opt: found nothing; wanted a loss, such as {type: CharbonnierLoss}')
        section = {'type': self.options.model_type}
        model = build(MODEL_REGISTRY, section, key='model_type', network=network, losses=losses, fix_flow=self.train.fix_flow)
        return model.to(self.device).train()

    def _build_ema(self) -> AveragedModel:
        ema = AveragedModel(self.model.network, multi_avg_fn=get_ema_multi_avg_fn(self.train.ema_decay))
        ema.update_parameters(self.model.network)  # the first update is a copy; the average starts from the first weights
        return ema.requires_grad_(False).eval()

    def _wrap(self) -> nn.Module:
        if self.train.compile:
            self.model.network.compile()
        if not distributed.active():
            return self.model
        return DistributedDataParallel(
            self.model, device_ids=devices.ddp_ids(self.device), broadcast_buffers=False, gradient_as_bucket_view=True
        )

    def _synchronising(self, last: bool) -> AbstractContextManager[None]:
        """Ranks exchange gradients once a step, with the last batch."""
        if last or not isinstance(self.runner, DistributedDataParallel):
            return nullcontext()
        return self.runner.no_sync()

    def _batches(self) -> Iterator[Batch]:
        """Endless batches on the device, from the place in the epoch where ``step`` is."""
        pin = self.options.datasets['train'].pin_memory and devices.pins_memory(self.device)
        loader = build_train_loader(
            self.dataset,
            self.options.datasets['train'],
            seed=self.options.manual_seed,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            start_batch=self.step * self.train.accumulate,
            pin_memory=pin,
        )
        for batch in loader:
            yield {k: v.to(self.device, non_blocking=pin) if isinstance(v, Tensor) else v for k, v in batch.items()}

    def _set_rates(self) -> None:
        for group in self.optimizer.param_groups:
            group['lr'] = lr_at(self.step, group['base_lr'], self.train.scheduler, self.train.warmup_iter)

    def _due(self, every: int | None) -> bool:
        return every is not None and self.step % every == 0

    def _report(self, losses: Mapping[str, Tensor]) -> None:
        """A line on the console and in the log, and the same figures for the recorder."""
        values = {name: value.item() for name, value in distributed.mean(losses).items()}
        per_step, data = self._meter.rates(self.step)
        rate, memory = self.optimizer.param_groups[0]['lr'], devices.peak_memory_mb(self.device)
        left = log.duration((self.train.total_iter - self.step) * per_step)
        shown = '  '.join(f'{name} {value:.4e}' for name, value in values.items() if name != 'loss' or len(values) == 2)
        log.logger.info(
            f'[{self.options.name}] iter {self.step:,}/{self.train.total_iter:,}  lr {rate:.3e}  {shown}  '
            f'{1 / per_step:.2f} it/s  data {data:.3f} s  memory {memory:,.0f} MB  left {left}'
        )
        figures = {**values, 'lr': rate, 'it_per_s': 1 / per_step, 'data_s': data, 'memory_mb': memory}
        self.recorder.scalars(self.step, {f'train/{name}': value for name, value in figures.items()})

    def _announce(self) -> None:
        weights = sum(p.numel() for p in self.model.network.parameters())
        ranks = distributed.world_size()
        clips = self.options.datasets['train'].batch_size_per_gpu * ranks * self.train.accumulate
        log.logger.info(
            f'{self.options.network_g["type"]}, {weights:,} weights, on {self.device} × {ranks}, {self.train.precision}; '
            f'{len(self.dataset):,} training clips, {clips} a step; iterations {self.step:,} to {self.train.total_iter:,}'
        )


class _Meter:
    """Seconds per step and per step's data, since the last question."""

    def __init__(self, step: int) -> None:
        self.restart(step)

    def restart(self, step: int) -> None:
        self._step, self._began, self._waited, self._mark = step, time.monotonic(), 0.0, time.monotonic()

    def data_arrived(self) -> None:
        self._waited += time.monotonic() - self._mark

    def step_done(self) -> None:
        self._mark = time.monotonic()

    def rates(self, step: int) -> tuple[float, float]:
        steps = max(step - self._step, 1)
        per_step, data = (time.monotonic() - self._began) / steps, self._waited / steps
        self.restart(step)
        return max(per_step, 1e-9), data
