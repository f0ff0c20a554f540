"""YAML → base merge → command-line overrides → frozen, checked options.

options = load('options/IART_REDS_N6_300K.yml', ['train:total_iter=1000'])
print(dump(options))
"""

from iart.options.schema import (
    DatasetOptions,
    DistOptions,
    LoggerOptions,
    Options,
    PathOptions,
    ValOptions,
    WandbOptions,
)
from iart.options.train_section import (
    CosineAnnealingRestartLR,
    MultiStepLR,
    Scheduler,
    TrainOptions,
    TrueCosineAnnealingLR,
)
from iart.options.yaml_file import dump, load, resolve

__all__ = [
    'CosineAnnealingRestartLR',
    'DatasetOptions',
    'DistOptions',
    'LoggerOptions',
    'MultiStepLR',
    'Options',
    'PathOptions',
    'Scheduler',
    'TrainOptions',
    'TrueCosineAnnealingLR',
    'ValOptions',
    'WandbOptions',
    'dump',
    'load',
    'resolve',
]
