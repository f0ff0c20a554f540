"""What an alignment did to a few frames, written down for a report: where it read its source, and how it weighed the
taps.

::

    <folder>/<set>/<clip>/alignment.json                 figures, arrows, a few pixels in detail
    <folder>/<set>/<clip>/frame_<k>.png                  the LR frames; the last one is aligned to
    <folder>/<set>/<clip>/offsets_<order>.png            sampling offsets as colors
    <folder>/<set>/<clip>/taps_<order>.png               attention over the taps, one map each, laid out as the taps lie
    <folder>/<set>/<clip>/bilinear_<order>.png           what bilinear interpolation at the same places would have given

The network runs once more, on three frames, so that views do not depend on how the clip was cut up for scoring.
"""

import math
import shutil
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iart import log
from iart.archs.clip_frames import Flows
from iart.archs.flow import comes_with_clip
from iart.data.loaders import build_part
from iart.files import to_json, write_text
from iart.image import Frame, to_tensor, write_png
from iart.ops.taps import first_tap, sampling_taps
from iart.scoring.set_report import SetReport

FRAMES = 3  # enough for a second-order neighbor
_LARGEST = 256  # LR pixels a side; a larger frame is cut around its middle
_ARROWS = 14  # along the longer side
_POINTS = 3

Floats = NDArray[np.float32]


class Call(NamedTuple):
    """What one call of an alignment got."""

    align: nn.Module
    source: Any
    current: Tensor
    flow: Tensor


