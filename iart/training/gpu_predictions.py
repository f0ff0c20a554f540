"""PREDICTIONS of time and memory on GPUs that are not at hand, from counted work; nothing here was measured there.

The model: every kind of operator takes the largest of FLOPs over a share of the data sheet's arithmetic rate, bytes
over a share of its bandwidth, and kernels times the shortest time of one; a step or a frame takes their sum, or the
time in which the host launches that many kernels, whichever is longer. Nothing is taken to be fused that the code does
not fuse, caches are taken to keep nothing, and reading of data and exchange of gradients are not included.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from iart.ops.flops import HALF, Counts


@dataclass(frozen=True)
class Gpu:
    """Rates of a data sheet, dense.

    Args:
        fp32: TFLOP/s of float32.
        tf32: TFLOP/s of TensorFloat-32; that of float32 where there is none.
        half: TFLOP/s in half precision, accumulated in float32.
        bandwidth: GB/s of the memory.
        memory: its size in GB.
        bf16: whether bfloat16 is computed by the hardware.
    """

    fp32: float
    tf32: float
    half: float
    bandwidth: float
    memory: float
    bf16: bool = True


GPUS: Mapping[str, Gpu] = {
    'V100': Gpu(15.7, 15.7, 125, 900, 32, bf16=False),
    'A100': Gpu(19.5, 156, 312, 2039, 80),
    'H100': Gpu(67, 495, 989, 3350, 80),
    'RTX 4090': Gpu(82.6, 82.6, 165, 1008, 24),
}
"""V100 and A100 as SXM modules of 32 and 80 GB, H100 as SXM module."""


@dataclass(frozen=True)
class Assumptions:
    """What of the data sheets is taken to be reached.

    Args:
        arithmetic: share of the arithmetic rate.
        bandwidth: share of the memory's bandwidth.
        kernel: shortest time of a kernel on the GPU, in seconds.
        launch: time of the host for an operator, in seconds.
    """

    arithmetic: float = 0.5
    bandwidth: float = 0.75
    kernel: float = 3e-6
    launch: float = 6e-6


@dataclass(frozen=True)
class Prediction:
    """What one GPU is predicted to take.

    Args:
        gpu: its name.
        seconds: of an iteration; None where the GPU does not compute in this precision.
        days: of the whole run.
        memory: bytes of a step, the same for all GPUs.
        fits: whether a share of the GPU's memory is enough for it.
        frame_ms: milliseconds of one more frame of 320×180 of a long clip.
        bound: what takes the time of an iteration: ``arithmetic``, ``bandwidth``, ``kernels`` (their number),
            ``launches`` (of the host), or ``no bf16`` where it is emulated.
    """

    gpu: str
    seconds: float | None
    days: float | None
    memory: int
    fits: bool
    frame_ms: float | None
    bound: str


_USABLE = 0.9  # of a GPU's memory
_SECONDS_A_DAY = 86400


def roofline(counts: Counts, gpu: Gpu, *, tf32: str = 'conv', assumed: Assumptions | None = None) -> tuple[float, str]:
    """Return the predicted seconds of some work, and what bounds it.

    Args:
        counts: work by operators.
        gpu: where.
        tf32: what is computed in TensorFloat-32: ``off``, ``conv`` or ``all``.
        assumed: shares of the data sheet.
    """
    assumed = assumed or Assumptions()
    by_bound = {'arithmetic': 0.0, 'bandwidth': 0.0, 'kernels': 0.0}
    calls = 0
    for (_, operator), work in counts.items():
        times = {
            'arithmetic': work.flops / (1e12 * assumed.arithmetic * _rate(gpu, operator, tf32)),
            'bandwidth': work.bytes / (1e9 * assumed.bandwidth * gpu.bandwidth),
            'kernels': work.calls * assumed.kernel,
        }
        longest = max(times, key=lambda name: times[name])
        by_bound[longest] += times[longest]
        calls += work.calls
    total = sum(by_bound.values())
    if calls * assumed.launch > total:
        return calls * assumed.launch, 'launches'
    return total, max(by_bound, key=lambda name: by_bound[name])


def _rate(gpu: Gpu, operator: str, tf32: str) -> float:
    if operator.endswith(HALF):
        return gpu.half
    return gpu.tf32 if tf32 == 'all' or (tf32 == 'conv' and 'conv' in operator) else gpu.fp32


def predict(
    step: Counts,
    frame: Counts,
    *,
    memory: int,
    precision: str,
    tf32: str,
    micro_batches: int,
    iterations: int,
) -> list[Prediction]:
    """Return the predictions for every GPU of :data:`GPUS`.

    Args:
        step: work of a step's forward and backward passes and optimizer.
        frame: work of one more frame of a long clip.
        memory: bytes of a step.
        precision: ``fp32``, ``fp16`` or ``bf16``.
        tf32: see :func:`roofline`.
        micro_batches: steps whose gradients make an iteration.
        iterations: of the run.
    """
    result = []
    for name, gpu in GPUS.items():
        fits = memory <= _USABLE * gpu.memory * 1e9
        if precision == 'bf16' and not gpu.bf16:
            result.append(Prediction(name, None, None, memory, fits, None, 'no bf16'))
            continue
        seconds, bound = roofline(step, gpu, tf32=tf32)
        seconds *= micro_batches
        frame_seconds, _ = roofline(frame, gpu, tf32=tf32)
        days = seconds * iterations / _SECONDS_A_DAY
        result.append(Prediction(name, seconds, days, memory, fits, 1e3 * frame_seconds, bound))
    return result
