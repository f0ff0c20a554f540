"""MPI-Sintel as its archive arranges it, with four small sequences of three frames."""

from pathlib import Path

import numpy as np

from iart.data.flow_files import write_flo
from iart.image import write_png


def write_sintel(root: Path) -> None:
    """Write random frames of 96×74 pixels; the flow of frame i is (4i, −2) everywhere."""
    random = np.random.default_rng(0)
    for name in ('alley_1', 'alley_2', 'bamboo_1', 'temple_2'):
        for i in range(1, 4):
            frame = random.integers(0, 256, (74, 96, 3), np.uint8)
            write_png(root / 'training' / 'clean' / name / f'frame_{i:04d}.png', frame)
            if i < 3:
                path = root / 'training' / 'flow' / name / f'frame_{i:04d}.flo'
                path.parent.mkdir(parents=True, exist_ok=True)
                write_flo(path, np.stack([np.full((74, 96), 4.0 * i), np.full((74, 96), -2.0)]).astype(np.float32))
