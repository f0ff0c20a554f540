"""Training steps on random frames, to measure their time and memory."""

import inspect
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from iart import device as devices
from iart.archs.builder import build_network, without_weight_files
from iart.archs.flow import comes_with_clip
from iart.inference.costs import Allocations
from iart.models.vsr_model import TEACHER_LOSS
from iart.ops import flops
from iart.ops.flops import Counts, Work
from iart.options import Options, TrainOptions
from iart.registry import ARCH_REGISTRY, SMALLEST_SIDE, find, vgg_without_weights
from iart.stopwatch import durations
from iart.training.counted_backbones import backbones_once
from iart.training.gpu_on_paper import as_on_gpu
from iart.training.parameter_groups import build_discriminator_optimizer, build_optimizer
from iart.training.preparation import model_around
from iart.training.state import build_ema

# Of the optimizer for each weight: unscaling, norm and clipping of gradients, Adam, the average.
_UPDATE_BYTES, _UPDATE_KERNELS = 60, 100
_SIDE = SMALLEST_SIDE  # LR pixels of clips that work and memory are counted on; flow is estimated on no smaller ones


@dataclass(frozen=True)
class Load:
    """What a process computes on in one step: clips, frames of each, side of the square LR frames."""

    clips: int
    frames: int
    side: int

    @property
    def pixels(self) -> int:
        """Number of LR pixels of one frame of all clips."""
        return self.clips * self.side**2


@dataclass(frozen=True)
class StepMemory:
    """Bytes that a training step takes: ``fixed + pixels·(per_pixel + frames·per_frame_pixel)``."""

    fixed: float
    per_pixel: float
    per_frame_pixel: float

    def at(self, load: Load) -> int:
        return int(self.fixed + load.pixels * (self.per_pixel + load.frames * self.per_frame_pixel))


@dataclass(frozen=True)
class StepWork:
    """FLOPs of a step: ``pixels·(per_pixel + frames·per_frame_pixel)``; what the first frames spare makes ``per_pixel``
    negative.
    """

    per_pixel: float
    per_frame_pixel: float

    def at(self, load: Load) -> float:
        return load.pixels * (self.per_pixel + load.frames * self.per_frame_pixel)


@dataclass(frozen=True)
class StepCounts:
    """Work of a step by operators, from steps of 3 and 5 frames.

    Args:
        few, more: work of the forward and backward passes of one clip of 3 and 5 frames.
        pixels: LR pixels of their frames.
        update: work of the optimizer.
    """

    few: Counts
    more: Counts
    pixels: int
    update: Work

    def at(self, load: Load) -> Counts:
        """Return the work of a step: numbers of calls grow with the frames, FLOPs and bytes with their pixels too."""
        size, frames = load.pixels / self.pixels, load.frames - 3
        counts: Counts = {('', 'optimizer'): self.update}
        for key, most in self.more.items():
            least = self.few.get(key, Work())
            flops, moved, calls = (
                getattr(least, name) + frames * (getattr(most, name) - getattr(least, name)) / 2
                for name in ('flops', 'bytes', 'calls')
            )
            counts[key] = Work(max(0, int(size * flops)), max(0, int(size * moved)), max(0, int(calls)))
        return counts


