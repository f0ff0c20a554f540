"""A comparison picture of one frame: whole frames in a row, and the same enlarged detail of each below."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from iart.errors import DataError
from iart.files import named_errors, write_atomically

Frame = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""(top, left, height, width) in pixels of the largest column."""

_COLUMN_INCHES, _DPI = 3.6, 130
_MARK = '#ff3b30'
_DETAIL_SHARE = 5  # the detail is this part of the frame's height and width


def comparison(
    path: Path,
    columns: Mapping[str, Frame],
    scores: Mapping[str, Mapping[str, float]] | None = None,
    crop: Box | None = None,
    title: str = '',
) -> Box:
    """Write a PNG with one column per image: the whole frame with the detail marked, and the detail below it.

    Smaller images (LR) are enlarged without interpolation, so that their pixels show. Written under a temporary name,
    then renamed.

    Args:
        columns: caption and frame (h, w, 3) uint8 RGB, left to right; the last is the ground truth or the best there
            is.
        scores: caption of a column and its figures: ``psnr`` in dB, ``ssim``; shown below the caption.
        crop: the detail; None to choose one (:func:`find_detail`).
        title: line above everything.

    Returns:
        The detail shown.

    Raises:
        DataError: no columns, or the file cannot be written.
    """
    if not columns:
        raise DataError('comparison picture: got no columns, expected one frame or more')
    size = max((image.shape[:2] for image in columns.values()), key=lambda s: s[0] * s[1])
    frames = {name: enlarge(image, size) for name, image in columns.items()}
    box = crop or find_detail(list(frames.values()))
    top, left, height, width = box
    count = len(frames)
    whole_inches = _COLUMN_INCHES * size[0] / size[1]
    detail_inches = _COLUMN_INCHES * height / width
    figure = Figure(
        figsize=(count * _COLUMN_INCHES, whole_inches + detail_inches + (1.0 if title else 0.7)),
        dpi=_DPI,
        layout='constrained',
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, count, squeeze=False, height_ratios=(whole_inches, detail_inches))
    for column, (name, frame) in enumerate(frames.items()):
        axes[0, column].imshow(frame, interpolation='antialiased')
        axes[0, column].add_patch(
            Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor=_MARK, linewidth=1.6)
        )
        axes[0, column].set_title(_caption(name, columns[name], (scores or {}).get(name, {})), fontsize=12)
        axes[1, column].imshow(frame[top : top + height, left : left + width], interpolation='nearest')
        for row in (0, 1):
            axes[row, column].set(xticks=[], yticks=[])
            axes[row, column].spines[:].set(color=_MARK if row else '#999999', linewidth=1.6 if row else 0.5)
    if title:
        figure.suptitle(title, fontsize=13, fontweight='bold')
    _save(figure, path)
    return box


def find_detail(frames: list[Frame]) -> Box:
    """Choose a detail of the frame: rich in edges in the last frame, and where the others differ from it.

    Args:
        frames: frames of equal size, the last one the ground truth.
    """
    h, w = frames[-1].shape[:2]
    height, width = max(h // _DETAIL_SHARE, min(h, 16)), max(w // _DETAIL_SHARE, min(w, 16))
    luma = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in frames]
    edges = cv2.magnitude(cv2.Sobel(luma[-1], cv2.CV_32F, 1, 0), cv2.Sobel(luma[-1], cv2.CV_32F, 0, 1))
    interest = edges / (float(edges.mean()) + 1e-6)
    if len(frames) > 2:  # where methods differ from each other, not where all fail alike
        spread = np.ptp(np.stack(luma[1:]), axis=0)
        interest = np.sqrt(interest * (spread / (float(spread.mean()) + 1e-6)))
    sums = cv2.integral(interest.astype(np.float32))
    windows = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(int(np.argmax(windows)), windows.shape)
    return int(top), int(left), height, width


def enlarge(image: Frame, size: tuple[int, int]) -> Frame:
    """Enlarge (h, w, 3) to (*size, 3) by repeating pixels."""
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_NEAREST), np.uint8)


def _caption(name: str, image: Frame, figures: Mapping[str, float]) -> str:
    shown = [f'{figures["psnr"]:.2f} dB'] if 'psnr' in figures else []
    shown += [f'SSIM {figures["ssim"]:.4f}'] if 'ssim' in figures else []
    return f'{name}\n{"  ·  ".join(shown) or f"{image.shape[1]} × {image.shape[0]}"}'


def _save(figure: Figure, path: Path) -> None:
    with named_errors(path):
        write_atomically(path, lambda name: figure.savefig(name, format='png'))
