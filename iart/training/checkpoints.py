"""Training states on disk: one file with everything to resume a run, which is complete or recognized as damaged.

A state is what ``torch.save`` writes, followed by a line with the SHA-256 of everything before it (torch reads
such a file as if the line were not there). It is written under a temporary name, flushed, then renamed.
"""

import re
import time
from pathlib import Path
from typing import Any

import torch

from iart import foreign_files
from iart.errors import WeightsError
from iart.files import sha256, write_atomically
from iart.log import logger
from iart.weights import read_torch

_SEAL = re.compile(rb'\nsha256:([0-9a-f]{64})\n')
_SEAL_LENGTH = len('\nsha256:\n') + 64


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state: tensors and plain containers only."""

    def write(name: str) -> None:
        torch.save(state, name)
        seal = f'\nsha256:{sha256(Path(name))}\n'
        with open(name, 'ab') as file:
            file.write(seal.encode())

    write_atomically(path, write)


def load_state(path: Path) -> dict[str, Any]:
    """Read a state back, on the CPU.

    Raises:
        WeightsError: missing, cut short, changed on disk, or not a training state.
    """
    if not path.is_file():
        raise WeightsError(f'training state: {path} does not exist')
    if not is_whole(path):
        raise WeightsError(f'training state: {path} {_why_not_whole(path)}')
    state = read_torch(path)
    if not isinstance(state, dict) or not {'step', 'facts', 'params'} <= state.keys():
        raise WeightsError(f'training state: {path} is not a training state of this program')
    return state


def _why_not_whole(path: Path) -> str:
    """Return a description of a file without a matching checksum."""
    if path.stat().st_size and (kind := foreign_files.describe(path)):
        return kind
    try:
        state = read_torch(path)
    except WeightsError:
        state = None
    if isinstance(state, dict) and {'optimizers', 'schedulers'} & state.keys():
        return (
            'is a training state of BasicSR, which another program cannot resume: start from its weights with '
            'path.pretrain_network_g: .../models/net_g_*.pth'
        )
    return 'is cut short or damaged: its checksum does not match'


def is_whole(path: Path) -> bool:
    """Return whether the file ends in the checksum of its content."""
    size = path.stat().st_size
    if size <= _SEAL_LENGTH:
        return False
    with path.open('rb') as file:
        file.seek(size - _SEAL_LENGTH)
        seal = _SEAL.fullmatch(file.read())
    return seal is not None and seal.group(1).decode() == sha256(path, size - _SEAL_LENGTH)


def newest_state(folder: Path) -> Path | None:
    """The newest whole state of an experiment; damaged ones are named in the log and passed over. None: there are no
    states.

    Raises:
        WeightsError: there are states, but all of them are damaged.
    """
    paths = numbered(folder, '*.state')
    for path in reversed(paths):
        if is_whole(path):
            return path
        logger.warning(f'{path} is cut short or damaged; searching for an older training state')
    if paths:
        raise WeightsError(
            f'training states: none of the {len(paths)} in {folder} is whole. Without --auto_resume the folder is '
            'kept under another name and the run starts from iteration 0; path.pretrain_network_g starts it from '
            'weights, such as the ones in models/'
        )
    return None


def set_aside(folder: Path, step: int) -> None:
    """Rename states of later steps, since the run continues from ``step`` and must never resume from them."""
    for path in numbered(folder, '*.state'):
        if int(path.stem) > step:
            aside = path.with_name(f'{path.name}.aside_{time.strftime("%Y%m%d_%H%M%S")}')
            path.rename(aside)
            logger.info(f'{path} is later than the state that the run resumes from; kept as {aside.name}')


def numbered(folder: Path, pattern: str) -> list[Path]:
    """Return files with a number in their name, in ascending order of it."""
    files = [(int(match.group()), path) for path in folder.glob(pattern) if (match := re.search(r'\d+$', path.stem))]
    return [path for _, path in sorted(files)]


def prune(folder: Path, pattern: str, keep: int | None) -> None:
    """Remove all but the ``keep`` newest files of a pattern; None keeps all."""
    if keep is not None:
        for path in numbered(folder, pattern)[:-keep]:
            path.unlink(missing_ok=True)
