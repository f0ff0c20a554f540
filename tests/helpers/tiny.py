"""The smallest run there is: frames on disk and options to train on them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F

from iart.image import write_png

NETWORK = {'type': 'IART', 'mid_channels': 8, 'embed_dim': 8, 'depths': [1], 'num_heads': [2], 'window_size': [3, 4, 4]}


class TinyFlow(nn.Module):
    """In place of SPyNet, which would take most of a tiny run's time; built and called like it."""

    def __init__(self) -> None:
        super().__init__()
        level = nn.Module()
        level.basic_module = nn.Sequential(nn.Conv2d(6, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
        self.basic_module = nn.ModuleList([level])

    def forward(self, ref: Tensor, supp: Tensor) -> Tensor:
        pair = F.avg_pool2d(torch.cat([ref, supp], 1), 4)
        return F.interpolate(self.basic_module[0].basic_module(pair), scale_factor=4)


def write_clips(root: Path, *, clips: int = 2, frames: int = 4, size: tuple[int, int] = (16, 20)) -> None:
    """GT and LR (every fourth pixel) of ``clips`` clips of smooth random frames; ``size`` is the LR size."""
    random = np.random.default_rng(0)
    for clip in range(clips):
        for frame in range(frames):
            coarse = random.integers(0, 256, (size[0] // 4, size[1] // 4, 3), dtype=np.uint8)
            gt = coarse.repeat(16, 0).repeat(16, 1)
            write_png(root / 'GT' / f'{clip:03}' / f'{frame:08}.png', gt)
            write_png(root / 'LR' / f'{clip:03}' / f'{frame:08}.png', np.ascontiguousarray(gt[::4, ::4]))


def options(root: Path, **changes: Any) -> dict[str, Any]:
    """A whole YAML as a mapping; ``changes`` are keys such as ``train__total_iter``."""
    content: dict[str, Any] = {
        'name': 'tiny',
        'manual_seed': 3,
        'datasets': {
            'train': {
                'type': 'VideoClipDataset',
                'dataroot_gt': str(root / 'GT'),
                'dataroot_lq': str(root / 'LR'),
                'num_frame': 2,
                'gt_size': 64,
                'use_hflip': True,
                'use_rot': True,
                'num_worker_per_gpu': 0,
                'batch_size_per_gpu': 2,
            },
            'val': {
                'name': 'held',
                'type': 'VideoRecurrentTestDataset',
                'dataroot_gt': str(root / 'GT'),
                'dataroot_lq': str(root / 'LR'),
            },
        },
        'network_g': dict(NETWORK),
        'path': {'experiments_root': str(root / 'experiments'), 'results_root': str(root / 'results')},
        'train': {
            'total_iter': 4,
            'ema_decay': 0.9,
            'fix_flow': 2,
            'deterministic': True,
            'optim_g': {'type': 'Adam', 'lr': 1e-3, 'betas': [0.9, 0.99]},
            'scheduler': {'type': 'CosineAnnealingRestartLR', 'periods': [100], 'eta_min': 1e-7},
            'pixel_opt': {'type': 'CharbonnierLoss'},
        },
        'val': {'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 2, 'use_tb_logger': False},
    }
    for path, value in changes.items():
        *sections, key = path.split('__')
        target = content
        for section in sections:
            target = target.setdefault(section, {})
        target[key] = value
    return content


def write_options(root: Path, **changes: Any) -> Path:
    """The same as a file."""
    path = root / 'options.yml'
    path.write_text(yaml.safe_dump(options(root, **changes)))
    return path
