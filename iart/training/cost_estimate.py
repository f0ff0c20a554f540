"""``iart estimate``: time and memory of a training run before it starts, without data or weights."""

import inspect
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from iart import device as devices
from iart import log
from iart.archs.stores import streams
from iart.errors import OptionsError
from iart.options import Options
from iart.registry import ARCH_REGISTRY, find
from iart.training.dry_run import DryRun, Load, StepWork
from iart.training.gpu_predictions import Prediction, predict
from iart.training.parameter_groups import discriminator_parameters

FULL_FRAME = (180, 320)  # LR frames of REDS: what FLOPs per frame are published for
_SHARE = 0.9  # of free memory that a step may expect to use
_SECONDS_A_DAY = 86400


@dataclass(frozen=True)
class Change:
    """One thing to change in the options, and what a step then takes.

    Args:
        seconds: of one iteration; the time of a format or a checkpointing that was not run is not known: None.
    """

    what: str
    memory: int
    fits: bool
    seconds: float | None


@dataclass(frozen=True)
class Estimate:
    """What one process of a training run takes.

    Args:
        parameters: of the network.
        flow_parameters: those of the flow network among them.
        discriminator_parameters: of the discriminator; 0 without one.
        flops_per_frame: forward, on the training patch and on a full frame of 320×180; a multiplication with an
            addition is two.
        precision: of the options.
        timed_precision: what memory and time were determined in: ``precision``, or what a processor without
            fp16 computes in instead.
        load: clips, frames and LR side of a step.
        flops_per_step: forward and backward, with what checkpointing computes twice.
        seconds: duration of one iteration.
        timed: the load that was timed; the time of another size follows from its FLOPs.
        clips_per_second: that the loader has to give.
        memory, free: bytes that a step is expected to take on the device, and what is free there.
        changes: ways to take less memory.
        predictions: for GPUs that are not at hand; see :mod:`iart.training.gpu_predictions`.
        notes: what the figures leave out.
    """

    network: str
    device: str
    precision: str
    timed_precision: str
    parameters: int
    flow_parameters: int
    discriminator_parameters: int
    flops_per_frame: dict[str, int]
    load: Load
    flops_per_step: float
    seconds: float
    timed: Load
    total_iter: int
    days: float
    clips_per_second: float
    memory: int
    free: int
    fits: bool
    changes: tuple[Change, ...]
    predictions: tuple[Prediction, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def estimate(options: Options, device: torch.device, *, seconds: float = 15.0) -> Estimate:
    """Count and time training steps on random frames.

    Args:
        options: the options of a training run.
        device: where it is to run.
        seconds: that timing may take, about; the first, small step is done in any case.

    Raises:
        OptionsError: no ``train`` or ``datasets.train`` section, or a clip length that only the data know.
    """
    if options.train is None:
        raise OptionsError('train: got nothing, expected a training run to estimate')
    load, micro_batches = _load(options), options.train.accumulate
    run = DryRun(options, device, precision=devices.native_precision(device, options.train.precision))
    log.logger.info(f'counting the work of {options.network_g["type"]} ...')
    memory, work = run.on_paper()
    free = devices.free_memory(device)
    log.logger.info('timing ...')
    timed, taken = _time(run, load, work, seconds, lambda size: memory.at(size) <= _SHARE * free)
    per_iteration = micro_batches * taken * work.at(load) / work.at(timed)
    expected = memory.at(load)
    network = run.network
    per_frame = {f'{w}x{h}': run.frame_flops((h, w)) for h, w in ((load.side, load.side), FULL_FRAME)}
    rate = per_iteration / work.at(load) / micro_batches
    changes = [
        Change(what, memory.at(smaller), memory.at(smaller) <= _SHARE * free, rate * work.at(smaller) * batches)
        for what, smaller, batches in _smaller(load, micro_batches, options.scale)
    ]
    if expected > _SHARE * free:
        changes = [*_other_ways(options, device, load, free), *changes]
    return Estimate(
        network=options.network_g['type'],
        device=str(device),
        precision=options.train.precision,
        timed_precision=run.precision,
        parameters=sum(p.numel() for p in network.parameters()),
        flow_parameters=sum(p.numel() for p in run.model.flow_parameters()),
        discriminator_parameters=sum(p.numel() for p in discriminator_parameters(run.model)),
        flops_per_frame=per_frame,
        load=load,
        flops_per_step=work.at(load) * micro_batches,
        seconds=per_iteration,
        timed=timed,
        total_iter=options.train.total_iter,
        days=per_iteration * options.train.total_iter / _SECONDS_A_DAY,
        clips_per_second=load.clips * micro_batches / per_iteration,
        memory=expected,
        free=free,
        fits=expected <= _SHARE * free,
        changes=tuple(changes),
        predictions=tuple(predictions(options, load)),
        notes=tuple(_notes(options, timed != load, run.precision)),
    )


def predictions(options: Options, load: Load) -> list[Prediction]:
    """Return what GPUs that are not at hand are predicted to take for a training run.

    Args:
        options: of the run.
        load: what a step computes on.
    """
    assert options.train is not None
    run = DryRun(options, torch.device('cpu'))
    memory, counts = run.on_gpu_paper()
    return predict(
        counts.at(load),
        run.frame_counts(FULL_FRAME, on_gpu=True),
        memory=memory.at(load),
        precision=run.precision,
        tf32=options.train.tf32,
        micro_batches=options.train.accumulate,
        iterations=options.train.total_iter,
    )


def _load(options: Options) -> Load:
    if 'train' not in options.datasets:
        raise OptionsError('datasets.train: got nothing, expected the section with length and size of training clips')
    section = options.datasets['train']
    frames, gt_size = (
        int(section.arguments.get(name, default)) for name, default in (('num_frame', -1), ('gt_size', 256))
    )
    if frames < 1:
        raise OptionsError(
            f'datasets.train.num_frame: got {frames}, expected a number: --force_yml datasets:train:num_frame=15'
        )
    return Load(
        section.batch_size_per_gpu,
        frames * (2 if section.arguments.get('flip_sequence') else 1),
        gt_size // options.scale,
    )


def _time(run: DryRun, load: Load, work: StepWork, seconds: float, fits: Any) -> tuple[Load, float]:
    """Return the largest load whose step fits into time and memory, and its duration."""
    deadline = time.perf_counter() + seconds
    sizes = [Load(1, min(3, load.frames), min(side, load.side)) for side in (32, 64)]
    # One frame has no neighbor to align, so that it costs a little less than its share.
    done = Load(1, 1, min(16, load.side)) if streams(run.network) else sizes[1]
    taken = run.seconds(done)
    for size in dict.fromkeys((*sizes, replace(load, clips=1), load)):
        expected = taken * work.at(size) / work.at(done)
        if work.at(size) < work.at(done) or not fits(size) or time.perf_counter() + 2 * expected > deadline:
            continue
        try:
            run.seconds(size)  # warms up: kernels are chosen, memory is taken
            done, taken = size, run.seconds(size, steps=3 if time.perf_counter() + 3 * expected < deadline else 1)
        except (RuntimeError, MemoryError) as error:
            if not devices.lacks_memory(error, run.device):
                raise
            devices.release_reserve(run.device)
            break
    return done, taken


def _smaller(load: Load, micro_batches: int, scale: int) -> Iterator[tuple[str, Load, int]]:
    """Changes of the load alone: what to write, the load, and how many of it make an iteration."""
    if load.clips > 1:
        batches = micro_batches * load.clips
        yield f'batch_size_per_gpu: 1, accumulate: {batches}', replace(load, clips=1), batches
    if load.frames > 3:
        yield f'num_frame: {load.frames // 2} (frames of a clip)', replace(load, frames=load.frames // 2), micro_batches
    if load.side > 32:
        side = max(32, load.side * 3 // 4 // 8 * 8)
        yield f'gt_size: {side * scale}', replace(load, side=side), micro_batches


def _other_ways(options: Options, device: torch.device, load: Load, free: int) -> Iterator[Change]:
    """Yield changes of how a step is computed; each needs a count of its own."""
    assert options.train is not None
    parameters = inspect.signature(find(ARCH_REGISTRY, options.network_g['type'])).parameters
    trials: list[tuple[str, dict[str, Any], str | None]] = []
    if 'use_checkpoint' in parameters and options.network_g.get(
        'use_checkpoint', parameters['use_checkpoint'].default
    ) in (False, 'none'):
        trials.append(('network_g.use_checkpoint: true', {'use_checkpoint': True}, None))
    if options.train.precision == 'fp32':
        trials.append(('train.precision: bf16', {}, 'bf16'))
    for what, changes, precision in trials:
        memory, _ = DryRun(options, device, changes=changes, precision=precision).on_paper()
        yield Change(what, memory.at(load), memory.at(load) <= _SHARE * free, None)


def _notes(options: Options, scaled: bool, precision: str) -> Iterator[str]:
    assert options.train is not None
    if precision != options.train.precision:
        yield (
            f'this processor has no instructions for {options.train.precision}: memory and time here are those of '
            f'{precision} (--force_yml train:precision={precision})'
        )
    yield 'reading data, validation and the exchange of gradients between processes are not in the time'
    yield 'memory counts tensors; what libraries and kernels take for themselves comes on top (a few hundred MB)'
    if scaled:
        yield (
            'the step was timed on a smaller load and scaled by FLOPs: small loads use a GPU badly, so it may take less'
        )
    if options.train.compile:
        yield 'timed without compilation'
