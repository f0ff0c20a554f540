"""Training steps on frames made up on the spot: how long one takes, and how much memory."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from iart import device as devices
from iart.archs.builder import build_network, without_weight_files
from iart.archs.flow import comes_with_clip
from iart.archs.stores import streams
from iart.inference.costs import Allocations
from iart.models.vsr_model import VSRModel
from iart.ops import flops
from iart.options import Options, TrainOptions
from iart.registry import LOSS_REGISTRY, SMALLEST_SIDE, build
from iart.training.counted_backbones import backbones_once
from iart.training.parameter_groups import build_optimizer
from iart.training.state import build_ema

_SIDE, _SIDE_OF_OTHERS = 32, SMALLEST_SIDE  # LR pixels of the clips that memory is measured on


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


class DryRun:
    """The trainer's step without data, checkpoints and processes.

    Args:
        options: of a training run; the flow network starts without its weight file, a perceptual loss is left out.
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
        network = build_network(section)
        loss = build(LOSS_REGISTRY, train.pixel_opt or {'type': 'CharbonnierLoss'}, key='train.pixel_opt')
        self.model = VSRModel(network=network, losses={'l_pix': loss}, fix_flow=train.fix_flow).to(device).train()
        self.optimizer = build_optimizer(self.model, train)
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
        for name in names:
            batch[name] = torch.rand(load.clips, 2, load.frames - 1, 2, load.side, load.side, device=self.device)
        return batch

    def step(self, batch: Mapping[str, Tensor]) -> None:
        """Run forward, loss, backward, optimizer and average."""
        self.optimizer.zero_grad(set_to_none=True)
        with devices.autocast(self.device, self.precision):
            out = self.model(batch)
        self.scaler.scale(out['loss']).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema is not None:
            self.ema.update_parameters(self.network)

    def seconds(self, load: Load, steps: int = 1) -> float:
        """Return the time of the fastest of ``steps`` steps, in seconds."""
        batch, taken = self.batch(load), []
        for _ in range(steps):
            devices.synchronize(self.device)
            begin = time.perf_counter()
            self.step(batch)
            devices.synchronize(self.device)
            taken.append(time.perf_counter() - begin)
        return min(taken)

    def on_paper(self) -> tuple[StepMemory, StepWork]:
        """Estimate memory and FLOPs of a step of any size from two small steps on tensors without data.

        Raises:
            ValueError, RuntimeError, AssertionError: the network refuses a small clip.
        """
        side = _SIDE if streams(self.network) else _SIDE_OF_OTHERS
        self.model.eval()  # stochastic depth needs data; its effect on memory and work is small
        try:
            runs = [
                self._counted(Load(1, frames, side)) for frames in (3, 5)
            ]  # odd: whether a clip is mirrored is a question about data
        finally:
            self.model.train()
        (peak, work), (peak_more, work_more) = runs
        weights = sum(_bytes(p) for p in self.model.parameters())
        gradients = sum(_bytes(p) for p in self.model.parameters() if p.requires_grad)
        fixed = weights * (2 if self.ema is not None else 1) + 3 * gradients  # gradients and the two moments of Adam
        per_frame, work_per_frame = (peak_more - peak) / 2, (work_more - work) / 2
        memory = StepMemory(fixed, (peak - gradients - 3 * per_frame) / side**2, per_frame / side**2)
        return memory, StepWork((work - 3 * work_per_frame) / side**2, work_per_frame / side**2)

    def frame_flops(self, side: tuple[int, int]) -> int:
        """Return the FLOPs that one more frame of ``side`` (height, width) means for restoring a long clip."""
        counted = []
        training = self.network.training
        self.network.eval()
        for frames in (3, 5):
            with (
                flops.counting() as counting,
                torch.no_grad(),
                Allocations() as allocations,
                backbones_once(self.network, counting, allocations),
            ):
                self.network(torch.rand(1, frames, 3, *side, device=self.device))
            counted.append(counting.flops)
        self.network.train(training)
        return (counted[1] - counted[0]) // 2

    def _counted(self, load: Load) -> tuple[int, int]:
        """Return the peak of bytes, gradients included, and FLOPs."""
        try:
            with (
                flops.counting() as counting,
                Allocations() as allocations,
                backbones_once(self.network, counting, allocations),
            ):
                batch = self.batch(load)
                with devices.autocast(self.device, self.precision):
                    loss = self.model(batch)['loss']
                loss.backward()
        finally:
            self.optimizer.zero_grad(set_to_none=True)
        return allocations.peak, counting.flops


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
