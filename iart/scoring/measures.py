"""Metrics of the options as functions of frames: with or without ground truth, of one frame or of two neighbors."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from iart import log
from iart.component_errors import component_errors
from iart.errors import OptionsError, UserError
from iart.image import Frame
from iart.registry import METRIC_REGISTRY, find
from iart.scoring.restored_clip import ClipSet
from iart.signature import fit_to_signature

_MOST_TRIED = 256  # pixels
GIVEN = frozenset({'img', 'img2', 'previous', 'previous2'})
"""Arguments of a metric that the program passes: restored frame, ground truth, and the same of the frame before."""

Metric = Callable[..., float | None]
"""(restored, ground truth) → the figure; both (h, w, 3) uint8 RGB. See :class:`Measure`."""


@dataclass(frozen=True)
class Measure:
    """A metric with its arguments.

    Args:
        function: of METRIC_REGISTRY; takes (h, w, 3) uint8 BGR frames.
        arguments: from the options.
        key: path of the section in the YAML, for messages.
        name: ``type`` in the YAML.
        needs_gt: whether it compares with ground truth.
        needs_previous: whether it compares a frame with the one before, which the first frame of a clip does not have.
    """

    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    key: str
    name: str
    needs_gt: bool
    needs_previous: bool

    def __call__(
        self, restored: Frame, gt: Frame | None, previous: tuple[Frame, Frame | None] | None = None
    ) -> float | None:
        """Return the figure of a frame; None for a metric of two neighbors where there is no previous frame.

        Args:
            restored: (h, w, 3) uint8 RGB.
            gt: its ground truth; None where there is none.
            previous: the same of the frame before.

        Raises:
            OptionsError: the metric fails; names its key and repeats its own words.
        """
        if self.needs_previous and previous is None:
            return None
        frames = {'img': restored, 'img2': gt}
        if self.needs_previous and previous is not None:
            frames |= {'previous': previous[0], 'previous2': previous[1]}
        # BasicSR's order of channels; its metrics without reference take img2 and do not look at it
        bgr = {name: None if f is None else np.ascontiguousarray(f[..., ::-1]) for name, f in frames.items()}
        height, width = restored.shape[:2]
        try:
            with component_errors(self.key, f'{self.name} fails on frames of {width}x{height}'):
                return float(self.function(**bgr, **self.arguments))
        except UserError as error:  # a metric of ours does not know which key asked for it
            text = str(error)
            raise OptionsError(text if text.startswith(self.key) else f'{self.key}: {text}') from error


def build_metrics(sections: Mapping[str, Mapping[str, Any]], *, key: str = 'val.metrics') -> dict[str, Measure]:
    """Build metrics by their names in the options; any of METRIC_REGISTRY that takes uint8 images.

    ``better`` in a section belongs to the choice of the best checkpoint and is left out here.

    Raises:
        OptionsError: no such metric, or arguments that do not fit it.
    """
    return {name: _build(section, f'{key}.{name}') for name, section in sections.items()}


def _build(section: Mapping[str, Any], key: str) -> Measure:
    function = find(METRIC_REGISTRY, section['type'])
    arguments = {k: v for k, v in section.items() if k not in ('type', 'better')}
    fitted, problems = fit_to_signature(function, arguments, key=key, given=GIVEN)
    if problems:
        raise OptionsError('\n'.join(str(p) for p in problems))
    parameters = inspect.signature(function).parameters
    compares: Callable[..., bool] = getattr(function, 'needs_gt', lambda **_: 'img2' in parameters)
    try:
        needs_gt = compares(**fitted)
    except UserError as error:
        raise OptionsError(f'{key}: {error}') from error
    return Measure(function, fitted, key, section['type'], needs_gt, 'previous' in parameters)


def usable(metrics: Mapping[str, Metric], has_gt: bool, title: str = '') -> dict[str, Metric]:
    """Return the metrics that a set can be measured with: without ground truth, those that need none."""
    left_out = [name for name, metric in metrics.items() if not has_gt and getattr(metric, 'needs_gt', True)]
    if left_out and title and len(left_out) < len(metrics):
        log.once(f'{title}: there is no ground truth, so that these are not measured: {", ".join(left_out)}')
    return {name: metric for name, metric in metrics.items() if name not in left_out}


def try_metrics(metrics: Mapping[str, Metric], datasets: Iterable[ClipSet], scale: int) -> None:
    """Measure a frame of noise with every metric before anything is restored.

    Args:
        metrics: see :func:`build_metrics`.
        datasets: the sets to score, whose smallest frames are tried, of at most 256 pixels a side.
        scale: GT size divided by LR size.

    Raises:
        OptionsError: a metric fails; names its key and repeats its own words.
    """
    datasets = list(datasets)
    for has_gt in (True, False):
        sizes = {clip.size for dataset in datasets if dataset.has_gt == has_gt for clip in dataset.clips}
        chosen = usable(metrics, has_gt)
        if not sizes or not chosen:
            continue
        height, width = (min(_MOST_TRIED, scale * min(size[axis] for size in sizes)) for axis in (0, 1))
        frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        gt = frame[::-1].copy() if has_gt else None
        for metric in chosen.values():
            metric(frame, gt, (frame, gt)) if isinstance(metric, Measure) else metric(frame, gt)
