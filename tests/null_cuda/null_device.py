"""A CUDA device that computes nothing: built from ``source/``, loaded in front of CUDA's libraries, and read by ctypes.

Memory, copies and everything above the runtime are real: torch's dispatcher, autocast, autograd, the choice of the
attention kernel, the caching allocator and its out-of-memory, page-locked memory, graph capture, DDP. So which
kernels run and how many, what is allocated, what waits for the device, and every mistake about devices and dtypes
are those of a GPU. Values are not.

    python tests/null_cuda/null_device.py FOLDER     builds it and prints the environment to run a program with
"""

import ctypes
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / 'source'
_PROBE = 'import torch; torch.ones(2, device="cuda"); print(torch.cuda.get_device_name())'


class UnavailableError(Exception):
    """The null device cannot be built or does not support this torch; the text has the reason."""


def build(folder: Path) -> dict[str, str]:
    """Compile the null device into ``folder`` and return the environment variables that put a program on it.

    Raises:
        UnavailableError: not Linux, no g++, a torch without CUDA, or one whose CUDA is not the one this was written
            for.
    """
    import torch

    compiler = shutil.which('g++')
    if sys.platform != 'linux' or compiler is None:
        raise UnavailableError('the null device needs Linux and g++')
    if torch.version.cuda is None:
        raise UnavailableError(f'torch {torch.__version__} is built without CUDA')
    headers = sorted(Path(sysconfig.get_paths()['purelib']).glob('nvidia/*/include/driver_types.h'))
    if not headers:
        raise UnavailableError("CUDA's headers are not beside torch (pip install torch brings them)")
    major, minor = (int(part) for part in torch.version.cuda.split('.')[:2])
    flags = ['-O1', '-std=c++17', '-shared', '-fPIC', f'-I{SOURCE}', f'-I{headers[0].parent}']
    (folder / 'driver').mkdir(parents=True, exist_ok=True)
    targets = {
        folder / 'libnullcuda.so': [f'-DNULL_CUDA_VERSION={major * 1000 + minor * 10}', 'runtime.cpp', 'libraries.cpp'],
        folder / 'driver' / 'libcuda.so.1': ['driver.cpp'],
    }
    for target, arguments in targets.items():
        words = [str(SOURCE / word) if word.endswith('.cpp') else word for word in arguments]
        done = subprocess.run(
            [compiler, *flags, *words, '-o', str(target)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise UnavailableError(f'the null device does not compile: {done.stderr[-1000:]}')
    variables = {
        'LD_PRELOAD': str(folder / 'libnullcuda.so'),
        'LD_LIBRARY_PATH': f'{folder / "driver"}:{os.environ.get("LD_LIBRARY_PATH", "")}'.rstrip(':'),
    }
    command = [sys.executable, '-c', _PROBE]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    if 'null device' not in done.stdout:
        raise UnavailableError(f'torch {torch.__version__} does not start on the null device: {done.stderr[-500:]}')
    return variables


@dataclass(frozen=True)
class Counts:
    """What the device was asked to do since :func:`reset`."""

    kernels: Counter[str]
    """Launches of torch's kernels by mangled name."""
    calls: Counter[str]
    """Calls of libraries, copies, waits, by kind."""

    @property
    def launches(self) -> int:
        """Kernels of torch, matrix products, convolutions and samplers."""
        library = sum(n for kind, n in self.calls.items() if kind.startswith(('product ', 'convolution ', 'sampler ')))
        return self.kernels.total() + library

    def kernel(self, pattern: str) -> int:
        """Launches of kernels whose mangled name contains a match of the pattern."""
        return sum(n for name, n in self.kernels.items() if re.search(pattern, name))


def loaded() -> bool:
    """Whether this process runs on the null device."""
    return 'libnullcuda' in os.environ.get('LD_PRELOAD', '')


def reset() -> None:
    """Set all counters to zero."""
    ctypes.CDLL(None).null_cuda_reset()


def counts() -> Counts:
    """Read the counters."""
    with tempfile.NamedTemporaryFile('r', suffix='.txt') as file:
        ctypes.CDLL(None).null_cuda_write(file.name.encode())
        rows = [line.rstrip('\n').split(' ', 2) for line in Path(file.name).read_text(encoding='utf-8').splitlines()]
    result: dict[str, Counter[str]] = {'kernel': Counter(), 'call': Counter()}
    for count, kind, name in rows:
        result[kind][name] += int(count)
    return Counts(result['kernel'], result['call'])


if __name__ == '__main__':
    try:
        made = build(Path(sys.argv[1]))
    except UnavailableError as error:
        sys.exit(f'{error}')
    print(' '.join(f'{name}={shlex.quote(value)}' for name, value in made.items()))
