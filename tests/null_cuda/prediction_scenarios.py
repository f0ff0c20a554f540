"""Predictions on the null device: the work that torch's CUDA code does, beside what is counted without it."""

from pathlib import Path
from typing import Any

import null_device
import torch
from helpers.tiny import write_options

from iart import device as devices
from iart.ops.flops import Counting, Counts, Work, difference, total
from iart.options import load
from iart.training.cost_estimate import FULL_FRAME
from iart.training.dry_run import DryRun, Load
from iart.training.gpu_predictions import GPUS, roofline


def predicted(root: str, changes: dict[str, Any], side: int, frames: int, frame: list[int] | None = None) -> Any:
    """Return figures of a training step and of one more frame, counted on the null device and on paper.

    Args:
        root: a folder for the options.
        changes: of the options.
        side, frames: LR size and length of the clip of a step.
        frame: (height, width) of the restored frame; default 320x180.
    """
    options = load(write_options(Path(root), **changes))
    height, width = frame or FULL_FRAME
    load_ = Load(1, frames, side)
    paper = DryRun(options, torch.device('cpu'))
    memory, counts = paper.on_gpu_paper()
    on_paper = {
        'step': _figures(counts.at(load_)) | {'peak_mb': memory.at(load_) / 2**20},
        'frame': _figures(paper.frame_counts((height, width), on_gpu=True)),
    }
    device = devices.choose()
    devices.configure(deterministic=False)
    run = DryRun(options, device)
    batch = run.batch(load_)
    run.step(batch)
    torch.cuda.reset_peak_memory_stats()
    null_device.reset()
    run.step(batch)
    launches, peak = null_device.counts().launches, torch.cuda.max_memory_allocated() / 2**20
    with Counting() as counted:
        run.step(batch)
    step = _figures(counted.counts) | {'launches': launches, 'peak_mb': peak}
    return {'paper': on_paper, 'null': {'step': step, 'frame': _frame(run, height, width)}}


def _frame(run: DryRun, height: int, width: int) -> dict[str, Any]:
    works, launches = [], []
    run.network.eval()
    for frames in (3, 5):
        clip = torch.rand(1, frames, 3, height, width, device=run.device)
        with torch.no_grad(), devices.autocast(run.device, run.precision):
            null_device.reset()
            run.network(clip)
            launches.append(null_device.counts().launches)
            with Counting() as counted:
                run.network(clip)
        works.append(counted.counts)
    two = difference(works[1], works[0])
    one: Counts = {key: Work(work.flops // 2, work.bytes // 2, work.calls // 2) for key, work in two.items()}
    return _figures(one) | {'launches': (launches[1] - launches[0]) / 2}


def _figures(counts: Counts) -> dict[str, Any]:
    whole = total(counts)
    seconds = {name: roofline(counts, gpu) for name, gpu in GPUS.items()}
    return {'tflops': whole.flops / 1e12, 'gb': whole.bytes / 1e9, 'calls': whole.calls, 'seconds': seconds}
