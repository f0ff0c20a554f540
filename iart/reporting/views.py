"""Contents of the page besides tables: charts, frames to compare, details, slices through time, alignment views."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iart.errors import DataError
from iart.image import Frame
from iart.reporting.comparison import find_detail
from iart.reporting.images import Image, Slices, cut, cut_slices, error_map, from_png, lossless, lossy, shrunk
from iart.reporting.results import Frames, Result, finite
from iart.reporting.shown_clips import BICUBIC, Choice, ShownClip, choose_frames
from iart.reporting.tables import digits_of, number

MOST_CHARTS = 12  # clips
_THUMB_WIDTH = 380
_LONGEST_ARROW = 12  # pixels of the LR frame, approximately


@dataclass(frozen=True)
class ViewLayer:
    """One image of a frame in the comparison."""

    name: str
    image: Image
    figures: str = ''


@dataclass(frozen=True)
class Shot:
    """One frame in all versions, and the detail of it where they differ most."""

    set: str
    clip: str
    frame: str
    reason: str
    layers: tuple[ViewLayer, ...]
    left: int
    """Layers that are initially left and right of the divider."""
    right: int
    box: tuple[int, int, int, int]
    crops: tuple[ViewLayer, ...]
    thumb: Image
    originals: dict[str, Frame]
    """Versions without error maps, for the figures."""
    scores: dict[str, dict[str, float]]
    """PSNR and SSIM of versions under ``psnr`` and ``ssim``, independent of their names in the options."""


@dataclass(frozen=True)
class SliceView:
    set: str
    clip: str
    slices: Slices
    pictures: tuple[ViewLayer, ...]


def charts_of(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the scores of all frames of the first clips for the page's script; clips of one frame have no chart."""
    charts: list[dict[str, Any]] = []
    metrics = dict.fromkeys(m for result in results for m in result.file.settings.metrics)
    for key in dict.fromkeys(key for result in results for key in result.frames):
        owners = [r for r in results if key in r.frames]
        names = owners[0].frames[key].names
        owners = [r for r in owners if r.frames[key].names == names]
        if len(names) < 2 or len(charts) >= MOST_CHARTS * len(metrics):
            continue
        for metric in metrics:
            series = [(r, r.frames[key].values[metric]) for r in owners if metric in r.frames[key].values]
            if series:
                charts.append(
                    _chart(key, metric, names, series, digits_of(metric, results), [r.label for r in results])
                )
    return [{**chart, 'number': i} for i, chart in enumerate(charts)]


def _chart(
    key: tuple[str, str],
    metric: str,
    names: tuple[str, ...],
    series: list[tuple[Result, tuple[float, ...]]],
    digits: int,
    order: list[str],
) -> dict[str, Any]:
    summaries = []
    for result, values in series:
        finite_values = finite(values) or [math.inf]
        low, mean, high = (
            number(v, digits) for v in (min(finite_values), sum(finite_values) / len(finite_values), max(finite_values))
        )
        summaries.append(f'{result.label}: lowest {low}, mean {mean}, highest {high}')
    return {
        'number': 0,
        'set': key[0],
        'clip': key[1],
        'metric': metric,
        'title': f'{metric.upper()}{" (dB)" if metric.lower().startswith("psnr") else ""}',
        'digits': digits,
        'frames': names,
        'summary': f'{metric.upper()} per frame of clip {key[1]}. ' + '; '.join(summaries),
        'series': [_series(r.label, order.index(r.label), values, digits) for r, values in series],
    }


def _series(label: str, color: int, values: tuple[float, ...], digits: int) -> dict[str, Any]:
    shown = [v if math.isfinite(v) else None for v in values]  # JSON has no infinity
    return {'label': label, 'color': color, 'mean': number(sum(values) / len(values), digits), 'values': shown}


def shots_of(footage: ShownClip, results: Sequence[Result], count: int) -> list[Shot]:
    """Return the chosen frames of a clip."""
    scored = {r.label: r.frames[footage.set, footage.clip] for r in results if r.label in footage.files}
    metric = next((m for frames in scored.values() for m in frames.values), None)
    values = [frames.values[metric] for frames in scored.values() if metric and metric in frames.values]
    return [_shot(footage, choice, scored, results) for choice in choose_frames(values, len(footage.names), count)]


def _shot(footage: ShownClip, choice: Choice, scored: dict[str, Frames], results: Sequence[Result]) -> Shot:
    versions = footage.versions(choice.at)
    where = f'clip {footage.clip}, frame {footage.names[choice.at]}'
    layers = [
        ViewLayer(name, lossy(frame, f'{name}: {where}'), _caption(scored, name, choice.at, results))
        for name, frame in versions.items()
    ]
    left, right = _first_pair(list(versions), footage)
    if 'GT' in versions:
        layers += [
            ViewLayer(
                f'Error of {name}', lossy(error_map(versions[name], versions['GT']), f'Error map of {name}: {where}')
            )
            for name in footage.files
            if name in versions
        ]
    box = find_detail(list(versions.values()))
    crops = [
        ViewLayer(
            name, lossless(cut(frame, box), f'{name}: detail of {where}'), _caption(scored, name, choice.at, results)
        )
        for name, frame in versions.items()
    ]
    last = next(reversed(versions.values()))
    thumb = lossy(shrunk(last, _THUMB_WIDTH), f'{where}, whole, with the place of the detail marked')
    return Shot(
        footage.set,
        footage.clip,
        footage.names[choice.at],
        choice.reason,
        tuple(layers),
        left,
        right,
        box,
        tuple(crops),
        thumb,
        versions,
        _scores(scored, choice.at, results),
    )


