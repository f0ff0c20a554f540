"""Checks that need no GPU: installation, BasicSR, codecs, memory, disk, shared memory, threads, and a training step."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
from pathlib import Path

from iart.doctor.result import CheckResult, judge

_GB = 2**30
_PACKAGES = ('torch', 'torchvision', 'numpy', 'einops', 'pydantic', 'safetensors', 'av', 'basicsr')
_ENCODERS = ('libx264', 'libx265', 'libsvtav1', 'libvpx-vp9', 'ffv1', 'prores_ks')


def installation() -> CheckResult:
    """Check that all packages are installed, and list their versions."""
    versions: dict[str, str | None] = {'python': platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = 'of unknown version' if importlib.util.find_spec(name) else None
    missing = [name for name, version in versions.items() if version is None]
    detail = ', '.join(f'{name} {version}' for name, version in versions.items() if version)
    return judge(not missing, detail, f'missing: {", ".join(missing)}; run  bash scripts/setup.sh', versions=versions)


def basicsr() -> CheckResult:
    """Check that BasicSR's registries can be read, and count their networks."""
    from iart.registry import ARCH_REGISTRY, names, ours

    networks = names(ARCH_REGISTRY)
    detail = f'{len(networks)} networks, of them ours: {", ".join(ours(ARCH_REGISTRY))}'
    return judge('BasicVSR' in networks, detail, 'BasicVSR is missing; run  bash scripts/setup.sh')


def codecs() -> CheckResult:
    """List PyAV's video encoders; H.264 must be among them."""
    import av.codec

    available = [name for name in _ENCODERS if name in av.codec.codecs_available]
    return judge('libx264' in available, ', '.join(available), 'libx264 is missing: install PyAV from its wheels')


def memory() -> CheckResult:
    """Check the free memory of this process, within its container's limit."""
    from iart import memory as host

    free = host.free_host_memory()
    detail = f'{free / _GB:.1f} GB free'
    return judge(
        free > 4 * _GB, detail, 'less than 4 GB: restoring falls back to tiles, loaders may be killed', free=free
    )


def disk() -> CheckResult:
    """Check the free disk space here and for temporary files."""
    from iart.memory import lies_in_memory

    temporary = Path(tempfile.gettempdir())
    here, spill = shutil.disk_usage('.').free, shutil.disk_usage(temporary).free
    detail = f'{here / _GB:.0f} GB here, {spill / _GB:.0f} GB in {temporary}'
    if lies_in_memory(temporary):
        detail += ', which is in memory: use --spill-to'
    return judge(here > 5 * _GB, detail, 'less than 5 GB for checkpoints and frames', here=here, temporary=spill)


def shared_memory() -> CheckResult:
    """Check the size of /dev/shm, through which data loader workers pass clips."""
    if not Path('/dev/shm').is_dir():
        return CheckResult('skipped', 'this system has no /dev/shm')
    free = shutil.disk_usage('/dev/shm').free
    remedy = 'less than 1 GB: start the container with --shm-size=8g, or set num_worker_per_gpu: 0'
    return judge(free > _GB, f'{free / _GB:.1f} GB free in /dev/shm', remedy, free=free)


def threads() -> CheckResult:
    """Check that torch does not use more threads than this process has processors."""
    import torch

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    count = torch.get_num_threads()
    detail = f'{count} threads, {allowed} processors, vector units {torch.backends.cpu.get_cpu_capability()}'
    return judge(count <= allowed, detail, 'more threads than processors: set OMP_NUM_THREADS', threads=count)


def training() -> CheckResult:
    """Train a small network on the CPU for a few steps: losses are finite, and all weights change."""
    import torch

    from iart.doctor.small import Small

    small = Small(torch.device('cpu'))
    before = [p.detach().clone() for p in small.network.parameters()]
    losses = [small.step('fp32') for _ in range(3)]
    changed = sum(not torch.equal(a, b) for a, b in zip(before, small.network.parameters(), strict=True))
    right = all(torch.isfinite(torch.tensor(losses))) and changed > 0
    return judge(bool(right), f'losses {", ".join(f"{x:.4f}" for x in losses)}', 'report this with the JSON file')


def two_processes() -> CheckResult:
    """Train in two processes on the CPU, with gloo."""
    import torch

    from iart.doctor.ranks import processes

    return processes(torch.device('cpu'))


CHECKS = {
    'installation': (installation, 30),
    'BasicSR': (basicsr, 60),
    'codecs': (codecs, 30),
    'memory': (memory, 30),
    'disk': (disk, 30),
    'shared memory': (shared_memory, 30),
    'threads': (threads, 60),
    'training on the CPU': (training, 120),
    'processes on the CPU': (two_processes, 240),
}
"""Name → function and time limit in seconds."""
