"""Figures for papers: PNG, SVG and PDF under one name."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from iart.analysis.cost import Cost
from iart.analysis.frequency import KERNELS, Measured, exact, response
from iart.analysis.known_flow import DISTANCES, PHASES, AlignmentError
from iart.analysis.tap_curves import TapCurves
from iart.files import named_errors, write_atomically

FORMATS = ('png', 'svg', 'pdf')
COLORS = ('#2f6fdb', '#d9730d', '#1a8f5a', '#a345c9', '#c2334d', '#7a6a00', '#3d4b5c')


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, SVG and PDF; return the PNG.

    Args:
        figure: the figure to write.
        path: path of the files, without an extension.

    Raises:
        DataError: a file cannot be written.
    """
    FigureCanvasAgg(figure)
    for kind in FORMATS:
        target = path.with_name(f'{path.name}.{kind}')
        with named_errors(target):
            write_atomically(target, partial(figure.savefig, format=kind, dpi=200))
    return path.with_name(f'{path.name}.png')


def frequency(measured: Mapping[str, Mapping[str, Measured]]) -> Figure:
    """Draw the exact curves of the fixed kernels over frequency, and those measured on trained alignments.

    Args:
        measured: curves by alignment and axis; ``x`` is drawn solid, ``y`` dashed.
    """
    f = np.linspace(0, 0.5, 200)
    figure = Figure(figsize=(11, 3.3), layout='constrained')
    gain, energy, error = figure.subplots(1, 3)
    for color, name in zip(COLORS[: len(KERNELS)], KERNELS, strict=True):
        curves = exact(name, f)
        for axes, values in ((gain, curves.gain), (energy, curves.energy), (error, curves.error)):
            axes.plot(f, values, color=color, label=name)
    for number, (name, by_axis) in enumerate(measured.items()):
        color = COLORS[(len(KERNELS) + number) % len(COLORS)]
        for axis, trained in by_axis.items():
            keep = trained.f < 0.48  # at the highest frequency a real signal has no phase, and no ideal shift
            style = {'color': color, 'linewidth': 1, 'linestyle': '-' if axis == 'x' else '--', 'marker': '.'}
            label = f'{name} (measured)' if axis == 'x' else None
            energy.plot(trained.f[keep], trained.energy[keep], label=label, **style)
            error.plot(trained.f[keep], trained.error[keep], **style)
    if measured:  # what is learned is not bound by 1, as fixed kernels are
        energy.set_yscale('log')
        energy.set_yticks([0.3, 0.5, 1, 2, 4], ['0.3', '0.5', '1', '2', '4'])
        energy.minorticks_off()
        error.set_yscale('log')
        error.set_ylim(bottom=1e-3)
    for axes, title in ((gain, 'mean response F'), (energy, 'mean energy E'), (error, 'mean squared error')):
        axes.set_title(title, fontsize=10)
        _tidy(axes, 'cycles per pixel')
    _legend_beside(figure, energy)
    return figure


def single_shifts() -> Figure:
    """Draw the magnitude of the fixed kernels' response, and its error, for single sub-pixel shifts."""
    f = np.linspace(0, 0.5, 200)
    figure = Figure(figsize=(10, 5.2), layout='constrained')
    for column, (upper, lower, name) in enumerate(zip(*figure.subplots(2, len(KERNELS)), KERNELS, strict=True)):
        for color, d in zip(COLORS[:4], (0.125, 0.25, 0.375, 0.499), strict=True):
            shown = response(name, f, d)
            upper.plot(f, np.abs(shown), color=color, label=f'd = {d:.3g}')
            lower.plot(f, np.abs(shown - np.exp(2j * np.pi * f * d)) ** 2, color=color)
        upper.set_title(name, fontsize=10)
        _tidy(upper, '')
        _tidy(lower, 'cycles per pixel')
        upper.set_ylim(-0.05, 1.2)
        lower.set_ylim(-0.1, 2.1 if name == 'nearest' else 1.1)
        if column == 0:
            upper.set_ylabel('|H(f; d)|')
            lower.set_ylabel('squared error')
            upper.legend(frameon=False, fontsize=7)
    return figure


