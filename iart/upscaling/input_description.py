"""Description of an input: its detail, blocks and noise, and the weights that suit it."""

from collections.abc import Iterator
from itertools import islice
from typing import Literal

import numpy as np
from torch import Tensor, nn

from iart import distributed, log
from iart.errors import DataError
from iart.ops.footage import Footage, Luma, measure_footage
from iart.pretrained import load_manifest, place
from iart.shipped import weights_root
from iart.upscaling import sources
from iart.upscaling.sources import Source
from iart.upscaling.upscale_options import UpscaleOptions
from iart.video.facts import Clip

_FRAMES, _STEP = 3, 5
_MOST_PIXELS = 1024  # a side, from the middle of the frame
_BLOCKS, _NOISE, _SOFT = 1.1, 2.5, 0.6
# Small frames were mostly shrunk, and then have detail at every pixel, which measures as noise: 3.2 gray levels in
# Vid4's clean LR frames of city.
_NOISE_FROM = 180  # pixels of the shorter side
_LUMA = (0.299, 0.587, 0.114)
_REAL_NETWORK = 'RealVSR'

Kind = Literal['clean', 'real']


def describe_footage(source: Source, clip: Clip, settings: UpscaleOptions, trained_on: Kind) -> None:
    """Log what a few frames of an input look like, and weights that suit it better than the ones in use.

    Args:
        source: the input.
        clip: its facts.
        settings: settings, which select a part of the input.
        trained_on: the footage that the weights in use were trained on; see :func:`footage_of`.
    """
    if not distributed.is_main():
        return
    try:
        footage = measure_footage(list(_sample(source, clip, settings)))
    except (DataError, ValueError):
        return  # too small to measure; what cannot be read is reported when it is restored
    for line in lines(footage, (clip.height, clip.width), trained_on):
        log.logger.info(f'{clip.file}: {line}')


def footage_of(network: nn.Module, sha256: str) -> Kind:
    """Return the footage that weights were trained on: as the manifest says, else what the network is made for.

    Args:
        network: the network; those of class ``RealVSR`` clean their input first.
        sha256: of the weight file.
    """
    listed = {entry.sha256: entry.footage for entry in load_manifest().weights.values() if entry.footage}
    return listed.get(sha256) or ('real' if type(network).__name__ == _REAL_NETWORK else 'clean')


def _sample(source: Source, clip: Clip, settings: UpscaleOptions) -> Iterator[Luma]:
    for shown in islice(sources.read(source, clip, settings), 0, _FRAMES * _STEP, _STEP):
        yield _luma(shown.picture.rgb())


def _luma(rgb: Tensor) -> Luma:
    """Return the middle of the luma, in gray levels, of (1, 3, h, w) or (3, h, w) RGB in [0, 1]."""
    frame = rgb.reshape(3, *rgb.shape[-2:]).float().cpu().numpy()
    h, w = (min(side, _MOST_PIXELS) for side in frame.shape[1:])
    top, left = ((side - part) // 2 for side, part in zip(frame.shape[1:], (h, w), strict=True))
    middle = frame[:, top : top + h, left : left + w]
    return np.asarray(np.tensordot(np.array(_LUMA, np.float32), middle, 1) * 255, np.float32)


def lines(footage: Footage, size: tuple[int, int], trained_on: Kind) -> list[str]:
    """Return what to log.

    Args:
        footage: what was measured.
        size: (h, w) of the frames.
        trained_on: the footage that the weights in use were trained on.
    """
    vertical, horizontal = footage.detail
    noise_shows = min(size) >= _NOISE_FROM
    noisy = noise_shows and footage.noise > _NOISE
    faults = [
        word
        for word, present in (
            ('compressed in blocks', footage.blockiness > _BLOCKS),
            ('noisy', noisy),
            ('soft: it was enlarged or blurred before', max(footage.detail) < _SOFT),
        )
        if present
    ]
    figures = (
        f'detail of about {round(size[1] * horizontal)}×{round(size[0] * vertical)} pixels, blockiness '
        f'{footage.blockiness:.2f}' + (f', noise {footage.noise:.1f} gray levels' if noise_shows else '')
    )
    described = [f'{figures}: {", ".join(faults) or "clean"}']
    kind: Kind = 'real' if footage.blockiness > _BLOCKS or noisy else 'clean'
    if kind == 'real' and trained_on == 'clean':
        names = named_weights('real')
        available = (
            f'weights for real footage: --weights {" or ".join(names)}'
            if names
            else 'no weights for real footage are available, see docs/real_footage.md'
        )
        described.append(f'these weights were trained on clean frames and sharpen such artifacts; {available}')
    elif kind == 'clean' and trained_on == 'real':
        described.append(f'weights for clean footage keep more of its detail: --weights {named_weights("clean")[0]}')
    if max(footage.detail) < _SOFT:
        described.append('downscale it to the resolution of its detail first: networks are trained on sharp frames')
    return described


def named_weights(kind: Kind) -> list[str]:
    """Return the names of weights trained on footage of this kind that are available or can be downloaded."""
    root = weights_root()
    return [
        name
        for name, entry in load_manifest().weights.items()
        if entry.footage == kind and (entry.package is not None or place(entry, root).is_file())
    ]
