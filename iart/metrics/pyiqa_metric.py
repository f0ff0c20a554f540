"""Perceptual metrics of the optional package ``pyiqa`` (LPIPS, DISTS, NIQE, ...)."""

import functools
import importlib
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from iart.errors import UserError, nearest
from iart.image import to_tensor
from iart.registry import METRIC_REGISTRY, SUFFIX

Image = npt.NDArray[np.uint8]


@METRIC_REGISTRY.register(suffix=SUFFIX)
def calculate_pyiqa(img: Image, img2: Image | None = None, crop_border: int = 0, metric: str = 'lpips') -> float:
    """Compute any metric of ``pyiqa`` with its default settings.

    Its weights are fetched by ``pyiqa`` at first use, from the network.

    Args:
        img: restored image, (h, w, 3) uint8 BGR.
        img2: ground truth of the same shape; None for metrics without reference.
        crop_border: pixels cut off on every side first.
        metric: ``pyiqa``'s name of it: ``lpips``, ``dists``, ``niqe``, ...

    Raises:
        UserError: ``pyiqa`` is not installed, or has no such metric.
    """
    network = _network(metric)
    images = (img,) if network.metric_mode != 'FR' or img2 is None else (img, img2)
    with torch.no_grad():
        return float(network(*(_tensor(image, crop_border) for image in images)))


def _compares(metric: str = 'lpips', **_: object) -> bool:
    """Return whether a metric of ``pyiqa`` needs ground truth."""
    return bool(_network(metric).metric_mode == 'FR')


calculate_pyiqa.needs_gt = _compares  # type: ignore[attr-defined]


@METRIC_REGISTRY.register(suffix=SUFFIX)
def calculate_lpips(img: Image, img2: Image, crop_border: int = 0) -> float:
    """Compute LPIPS (AlexNet) by ``pyiqa``: 0 for identical images; ``better: lower``. See :func:`calculate_pyiqa`."""
    return calculate_pyiqa(img, img2, crop_border, 'lpips')


@METRIC_REGISTRY.register(suffix=SUFFIX)
def calculate_dists(img: Image, img2: Image, crop_border: int = 0) -> float:
    """Compute DISTS by ``pyiqa``: 0 for identical images; ``better: lower``. See :func:`calculate_pyiqa`."""
    return calculate_pyiqa(img, img2, crop_border, 'dists')


def _tensor(image: Image, border: int) -> torch.Tensor:
    """Convert (h, w, 3) uint8 BGR to (1, 3, h, w) RGB in [0, 1]."""
    h, w = image.shape[:2]
    return to_tensor(np.ascontiguousarray(image[border : h - border, border : w - border, ::-1]))[None]


@functools.cache
def _network(metric: str) -> Any:
    try:
        pyiqa = importlib.import_module('pyiqa')
    except ImportError as error:
        raise UserError(f'the metric {metric} needs the package pyiqa: run  pip install pyiqa  ({error})') from error
    models = pyiqa.list_models()
    if metric not in models:
        raise UserError(
            f'metric: got {metric!r}, expected a metric of pyiqa '
            f'({nearest(metric, models) or "see pyiqa.list_models()"})'
        )
    return pyiqa.create_metric(metric, device=torch.device('cpu'))
