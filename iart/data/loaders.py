"""From an options section to a data set, and from a data set to batches."""

import inspect
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.context import BaseContext
from typing import Any, Literal, Protocol

import torch
from torch.utils.data import DataLoader

from iart.data.batch import Batch
from iart.data.guarded import Guarded, collate, prepare_worker
from iart.data.sampler import ClipBatchSampler
from iart.data.shared_memory import PREFETCH, SHARED_MEMORY_REMEDY, check_shared_memory, describe_shared_memory
from iart.errors import DataError, OptionsError, UserError, listing
from iart.registry import DATASET_REGISTRY, build, find, ours

_PATIENCE = 900.0  # seconds for one batch; a network file system may need a minute, a full /dev/shm needs forever


class LoaderOptions(Protocol):
    """The keys of a data set's section that concern the loader, not the data set."""

    @property
    def use_shuffle(self) -> bool: ...

    @property
    def num_worker_per_gpu(self) -> int: ...

    @property
    def batch_size_per_gpu(self) -> int: ...

    @property
    def dataset_enlarge_ratio(self) -> float: ...

    @property
    def unreadable(self) -> Literal['stop', 'skip']: ...


def build_dataset(section: Mapping[str, Any], *, key: str, scale: int, seed: int = 0) -> Any:
    """Build the data set that ``section['type']`` names.

    Args:
        section: ``type`` and the constructor's arguments.
        key: path of the section in the YAML, for messages.
        scale: GT size divided by LR size.
        seed: decides crops and flips of training sets.

    Raises:
        OptionsError: no such data set, or arguments that do not fit its constructor.
        DataError: the data do not fit together.
    """
    parameters = inspect.signature(find(DATASET_REGISTRY, section['type'])).parameters
    if 'opt' in parameters:
        types = listing(ours(DATASET_REGISTRY))
        raise OptionsError(
            f"{key}.type: got {section['type']}, one of BasicSR's own data sets, expected one of {types}"
        )
    given = {name: value for name, value in (('scale', scale), ('seed', seed)) if name in parameters}
    for name, value in given.items():
        if section.get(name, value) != value:
            raise OptionsError(
                f'{key}.{name}: got {section[name]}, expected nothing here: the options above set {name} to {value}'
            )
    return build(DATASET_REGISTRY, {k: v for k, v in section.items() if k not in given}, key=key, **given)


def build_part(section: Mapping[str, Any], clips: Sequence[str], *, key: str, scale: int) -> Any:
    """Build a data set with these clips only, if its class has the argument ``clips``; else with all clips.

    Raises:
        UserError: as for :func:`build_dataset`, or a clip is not there.
    """
    if 'clips' in inspect.signature(find(DATASET_REGISTRY, section['type'])).parameters:
        section = {**section, 'clips': list(clips)}
    return build_dataset(section, key=key, scale=scale)


class ClipLoader(DataLoader[Any]):
    """Endless batches of :func:`collate`; mistakes in the data are raised here, in the main process."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        try:
            for batch in super().__iter__():
                if isinstance(batch, UserError):
                    raise batch
                yield batch
        except (
            RuntimeError,
            ConnectionError,
            EOFError,
        ) as error:  # the last two: it ended while it handed a batch over
            if isinstance(error, RuntimeError) and 'DataLoader timed out' in str(error):
                raise DataError(
                    f'no batch came from the processes that read frames within {self.timeout:.0f} s. Either the '
                    'storage does not answer, or shared memory is full: '
                    f'{describe_shared_memory()}; {SHARED_MEMORY_REMEDY}'
                ) from error
            if isinstance(error, RuntimeError) and 'DataLoader worker' not in str(error):
                raise
            reason = (str(error) or type(error).__name__).splitlines()[0]
            expected = 'expected enough memory, whole files, or a smaller num_worker_per_gpu'
            raise DataError(f'a process that reads frames ended ({reason}); {expected}') from error


def _worker_context() -> BaseContext:
    """Return the start method of workers: forked from a process without threads.

    A fork of this process could wait forever for a lock that is held by one of its threads (of OpenCV, the progress bar
    or TensorBoard), since threads are not copied.
    """
    if 'forkserver' not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context('spawn')
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([__name__])  # imported once, not once per worker
    return context


def build_train_loader(
    dataset: Any,
    section: LoaderOptions,
    *,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
    local_world_size: int = 1,
    start_batch: int = 0,
    pin_memory: bool = False,
) -> ClipLoader:
    """Endless training batches ``{'lq': (n, t, 3, h, w), 'gt': (n, t, 3, s*h, s*w), 'clip': list, 'frames': list}``,
    with ``'unreadable'`` as in :func:`collate`.

    The batches do not depend on the number of workers, and every iteration over the loader begins at ``start_batch``.

    Args:
        dataset: a data set that takes (epoch, position).
        section: the loader's keys of the data set's section.
        seed: decides the order.
        rank: number of this process, from 0.
        world_size: number of processes.
        local_world_size: number of processes on this machine, which share its shared memory.
        start_batch: number of batches this rank has already seen.
        pin_memory: copy batches to page-locked memory; of use only where there is a CUDA device.

    Raises:
        DataError: the data set does not fill one global batch; while iterating: a frame cannot be read
            (``section.unreadable`` decides), a worker ended, or none delivers.
        UserError: ``/dev/shm`` cannot hold the batches that workers read ahead.
    """
    sampler = ClipBatchSampler(
        len(dataset),
        batch_size=section.batch_size_per_gpu,
        rank=rank,
        world_size=world_size,
        seed=seed,
        shuffle=section.use_shuffle,
        enlarge=section.dataset_enlarge_ratio,
        start_batch=start_batch,
    )
    workers = section.num_worker_per_gpu
    guarded = Guarded(dataset, section.unreadable, seed)
    if workers:
        check_shared_memory(guarded, section.batch_size_per_gpu, workers * local_world_size)
    return ClipLoader(
        guarded,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        worker_init_fn=prepare_worker if workers else None,
        multiprocessing_context=_worker_context() if workers else None,
        persistent_workers=workers > 0,
        prefetch_factor=PREFETCH if workers else None,
        timeout=_PATIENCE if workers else 0,
        generator=torch.Generator(),  # else the loader takes a number from the generator that training draws from
    )