class DryRun:
    """The trainer's step without data, checkpoints and processes.

    Args:
        options: options of a training run; no weight files are read, neither of the flow network nor of VGG.
        device: the device to compute on.
        changes: keys of ``network_g`` that replace the options' own.
        precision: instead of ``train.precision``.
    """

    def __init__(
        self,
        options: Options,
        device: torch.device,
        *,
        changes: Mapping[str, Any] | None = None,
        precision: str | None = None,
    ):
        assert options.train is not None
        train: TrainOptions = options.train
        section = without_weight_files({**options.network_g, **(changes or {})})
        if 'refine_threshold' in inspect.signature(find(ARCH_REGISTRY, section['type'])).parameters:
            section['refine_threshold'] = 255  # how often frames are cleaned in evaluation is a question about data
        network = build_network(section)
        with vgg_without_weights():
            self.model = model_around(network, options, read_weights=False).to(device).train()
        optimizers = build_optimizer(self.model, train), build_discriminator_optimizer(self.model, train)
        self.optimizers = [optimizer for optimizer in optimizers if optimizer is not None]
        self.precision = precision or train.precision
        self.scaler = devices.grad_scaler(device, self.precision)
        self.ema = build_ema(network, train.ema_decay)
        self.device, self.scale = device, options.scale
        data = options.datasets.get('train')
        self.flow_cache = data is not None and data.arguments.get('flow_cache') is not None

    @property
    def network(self) -> nn.Module:
        return self.model.network

    def batch(self, load: Load) -> dict[str, Tensor]:
        """Return frames of noise that all differ."""
        lq = torch.rand(load.clips, load.frames, 3, load.side, load.side, device=self.device)
        batch = {'lq': lq, 'gt': lq.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)}
        names = ['gt_flows'] if comes_with_clip(getattr(self.network, 'spynet', None)) else []
        names += ['flows'] if self.flow_cache else []
        if TEACHER_LOSS in self.model.losses:
            batch['teacher'] = batch['gt']
        for name in names:
            batch[name] = torch.rand(load.clips, 2, load.frames - 1, 2, load.side, load.side, device=self.device)
        return batch

    def step(self, batch: Mapping[str, Tensor]) -> None:
        """Run forward, losses, backward, optimizers and average."""
        self._drop_gradients()
        with devices.autocast(self.device, self.precision):
            out = self.model(batch)
        self.scaler.scale(out['loss']).backward()
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        if self.ema is not None:
            self.ema.update_parameters(self.network)

    def seconds(self, load: Load, steps: int = 1) -> float:
        """Return the time of the fastest of ``steps`` steps, in seconds."""
        batch = self.batch(load)
        return min(durations(lambda: self.step(batch), steps, self.device))

    def on_paper(self) -> tuple[StepMemory, StepWork]:
        """Estimate memory and FLOPs of a step of any size on this device, from two small steps on tensors without data.

        Raises:
            ValueError, RuntimeError, AssertionError: the network refuses a small clip.
        """
        memory, counts = self._counted_twice(on_gpu=False)
        work, work_more = (flops.total(each).flops for each in (counts.few, counts.more))
        work_per_frame = (work_more - work) / 2
        return memory, StepWork((work - 3 * work_per_frame) / counts.pixels, work_per_frame / counts.pixels)

    def on_gpu_paper(self) -> tuple[StepMemory, StepCounts]:
        """Return memory and work, by operators, of a step of any size on a GPU; the device is a CPU.

        Raises:
            ValueError, RuntimeError, AssertionError: the network refuses a small clip.
        """
        return self._counted_twice(on_gpu=True)

    def _counted_twice(self, *, on_gpu: bool) -> tuple[StepMemory, StepCounts]:
        side = _SIDE
        self.model.eval()  # stochastic depth needs data; its effect on memory and work is small
        try:
            runs = [
                self._counted(Load(1, frames, side), on_gpu=on_gpu) for frames in (3, 5)
            ]  # odd: whether a clip is mirrored is a question about data
        finally:
            self.model.train()
        (peak, few), (peak_more, more) = runs
        weights = sum(_bytes(p) for p in self.model.parameters())
        average = sum(_bytes(p) for p in self.network.parameters()) if self.ema is not None else 0
        gradients = sum(_bytes(p) for p in self.model.parameters() if p.requires_grad)
        fixed = weights + average + 3 * gradients  # gradients and the two moments of Adam
        per_frame = (peak_more - peak) / 2
        memory = StepMemory(fixed, (peak - gradients - 3 * per_frame) / side**2, per_frame / side**2)
        update = Work(0, int(_UPDATE_BYTES * gradients / 4), _UPDATE_KERNELS)
        return memory, StepCounts(few, more, side**2, update)

    def frame_flops(self, side: tuple[int, int]) -> int:
        """Return the FLOPs that one more frame of ``side`` (height, width) means for restoring a long clip."""
        return flops.total(self.frame_counts(side)).flops

    def frame_counts(self, side: tuple[int, int], *, on_gpu: bool = False) -> Counts:
        """Return the work of one more frame by operators.

        Args:
            side: (height, width) in LR pixels.
            on_gpu: whether to count what a GPU computes, in the run's precision, instead of this device in float32.
        """
        counted = []
        training = self.network.training
        self.network.eval()
        for frames in (3, 5):
            with (
                flops.counting() as counting,
                torch.no_grad(),
                Allocations() as allocations,
                as_on_gpu(counting) if on_gpu else nullcontext(),
                devices.autocast(self.device, self.precision if on_gpu else 'fp32'),
                backbones_once(self.network, counting, allocations),
            ):
                self.network(torch.rand(1, frames, 3, *side, device=self.device))
            counted.append(counting.counts)
        self.network.train(training)
        two = flops.difference(counted[1], counted[0])
        return {key: Work(work.flops // 2, work.bytes // 2, work.calls // 2) for key, work in two.items()}

    def _counted(self, load: Load, *, on_gpu: bool = False) -> tuple[int, Counts]:
        """Return the peak of bytes, gradients included, and the work."""
        try:
            with (
                flops.counting() as counting,
                Allocations() as allocations,
                as_on_gpu(counting) if on_gpu else nullcontext(),
                backbones_once(self.network, counting, allocations),
            ):
                batch = self.batch(load)
                with devices.autocast(self.device, self.precision):
                    loss = self.model(batch)['loss']
                loss.backward()
        finally:
            self._drop_gradients()
        return allocations.peak, counting.counts

    def _drop_gradients(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
