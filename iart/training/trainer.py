"""Training: :meth:`Trainer.fit` is the table of contents."""

import math
from collections.abc import Generator
from contextlib import ExitStack, closing
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from iart import device as devices
from iart import distributed, log
from iart.data.batch import Batch
from iart.data.loaders import ClipLoader, build_dataset, build_train_loader
from iart.errors import DataError, OptionsError, UserError
from iart.options import Options
from iart.training.checkpoints import load_state
from iart.training.console import Meter, Reporter
from iart.training.experiment import Experiment
from iart.training.flow_computation import fill_flow_cache
from iart.training.guard import Guard
from iart.training.memory_fallback import within_memory
from iart.training.parameter_groups import build_discriminator_optimizer, build_optimizer
from iart.training.preparation import GradientCheck, build_model, training_clip, try_model
from iart.training.progress import Progress
from iart.training.recorded_step import recorded
from iart.training.recorder import Recorder
from iart.training.replaced import ReplacedWindows
from iart.training.same_run import check_same_run, run_facts
from iart.training.saver import Saver
from iart.training.schedules import lr_at, teacher_weight
from iart.training.state import TrainingState, build_ema
from iart.training.stop_request import StopRequest
from iart.training.validation import Validator


class Trainer:
    """Trains the network of the options, from the start or from where a former run was stopped.

    Args:
        options: with a ``train`` section and ``datasets.train``.
        device: where to compute.
        auto_resume: whether to resume from the newest complete training state of the experiment, if there is one.
        force_resume: whether to resume although network, data or the number of processes have changed, if possible.

    Raises:
        OptionsError: sections that training needs are missing, or the training state is of another run.
        DataError, WeightsError: data or weights do not fit; before anything is trained.
    """

    def __init__(
        self, options: Options, *, device: torch.device, auto_resume: bool = False, force_resume: bool = False
    ) -> None:
        if options.train is None or 'train' not in options.datasets:
            raise OptionsError(
                'train and datasets.train: got nothing, expected both sections, since this is a training run'
            )
        self.options, self.settings, self.device = options, options.train, device
        self.experiment = Experiment(options, auto_resume=auto_resume)
        with ExitStack() as failure:
            failure.callback(self.experiment.release)
            for note in options.notes:
                log.logger.info(note)
            devices.configure(self.settings.deterministic, self.settings.tf32)
            devices.seed(options.manual_seed)  # the same first weights on every rank
            train_set = options.datasets['train']
            self.dataset = build_dataset(
                train_set.section, key='datasets.train', scale=options.scale, seed=options.manual_seed
            )
            fill_flow_cache(self.dataset, device)
            self.facts = run_facts(options, self.dataset, distributed.world_size())
            former = self._former_state(force_resume)
            self.validator = Validator(options, device, self.experiment.folder)
            self.model = build_model(options, device, resumed=former is not None)
            clip = training_clip(self.dataset, train_set.section, options.scale)
            try_model(self.model, options, clip, device)
            self.validator.try_network(self.model.network)
            self.gradient_check = GradientCheck(self.model, obeyed=self._finds_unused)
            self.state = TrainingState(
                network=self.model.network,
                ema=build_ema(self.model.network, self.settings.ema_decay),
                optimizer=build_optimizer(self.model, self.settings),
                scaler=devices.grad_scaler(device, self.settings.precision),
                device=device,
                discriminator=getattr(self.model, 'discriminator', None),
                optimizer_d=build_discriminator_optimizer(self.model, self.settings),
            )
            devices.seed(options.manual_seed + distributed.rank())  # stochastic depth differs between ranks
            self.progress = Progress.of(former or {})
            if former is not None:
                self.state.put_back(former)
                self._set_rates(self.step - 1)  # saved again before the next step, the state is the same
                log.logger.info(f'resuming from {self.experiment.resume_from}, iteration {self.step:,}')
            self.replaced = ReplacedWindows(self.progress, expected=train_set.unreadable == 'skip')
            self.loader = self._build_loader()
            self.guard = Guard(self.settings.skip_limit, self.progress)
            self.meter = Meter(self.step)
            self.reporter = Reporter(options, self.settings, device, self.progress)
            self.losses: dict[str, Tensor] = {}
            self.runner = self._wrap()
            self.gradients = recorded(self._gradients, self.model, device, self.settings.cuda_graphs)
            self.experiment.begin(options, self.step)  # last: nothing above may cost a former run its place
            self.saver = Saver(self.experiment, options.logger)
            self.recorder = Recorder(self.experiment.folder, options, step=self.step, validated=self.progress.validated)
            failure.pop_all()

    @property
    def step(self) -> int:
        """Number of finished iterations."""
        return self.progress.step

    def fit(self) -> None:
        """Train to ``total_iter``, or until the process is asked to stop."""
        total, every = self.settings.total_iter, self.options.logger
        self.reporter.announce(sum(p.numel() for p in self.model.network.parameters()), len(self.dataset))
        with (
            StopRequest() as stop,
            self.recorder,
            log.Bar('training', total, unit='it', start=self.step, lines=False) as bar,
            closing(self._batches()) as batches,
        ):
            self.meter.restart(self.step)
            if self._due(self.options.val.val_freq) and not self.progress.validated:
                self.validate()  # the former run ended before or while it did
            while self.step < total:
                self.train_step(self._next(batches))
                bar.advance()
                self.meter.step_done()
                if self._due(every.print_freq):
                    self.replaced.count()
                    rate, speed = self.state.optimizer.param_groups[0]['lr'], self.meter.rates(self.step)
                    self.reporter.losses(self.losses, rate, speed, self.recorder)
                stopping = stop.made()
                if self._due(every.save_checkpoint_freq) or stopping:
                    self.save(last=stopping or self.step == total)
                if stopping and self.step < total:
                    log.logger.info(f'stopped after iteration {self.step:,}; --auto_resume resumes from here')
                    return
                if self._due(self.options.val.val_freq):
                    self.validate()
        log.logger.info(f'finished after {total:,} iterations; everything is in {self.experiment.folder}')

    def train_step(self, micro_batches: list[Batch]) -> None:
        """Run one optimizer step over one or more batches whose gradients are averaged."""
        self._set_rates(self.step)
        losses = within_memory(lambda: self.gradients(micro_batches), self.model.network, self.device)
        self.gradient_check.after_backward()
        self.model.drop_frozen_gradients(self.step)
        for optimizer in self.state.optimizers:
            self.state.scaler.unscale_(optimizer)
        norms = [
            nn.utils.clip_grad_norm_(g, self.settings.grad_clip or math.inf) for g in self.model.clipped_together()
        ]
        gradient = norms[0] if len(norms) == 1 else torch.stack(norms).norm()
        if self.guard.admits(losses['loss'], gradient, self.state.scaler.get_scale(), micro_batches):
            self.state.update()
        else:
            self.state.leave_out()
        self.losses = losses
        self.progress.advance(sum(len(batch['clip']) for batch in micro_batches) * distributed.world_size())

    def _gradients(self, micro_batches: list[Batch]) -> dict[str, Tensor]:
        """Run forward and backward passes; return losses by name, averaged over the batches."""
        for optimizer in self.state.optimizers:
            optimizer.zero_grad(set_to_none=True)
        share, losses = 1 / len(micro_batches), dict[str, Tensor]()
        teacher = teacher_weight(self.step, self.settings.total_iter, self.settings.teacher_fade)
        for number, batch in enumerate(micro_batches, 1):
            with (
                distributed.synchronizing(self.runner, number == len(micro_batches)),
                devices.autocast(self.device, self.settings.precision),
            ):
                out = self.runner({**batch, 'teacher_weight': teacher})
            with distributed.synchronizing(self.runner, number == len(micro_batches)):
                self.state.scaler.scale(out['loss'] * share).backward()
            for name in out.keys() - {'output'}:
                losses[name] = losses.get(name, 0) + out[name].detach() * share
        return losses

    def validate(self) -> None:
        """Score every validation set; keep the weights if they are the best so far."""
        with devices.changing_sizes():
            figures = self.validator.run(self.scored_network(), self.step, self.recorder)
        self.meter.restart(self.step)
        if not figures:
            return
        log.logger.info(f'[{self.step:,}] ' + '  '.join(f'{name} {value:.4f}' for name, value in figures.items()))
        self.recorder.scalars(self.step, {f'val/{name}': value for name, value in figures.items()})
        best = self.validator.better(figures, self.step, self.progress.best)
        # First the weights, then the state that calls them the best: killed in between, the run scores them again.
        if best != self.progress.best:
            written = distributed.is_main() and self.saver.weights('best', self.state.weights())
            if distributed.from_main(written):  # rank 0 wrote them, or its disk is full: the ranks agree about which
                self.progress.best = best
        self.progress.validated = True
        state = self._snapshot()
        if distributed.is_main():
            self.saver.state(self.step, state)

    def scored_network(self) -> nn.Module:
        """The averaged network where there is one and the options want it, else the trained one."""
        return self.state.ema.module if self.state.ema is not None and self.options.val.use_ema else self.model.network

    def save(self, *, last: bool = False) -> None:
        """Write weights and a training state; a failure is an error only at the end of the run."""
        state = self._snapshot()
        if distributed.is_main():
            if self.saver.weights(self.step, self.state.weights()) and self.saver.state(self.step, state):
                log.logger.info(f'saved {self.experiment.model_file(self.step)} and its training state')
            elif last:
                raise UserError(
                    f'{self.experiment.states}: the run ends here, but its last training state could not be '
                    'written (see above); make room and resume with --auto_resume'
                )

    def _snapshot(self) -> dict[str, Any]:
        """Return everything to resume the run from here; to be called on every rank."""
        self.replaced.count()
        self.recorder.sync()
        return {**self.progress.state(), **self.state.take(), 'facts': self.facts}

    def _former_state(self, forced: bool) -> dict[str, Any] | None:
        """Return the training state that this run resumes from, if any, after checking that it belongs to it."""
        if self.experiment.resume_from is None:
            return None
        state = load_state(self.experiment.resume_from)
        check_same_run(state, self.facts, forced=forced)
        return state

    def _next(self, batches: Generator[Batch]) -> list[Batch]:
        """Return the batches of one step; a file that one rank cannot read ends the run on all, all saved."""
        micro_batches, error = list[Batch](), None
        try:
            micro_batches = [next(batches) for _ in range(self.settings.accumulate)]
        except DataError as mistake:
            error = mistake
        self.meter.data_arrived()
        if distributed.any_rank(error is not None):
            texts = [text for text in distributed.gather(None if error is None else str(error)) if text]
            if self.step:
                self.save(last=True)
            raise DataError(f'iteration {self.step + 1:,}: {"; ".join(texts)}') from error
        return micro_batches

    @property
    def _finds_unused(self) -> bool:
        # After its first step DDP sorts gradients into other buckets, unless it looks for unused parameters. From three
        # ranks on the place in a bucket decides the order of summation, and a resumed run would begin with the first
        # sorting again.
        return self.settings.deterministic or self.options.find_unused_parameters

    def _wrap(self) -> nn.Module:
        if self.settings.compile:
            self.model.compile_parts()
        if not distributed.active():
            return self.model
        return DistributedDataParallel(
            self.model,
            device_ids=devices.ddp_ids(self.device),
            gradient_as_bucket_view=True,
            find_unused_parameters=self._finds_unused,
            **distributed.CONSTANT_BUFFERS,
        )

    def _build_loader(self) -> ClipLoader:
        """Build the loader, which begins where in the epoch the run has come to."""
        section = self.options.datasets['train']
        ranks = distributed.world_size()
        return build_train_loader(
            self.dataset,
            section,
            seed=self.options.manual_seed,
            rank=distributed.rank(),
            world_size=ranks,
            local_world_size=distributed.local_world_size(),
            start_batch=self.progress.clips // (ranks * section.batch_size_per_gpu),
            pin_memory=section.pin_memory and devices.pins_memory(self.device),
        )

    def _batches(self) -> Generator[Batch]:
        """Yield endless batches on the device, from the run's position in the epoch."""
        pin = self.loader.pin_memory
        for batch in self.loader:
            self.replaced.add(batch.pop('unreadable', []))
            moved = {k: v.to(self.device, non_blocking=pin) if isinstance(v, Tensor) else v for k, v in batch.items()}
            yield cast(Batch, moved)

    def _set_rates(self, step: int) -> None:
        for group in (group for optimizer in self.state.optimizers for group in optimizer.param_groups):
            group['lr'] = lr_at(step, group['base_lr'], self.settings.scheduler, self.settings.warmup_iter)

    def _due(self, every: int | None) -> bool:
        """Return whether something done at intervals, and after the last iteration, is due after this one."""
        last = self.step == self.settings.total_iter
        return self.step > 0 and (last or (every is not None and self.step % every == 0))