def _first_pair(names: list[str], footage: ShownClip) -> tuple[int, int]:
    """Return the initial left and right layer: the plainest version and the best network."""
    plain = next((n for n in ('LR bicubic', BICUBIC) if n in names), names[0])
    best = next((n for n in footage.files if n in names and n != plain), names[-1])
    return names.index(plain), names.index(best)


def _scores(scored: dict[str, Frames], index: int, results: Sequence[Result]) -> dict[str, dict[str, float]]:
    kinds = {'calculate_psnr': 'psnr', 'calculate_ssim': 'ssim'}
    types = {
        metric: section.get('type', '')
        for result in results
        for metric, section in result.file.settings.metrics.items()
    }
    return {
        name: {
            kinds[types[metric]]: values[index]
            for metric, values in frames.values.items()
            if types.get(metric) in kinds
        }
        for name, frames in scored.items()
    }


def _caption(scored: dict[str, Frames], name: str, index: int, results: Sequence[Result]) -> str:
    if name not in scored:
        return ''
    figures = scored[name].values.items()
    parts = [f'{metric.upper()} {number(values[index], digits_of(metric, results))}' for metric, values in figures]
    return ' · '.join(parts)


def slices_of(footage: ShownClip) -> SliceView | None:
    slices = cut_slices(footage)
    if slices is None:
        return None
    layers = []
    for name in slices.pictures:
        alt = f'{name}: row {slices.row} of {slices.frames} frames of clip {footage.clip}, time running downwards'
        note = f'flicker {slices.flicker[name]:.2f}' if name in slices.flicker else ''
        layers.append(ViewLayer(name, lossless(slices.tall(name), alt), note))
    return SliceView(footage.set, footage.clip, slices, tuple(layers))


def alignments_of(result: Result) -> list[dict[str, Any]]:
    """Return the views of the alignment that ``iart test --report`` wrote to a results folder.

    Raises:
        DataError: a file of them is missing or damaged.
    """
    return [_alignment(result.label, path) for path in sorted((result.folder / 'alignment').glob('*/*/alignment.json'))]


def _alignment(label: str, path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding='utf-8'))
        frames, orders = facts['frames'], facts['orders']
        current = len(frames) - 1
        views = [_order(path.parent, order, frames, current) for order in orders]
        image = from_png(path.parent / f'frame_{current}.png', f'LR frame {frames[current]} of clip {facts["clip"]}')
        return {
            'label': label,
            'set': facts['set'],
            'clip': facts['clip'],
            'frame': frames[current],
            'image': image,
            'orders': views,
        }
    except OSError as error:
        raise DataError(f'{path}: cannot be read ({error.strerror})') from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f'{path}: damaged ({error!r}); score again with --report to have a new one') from error


def _order(folder: Path, order: dict[str, Any], frames: list[str], current: int) -> dict[str, Any]:
    number_, source = order['order'], frames[order['source']]
    side = order['window']
    what = f'{"first" if number_ == 1 else "second"}-order alignment, from frame {source} to frame {frames[current]}'
    first = -((side - 1) // 2)
    largest = max((math.hypot(dx, dy) for _, _, dx, dy in order['arrows']), default=0)
    taps = [(first + tap // side, first + tap % side) for tap in range(side * side)]
    return {
        **order,
        'title': 'First order' if number_ == 1 else 'Second order',
        'from': source,
        'to': frames[current],
        'offsets': from_png(folder / f'offsets_{number_}.png', f'Sampling offsets of the {what}, as colors'),
        'taps': from_png(folder / f'taps_{number_}.png', f'Attention over the {side * side} taps, {what}'),
        'plain': from_png(
            folder / f'bilinear_{number_}.png', f'Weights that bilinear interpolation would give the taps, {what}'
        ),
        'side': side,
        'stretch': max(1, min(8, int(_LONGEST_ARROW / largest))) if largest else 1,
        'points': [{**point, 'cross': _cross(point['offset'], first)} for point in order['points']],
        'names': [f'row {row:+d}, column {column:+d}'.replace('+0', '0') for row, column in taps],
    }


def _cross(offset: Sequence[float], first: int) -> list[float]:
    """Return (x, y) of the sampling point in the drawing of the taps, which are 80 units apart, the first at 45."""
    return [45 + 80 * (v - math.floor(v) - first) for v in offset]
