"""Result folders to report on, made by the scoring job itself."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from iart.image import write_png
from iart.inference.baselines import BicubicRestorer
from iart.ops.degradation import degrade_uint8
from iart.scoring.benchmark import build_sets, score
from iart.scoring.set_report import NetworkFacts
from iart.scoring.settings import Saving, Settings

METRICS = {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}, 'ssim': {'type': 'calculate_ssim', 'crop_border': 0}}
CLIPS = ('city', '<b>&clip')
FRAMES = 6


def sharper(lq):
    """The second method: bicubic, and a little contrast around the middle."""
    for frame in BicubicRestorer(4)(lq):
        yield (frame - 0.5) * 1.08 + 0.5


sharper.used = ()


def write_results(root: Path) -> list[Path]:
    """Two methods scored on two clips of six frames; the first is the bicubic baseline."""
    random = np.random.default_rng(1)
    for clip in CLIPS:
        coarse = random.integers(0, 256, (10, 14, 3), dtype=np.uint8).repeat(12, 0).repeat(12, 1)
        for j in range(FRAMES):
            gt = np.ascontiguousarray(coarse[j : j + 96, 2 * j : 2 * j + 128])
            write_png(root / 'gt' / clip / f'{j:03}.png', gt)
            write_png(root / 'lq' / clip / f'{j:03}.png', degrade_uint8(gt))
    section = {'type': 'VideoRecurrentTestDataset', 'dataroot_gt': str(root / 'gt'), 'dataroot_lq': str(root / 'lq')}
    folders, settings = [], Settings(METRICS)
    sets = build_sets({'test': SimpleNamespace(name='Small', protocol=None, section=section)}, settings)
    for name, restore, facts in (
        ('plain', BicubicRestorer(4), NetworkFacts('Bicubic')),
        ('sharp', sharper, NetworkFacts('</script>Net', 1_500_000)),
    ):
        folders.append(root / 'results' / name)
        score(
            restore,
            sets,
            settings,
            name=name,
            network=facts,
            device=torch.device('cpu'),
            out=folders[-1],
            saving=Saving(folders[-1] / 'visualization', clips=2),
            command=['/somewhere/bin/iart', 'test', '-opt', 'a b.yml'],
        )
    return folders