def write_views(network: nn.Module, report: SetReport, folder: Path, *, scale: int, device: torch.device) -> bool:
    """Write the views of the first saved clip of a test set; False where the network has no alignment that can be
    looked at.

    Args:
        network: on ``device``, in evaluation mode.
        report: report of the test set.
        folder: see the top of this file.

    Raises:
        DataError: a frame cannot be read or a file not written.
    """
    clip = next(iter(report.material.saved), None)
    if clip is None or not any(map(_can_be_asked, network.modules())) or not getattr(network, 'recurrent', True):
        return False
    dataset = build_part(report.material.section, [clip], key=f'datasets.{report.key}', scale=scale)
    number = next(i for i, info in enumerate(dataset.clips) if info.name == clip)
    lq, names = dataset.read_lq(number), dataset.clips[number].frames
    start = max(0, len(lq) // 2 - FRAMES + 1)
    box = _middle(lq.shape[1:3])
    top, left, height, width = box
    lq = lq[start : start + FRAMES, top : top + height, left : left + width]
    flows = None
    if comes_with_clip(getattr(network, 'spynet', None)) and hasattr(dataset, 'read_flows'):
        part = dataset.read_flows(number)[:, start : start + len(lq) - 1, :, top : top + height, left : left + width]
        flows = tuple(torch.from_numpy(direction)[None].to(device) for direction in part)
    calls = watch(network, to_tensor(lq)[None].to(device), flows)
    if not calls:
        log.logger.info(
            f'{report.scores.title}: no views of the alignment: clip {clip} has {len(names)} frame(s), or it was '
            'not called'
        )
        return False
    target = folder / report.scores.title / clip
    orders = [
        {'order': order, 'source': len(lq) - 1 - order, **_write_order(target, order, call, (height, width))}
        for order, call in enumerate(calls, 1)
    ]
    if not all(math.isfinite(order[value]) for order in orders for value in ('mean_offset', 'difference')):
        log.logger.warning(f'{report.scores.title}: no views of the alignment: its offsets or weights are not finite')
        shutil.rmtree(target, ignore_errors=True)
        return False
    for k, frame in enumerate(lq):
        write_png(target / f'frame_{k}.png', frame)
    facts = {
        'set': report.scores.title,
        'clip': clip,
        'frames': list(names[start : start + FRAMES]),
        'box': box,
        'orders': orders,
    }
    write_text(target / 'alignment.json', to_json(facts))
    return True


def watch(network: nn.Module, lq: Tensor, flows: Flows | None = None) -> list[Call]:
    """Run the network on (1, t, 3, h, w) and return the last calls of its alignment: first order, and second where t ≥
    3.
    """
    count = min(lq.shape[1], FRAMES) - 1
    calls: deque[Call] = deque(maxlen=max(count, 0))
    with _listening(network, calls), torch.inference_mode():
        network(lq, flows) if flows is not None else network(lq)
    return list(calls)


def bilinear_weights(offset: Tensor, window: int, first: int | None = None) -> Tensor:
    """Return the (..., window²) weights of bilinear interpolation for (..., 2) sub-pixel offsets; taps begin at
    ``first``.
    """
    first = first_tap(window, 'centered') if first is None else first
    places = torch.arange(first, first + window, device=offset.device)
    row, column = (1 - (places - offset[..., i, None]).abs() for i in (0, 1))
    return (row.clamp(min=0).unsqueeze(-1) * column.clamp(min=0).unsqueeze(-2)).flatten(-2)


def _can_be_asked(module: nn.Module) -> bool:
    return callable(getattr(module, 'tap_weights', None))


@contextmanager
def _listening(network: nn.Module, calls: deque[Call]) -> Iterator[None]:
    def note(align: nn.Module, arguments: tuple[Any, ...]) -> None:
        calls.append(Call(align, *arguments))

    hooks = [module.register_forward_pre_hook(note) for module in network.modules() if _can_be_asked(module)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _middle(size: tuple[int, int]) -> tuple[int, int, int, int]:
    height, width = (min(side, _LARGEST) for side in size)
    return (size[0] - height) // 2, (size[1] - width) // 2, height, width


def _write_order(target: Path, order: int, call: Call, size: tuple[int, int]) -> dict[str, Any]:
    """Write the images and figures of one call, without the padding of small frames."""
    align: Any = call.align
    window = int(align.window)
    with torch.inference_mode():
        shares = align.tap_weights(call.source, call.current, call.flow)[0]
        offset = sampling_taps(call.flow[:1], window)[1].unflatten(0, call.flow.shape[-2:])
        plain = bilinear_weights(offset, window, getattr(align, 'first', None)).permute(2, 0, 1)
    height, width = size
    flow, heads, bilinear = (x[..., :height, :width].float().cpu().numpy() for x in (call.flow[0], shares, plain))
    attention = heads.mean(0)
    reach = float(np.hypot(*flow).max())
    brightest = min(1.0, float(np.ceil(attention.max() * 20) / 20))
    write_png(target / f'offsets_{order}.png', color_offsets(flow, reach))
    write_png(target / f'taps_{order}.png', _maps(attention / brightest))
    write_png(target / f'bilinear_{order}.png', _maps(bilinear))
    step = max(1, -(-max(size) // _ARROWS))
    return {
        'window': window,
        'heads': len(heads),
        'mean_offset': float(np.hypot(*flow).mean()),
        'largest_offset': reach,
        'brightest': brightest,  # of the attention's picture
        'attention': attention.mean((1, 2)).tolist(),
        'bilinear': bilinear.mean((1, 2)).tolist(),
        'difference': float(np.abs(attention - bilinear).sum(0).mean() / 2),
        'arrows': [
            [x, y, *(round(float(v), 3) for v in flow[:, y, x])]
            for y in range(step // 2, height, step)
            for x in range(step // 2, width, step)
        ],
        'points': [
            {
                'x': x,
                'y': y,
                'offset': flow[:, y, x].tolist(),
                'bilinear': bilinear[:, y, x].tolist(),
                'attention': attention[:, y, x].tolist(),
                'heads': heads[:, :, y, x].tolist(),
            }
            for y, x in _places(np.abs(attention - bilinear).sum(0))
        ],
    }


def color_offsets(flow: Floats, reach: float) -> Frame:
    """Color a (2, h, w) flow in pixels as (h, w, 3): hue is direction, full color ``reach`` pixels, white zero."""
    angle = np.degrees(np.arctan2(flow[1], flow[0])) % 360
    length = np.clip(np.hypot(*flow) / max(reach, 1e-6), 0, 1)
    hsv = np.stack([angle, length, np.ones_like(length)], -1).astype(np.float32)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).round().astype(np.uint8)


def _maps(shares: Floats) -> Frame:
    """Arrange (window², h, w) values in [0, 1] as maps in a square, two white pixels apart."""
    side = round(len(shares) ** 0.5)
    colors = (matplotlib.colormaps['viridis'](np.clip(shares, 0, 1))[..., :3] * 255).round().astype(np.uint8)
    _, h, w, _ = colors.shape
    sheet = np.full((side * (h + 2) - 2, side * (w + 2) - 2, 3), 255, np.uint8)
    for tap, color in enumerate(colors):
        top, left = tap // side * (h + 2), tap % side * (w + 2)
        sheet[top : top + h, left : left + w] = color
    return sheet


def _places(interest: Floats) -> list[tuple[int, int]]:
    """Return (y, x) of the highest values, apart from each other and not at the edge."""
    h, w = interest.shape
    remaining = interest.copy()
    edge = min(4, (min(h, w) - 1) // 2)
    remaining[:edge], remaining[h - edge :], remaining[:, :edge], remaining[:, w - edge :] = -1, -1, -1, -1
    places: list[tuple[int, int]] = []
    while len(places) < _POINTS and remaining.max() >= 0:
        y, x = (int(i) for i in np.unravel_index(int(remaining.argmax()), remaining.shape))
        places.append((y, x))
        remaining[max(0, y - h // 5) : y + h // 5 + 1, max(0, x - w // 5) : x + w // 5 + 1] = -1
    return places