def errors(measured: Mapping[str, AlignmentError]) -> Figure:
    """Draw alignment errors by sub-pixel phase and by distance to occlusions."""
    figure = Figure(figsize=(9.5, 3.4), layout='constrained')
    by_phase, by_distance = figure.subplots(1, 2)
    for number, (name, error) in enumerate(measured.items()):
        line = '-' if number < len(COLORS) else '--'
        style = {'color': COLORS[number % len(COLORS)], 'linestyle': line, 'label': name}
        by_phase.plot((np.arange(PHASES) + 0.5) / (2 * PHASES), error.by_phase, marker='.', **style)
        by_distance.plot(range(len(DISTANCES)), error.by_distance, marker='.', **style)
    by_distance.set_xticks(range(len(DISTANCES)), [f'≤{d}' for d in DISTANCES[:-1]] + [f'>{DISTANCES[-2]}'])
    for axes, label in ((by_phase, 'distance of the flow to a whole pixel'), (by_distance, 'pixels to an occlusion')):
        axes.set_ylabel('squared error / variance', fontsize=8)
        axes.set_yscale('log')
        _tidy(axes, label)
    _legend_beside(figure, by_phase)
    return figure


def taps(curves: TapCurves) -> Figure:
    """Draw attention over the taps against the shift in x, beside bilinear weights.

    Heads are thin lines, their mean over pixels is thick, and a band holds four of five pixels.
    """
    count = curves.bilinear.shape[1]
    side = round(count**0.5)
    figure = Figure(figsize=(2.4 * side, 2.1 * side), layout='constrained')
    for tap, axes in enumerate(figure.subplots(side, side, sharex=True, sharey=True).ravel()):
        heads = curves.attention[:, :, tap]
        axes.fill_between(curves.offsets, *curves.spread[:, :, tap].T, color=COLORS[0], alpha=0.15, linewidth=0)
        names = ['heads', *[''] * (heads.shape[1] - 1)]
        axes.plot(curves.offsets, heads, color=COLORS[0], alpha=0.4, linewidth=0.8, label=names)
        axes.plot(curves.offsets, heads.mean(1), color=COLORS[0], linewidth=2, label='mean of heads')
        axes.plot(curves.offsets, curves.bilinear[:, tap], '--', color=COLORS[1], label='bilinear')
        axes.set_title(f'row {tap // side}, column {tap % side}', fontsize=8)
        _tidy(axes, 'shift in x' if tap // side == side - 1 else '')
    figure.axes[0].legend(frameon=False, fontsize=7)
    return figure


def cost(measured: Sequence[Cost]) -> Figure:
    """Draw time and memory of each alignment."""
    figure = Figure(figsize=(9, 0.8 + 0.3 * len(measured)), layout='constrained')
    time, memory = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(measured))[::-1]
    time.barh(places + 0.2, [c.milliseconds for c in measured], 0.4, color=COLORS[0], label='forward')
    time.barh(places - 0.2, [c.training_milliseconds for c in measured], 0.4, color=COLORS[1], label='and backward')
    memory.barh(places, [c.megabytes for c in measured], 0.5, color=COLORS[2])
    time.set_yticks(places, [f'{c.label} ({c.parameters:,})' for c in measured], fontsize=8)
    time.legend(frameon=False, fontsize=7)
    time.set_xscale('log')
    _tidy(time, 'ms per call')
    _tidy(memory, 'MB')
    return figure


def _legend_beside(figure: Figure, axes: Axes) -> None:
    """Put the legend of one of its plots to the right of a figure, where it covers no curve."""
    handles, labels = axes.get_legend_handles_labels()
    dashed = 3.5  # length of the lines in the legend that shows dashes beside a marker
    figure.legend(handles, labels, loc='outside right upper', frameon=False, fontsize=7, handlelength=dashed)


def _tidy(axes: Axes, label: str) -> None:
    axes.set_xlabel(label, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)
