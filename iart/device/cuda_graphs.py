"""CUDA graphs: the kernels of a function recorded once and launched together."""

from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar('T')
_WARM_UP = 3  # calls before recording: libraries choose kernels and take workspaces, autograd makes its threads


def records_graphs(device: torch.device) -> bool:
    """Whether the device's work can be recorded."""
    return device.type == 'cuda'


def record(function: Callable[[], T], device: torch.device) -> Callable[[], T]:
    """Record what ``function`` launches and return a function that launches it again and returns the same tensors.

    Calling the result does what calling ``function`` would, random numbers included, without the time of the host for
    each kernel. ``function`` is called a few times first, and not by the result.

    Args:
        function: reads and writes the same tensors at every call, and asks the device for no value.
        device: a CUDA device.

    Raises:
        RuntimeError: the function does what cannot be recorded, such as waiting for a value.
    """
    generator = torch.cuda.get_rng_state(device)
    torch.cuda.synchronize(device)
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP):
            function()
    torch.cuda.current_stream(device).wait_stream(side)
    torch.cuda.synchronize(device)
    torch.cuda.set_rng_state(generator, device)
    graph = torch.cuda.CUDAGraph()
    # Of this thread only: the loader's thread may allocate page-locked memory meanwhile.
    with torch.cuda.graph(graph, capture_error_mode='thread_local'):
        result = function()

    def replay() -> T:
        graph.replay()
        return result

    return replay
