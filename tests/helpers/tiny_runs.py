"""Runs of the tiny options in this process."""

from pathlib import Path
from typing import Any

import torch

from helpers.tiny import write_options
from iart.options import load
from iart.training.trainer import Trainer


def build(root: Path, *, auto_resume: bool = False, force_resume: bool = False, **changes: Any) -> Trainer:
    """Build the trainer of the tiny run, without a validation set unless ``changes`` have ``datasets__val``."""
    options = load(write_options(root, **{'datasets__val': None, **changes}))
    return Trainer(options, device=torch.device('cpu'), auto_resume=auto_resume, force_resume=force_resume)


def train(root: Path, **arguments: Any) -> Trainer:
    """Train, release the lock of the run's folder, and return the trainer; arguments as for :func:`build`."""
    trainer = build(root, **arguments)
    try:
        trainer.fit()
    finally:
        trainer.experiment._lock.release()
    return trainer


def log_of(trainer: Trainer) -> str:
    """Return what a run has logged."""
    return (trainer.experiment.folder / 'train.log').read_text()
