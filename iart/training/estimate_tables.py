"""Tables of an estimated training run."""

from collections.abc import Sequence

from iart import log
from iart.errors import quantity
from iart.inference.plan import spell
from iart.training.cost_estimate import Estimate
from iart.training.gpu_predictions import Prediction

_LONG_DAYS = 60  # on a CPU: the recipe is meant for GPUs


def print_estimate(estimate: Estimate) -> None:
    """Print the figures of this device, ways to less memory, predictions for GPUs, and the notes.

    The predictions come first where the run would take a CPU months.
    """
    load, timed = estimate.load, estimate.timed
    too_long = estimate.device == 'cpu' and estimate.days > _LONG_DAYS
    if too_long:
        log.logger.info(f'a run for GPUs: on this processor it would take about {estimate.days:,.0f} days')
        _print_predictions(estimate.predictions)
    verdict = 'fits' if estimate.fits else 'DOES NOT FIT: see below'
    rows = [
        ('parameters', f'{estimate.parameters:,} ({estimate.flow_parameters:,} of them flow network)'),
        *([('discriminator', f'{estimate.discriminator_parameters:,}')] if estimate.discriminator_parameters else []),
        *((f'GFLOPs per frame of {size}', f'{count / 1e9:,.0f}') for size, count in estimate.flops_per_frame.items()),
        (
            'a step',
            f'{quantity(load.clips, "clip")} of {quantity(load.frames, "frame")}, LR {load.side}×{load.side}, '
            f'{estimate.precision}',
        ),
        ('TFLOPs per iteration', f'{estimate.flops_per_step / 1e12:.2f}'),
        ('timed', f'{timed.clips} × {timed.frames} frames, LR {timed.side}×{timed.side}, {estimate.timed_precision}'),
        ('seconds per iteration', f'{estimate.seconds:.3g}'),
        ('iterations', f'{estimate.total_iter:,}'),
        ('days in all', f'{estimate.days:,.2f}'),
        ('clips per second to read', f'{estimate.clips_per_second:.3g}'),
        ('memory', f'{spell(estimate.memory)} expected, {spell(estimate.free)} free: {verdict}'),
    ]
    log.table(f'{estimate.network} on {estimate.device}, per process', ['', 'estimate'], rows)
    shown = [
        [
            c.what,
            spell(c.memory),
            'yes' if c.fits else 'no',
            f'{c.seconds:.3g}' if c.seconds is not None else 'not timed',
        ]
        for c in estimate.changes
    ]
    if shown:
        log.table('Ways to less memory', ['change', 'memory', 'fits', 's/iteration'], shown)
    if not too_long:
        _print_predictions(estimate.predictions)
    for note in estimate.notes:
        log.logger.info(f'note: {note}')


def _print_predictions(predicted: Sequence[Prediction]) -> None:
    log.table(
        'PREDICTED for GPUs, not measured (docs/gpu.md); frames of 320x180',
        ['GPU', 's/iteration', 'days', 'memory', 'fits', 'ms/frame', 'bound by'],
        [
            [
                p.gpu,
                '–' if p.seconds is None else f'{p.seconds:.3g}',
                '–' if p.days is None else f'{p.days:,.2f}',
                spell(p.memory),
                'yes' if p.fits else 'no',
                '–' if p.frame_ms is None else f'{p.frame_ms:,.0f}',
                p.bound,
            ]
            for p in predicted
        ],
    )
