"""Temporal consistency as metrics of two neighboring frames; what they measure: :mod:`iart.metrics.temporal`."""

import functools

import numpy as np
import numpy.typing as npt

from iart.metrics.temporal import Flow, TemporalScores, spynet_flow, temporal_scores
from iart.registry import METRIC_REGISTRY, SUFFIX

Image = npt.NDArray[np.uint8]


@METRIC_REGISTRY.register(suffix=SUFFIX)
def calculate_tof(img: Image, img2: Image, previous: Image, previous2: Image, spynet_path: str) -> float:
    """Return tOF in pixels: the distance between the motion of restored frames and ground truth; ``better: lower``.

    The first frame of a clip has no figure.

    Args:
        img, img2: restored frame and ground truth, (h, w, 3) uint8 BGR.
        previous, previous2: the same of the frame before.
        spynet_path: weights of SPyNet, or of a network that holds one.

    Raises:
        DataError: frames of less than 64 pixels a side.
        WeightsError: the weights cannot be read.
    """
    return _scores(img, img2, previous, previous2, spynet_path).tof


@METRIC_REGISTRY.register(suffix=SUFFIX)
def calculate_warping_error(img: Image, img2: Image, previous: Image, previous2: Image, spynet_path: str) -> float:
    """Warping error: mean squared difference between neighbors along the ground truth's motion, channels in [0, 1];
    ``better: lower``. Arguments as for :func:`calculate_tof`.
    """
    return _scores(img, img2, previous, previous2, spynet_path).warping_error


@functools.cache
def _flow(path: str) -> Flow:
    return spynet_flow(path)


def _scores(img: Image, img2: Image, previous: Image, previous2: Image, path: str) -> TemporalScores:
    restored, gt = ([np.ascontiguousarray(f[..., ::-1]) for f in pair] for pair in ((previous, img), (previous2, img2)))
    return temporal_scores(restored, gt, _flow(path))
