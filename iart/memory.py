"""Free memory of the host, within the limits of container and process, and errors of failed allocations."""

import os
import re
import resource
import sys
from pathlib import Path

import torch

_OUT_OF_MEMORY = (
    "can't allocate memory",
    'not enough memory',
    'out of memory',
    'bad_alloc',
    'could not create a primitive',  # oneDNN, for a convolution on a CPU
    'could not create a memory',
    'CUBLAS_STATUS_ALLOC_FAILED',
    'CUDNN_STATUS_ALLOC_FAILED',
)


def peak_host_mb() -> float:
    """Peak of this process's host memory so far in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == 'darwin' else peak / 2**10


def free_host_memory() -> int:
    """Return how many bytes of main memory this process can still allocate.

    The least of the machine's free memory and what the limits of container and process leave.
    """
    limits = [os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 2]  # a guess if the system does not report it
    if available := re.search(r'^MemAvailable: *(\d+) kB', _text('/proc/meminfo'), re.MULTILINE):
        limits = [int(available[1]) * 1024]
    limits += _container_limits()
    most_addresses = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most_addresses != resource.RLIM_INFINITY and (pages := _text('/proc/self/statm').split()):
        limits.append(most_addresses - int(pages[0]) * os.sysconf('SC_PAGE_SIZE'))
    return max(0, min(limits))


def _container_limits() -> list[int]:
    """Return the bytes that each control group of this process (v1 and v2) leaves it; cached files count as free."""
    groups = dict(re.findall(r'^\d+:(memory|):(/.*)$', _text('/proc/self/cgroup'), re.MULTILINE))
    limits = []
    versions = (
        ('/sys/fs/cgroup', groups.get('', '/'), 'memory.max', 'memory.current', 'inactive_file'),
        (
            '/sys/fs/cgroup/memory',
            groups.get('memory', '/'),
            'memory.limit_in_bytes',
            'memory.usage_in_bytes',
            'total_inactive_file',
        ),
    )
    for root, group, most, used, cache in versions:
        for folder in {root, f'{root}{group.rstrip("/")}'}:
            limit, now = _text(f'{folder}/{most}').strip(), _text(f'{folder}/{used}').strip()
            if limit.isdigit() and now.isdigit():
                given_back = re.search(rf'^{cache} (\d+)', _text(f'{folder}/memory.stat'), re.MULTILINE)
                limits.append(int(limit) - int(now) + (int(given_back[1]) if given_back else 0))
    return limits


def lies_in_memory(folder: Path) -> bool:
    """Return whether files in the folder occupy main memory (tmpfs), as far as the system reports it."""
    mounts = [line.split()[1:3] for line in _text('/proc/mounts').splitlines()]
    above = {str(p) for p in (folder.resolve(), *folder.resolve().parents)}
    kinds = [(len(place), kind) for place, kind in mounts if place in above]
    return bool(kinds) and max(kinds)[1] in ('tmpfs', 'ramfs')


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error is a failed allocation, by its text: torch has one exception for CUDA's allocator, and
    only messages for the rest.
    """
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(message in str(error) for message in _OUT_OF_MEMORY)
    )


def _text(path: str) -> str:
    """A file of the system, or nothing where there is none."""
    try:
        return Path(path).read_text(encoding='utf-8')
    except OSError:
        return ''
