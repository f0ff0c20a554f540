"""The command ``iart analyze``."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iart.commands.arguments import add_command

if TYPE_CHECKING:
    from iart.analysis.cost import Cost
    from iart.analysis.findings import Findings, FindingsPicture
    from iart.analysis.known_flow import AlignmentError

_ROWS = (
    'none',
    'nearest',
    'bilinear',
    'bicubic',
    'patch',
    'nearest4',
    'fgdc',
    'fgda',
    'implicit',
    'window_3',
    'window_4',
)


_CAPTIONS = {
    'frequency': 'Response of the fixed kernels, averaged over sub-pixel shifts, in closed form; of trained alignments '
    'as measured, along x (solid) and y (dashed). Mean response relative to an ideal shift, energy that is left, and '
    'squared error against the ideal shift.',
    'shifts': 'Magnitude and squared error of the fixed kernels for single sub-pixel shifts d.',
    'known_flow': 'Squared error on exactly known flow, by the distance of the flow to a whole pixel and by the '
    'distance to an occlusion.',
    'cost': 'Time of a call, forward and with backward, and memory at its peak; parameters in brackets.',
}
_TAPS = (
    '{}: attention over the taps as the shift in x grows, the shift in y being a quarter of a pixel. Thick: mean over '
    'heads and pixels; thin: heads; band: four of five pixels; dashed: bilinear weights.'
)


def add_commands(commands: Any) -> None:
    """Add ``analyze`` to the subparsers of ``iart``."""
    analyze = add_command(
        commands, 'analyze', _analyze, 'frequency response, error on known flow, taps and cost of alignments'
    )
    analyze.add_argument(
        '--output', type=Path, default=Path('results/analysis'), help='folder for figures and analysis.json'
    )
    analyze.add_argument(
        '--weights',
        nargs='*',
        default=[],
        metavar='NAME_OR_FILE',
        help='trained networks to measure (AlignmentStudyNet, IABasicVSR, IART): files, or names of '
        'iart weights --list',
    )
    analyze.add_argument('--clips', type=int, default=4, help='rendered clips to measure on')
    analyze.add_argument('--stills', help='folder of photographs for them; default: drawn textures')
    analyze.add_argument('--folder', default='datasets/synthetic', help='folder for rendered clips')
    analyze.add_argument('--device', default='auto', help='the device to measure the cost on')


def _analyze(arguments: argparse.Namespace) -> None:
    from iart import device, log
    from iart.analysis import plots
    from iart.analysis.cost import costs
    from iart.analysis.findings import FindingsPicture, write_findings
    from iart.analysis.frequency import measure
    from iart.analysis.known_flow import alignment_error
    from iart.analysis.tap_curves import tap_curves
    from iart.analysis.trained import TrainedNetwork, distinct, image_pairs, inputs_of
    from iart.data.exact_flow_dataset import SyntheticFlowTestDataset
    from iart.files import to_json, write_text
    from iart.registry import ALIGNMENT_REGISTRY, build
    from iart.reporting.page import write_measurement_page
    from iart.study.rows import ROWS
    from iart.upscaling.networks import find

    log.setup()
    out: Path = arguments.output
    dataset = SyntheticFlowTestDataset(
        clips_rendered=arguments.clips, frames=3, stills=arguments.stills, folder=arguments.folder, scene_seed=2
    )
    networks = distinct([TrainedNetwork(find(weights)) for weights in arguments.weights])
    images = list(image_pairs(dataset))
    fixed = {
        f'{name}, image': build(ALIGNMENT_REGISTRY, ROWS[name].alignment, channels=3, num_heads=1)
        for name in ('none', 'nearest', 'bilinear', 'bicubic', 'patch')
    }
    error = {name: alignment_error(align, images) for name, align in fixed.items()}
    response, taps = {}, {}
    pictures = []
    for label, network in networks.items():
        error[label] = alignment_error(network.align, network.pairs(dataset))
        still = inputs_of(network.network, [dataset[number]['lq'][0] for number in range(len(dataset))])
        response[label] = {axis: measure(network.align, *still, axis=axis) for axis in ('x', 'y')}
        if hasattr(network.align, 'tap_weights'):
            taps[label] = tap_curves(network.align, *still)
            plots.save(plots.taps(taps[label]), out / f'taps_{label}')
            pictures.append(FindingsPicture(f'taps_{label}.png', _TAPS.format(label)))
    cost = costs([(ROWS[name].label, ROWS[name].alignment) for name in _ROWS], device.choose(arguments.device))
    plots.save(plots.frequency(response), out / 'frequency')
    plots.save(plots.single_shifts(), out / 'shifts')
    plots.save(plots.errors(error), out / 'known_flow')
    plots.save(plots.cost(cost), out / 'cost')
    facts = {
        'known_flow': {name: {k: _plain(v) for k, v in e._asdict().items()} for name, e in error.items()},
        'frequency': {
            name: {axis: {k: _plain(v) for k, v in m._asdict().items()} for axis, m in by_axis.items()}
            for name, by_axis in response.items()
        },
        'taps': {name: {k: _plain(v) for k, v in curves._asdict().items()} for name, curves in taps.items()},
        'cost': [c._asdict() for c in cost],
    }
    write_text(out / 'analysis.json', to_json(facts))
    pictures = [*(FindingsPicture(f'{name}.png', caption) for name, caption in _CAPTIONS.items()), *pictures]
    findings = _findings(error, cost, pictures, arguments.clips)
    write_findings(out, findings)
    write_measurement_page(out, out / 'index.html')
    for table in findings.tables:
        for line in table.markdown():
            log.logger.info(line)
    log.logger.info(f'written to {out}: index.html, figures as PNG, SVG and PDF, analysis.json, findings.json')


def _findings(
    error: 'Mapping[str, AlignmentError]', cost: 'Sequence[Cost]', pictures: 'Sequence[FindingsPicture]', clips: int
) -> 'Findings':
    """Return the findings for a page."""
    from iart.analysis.findings import Findings, Table

    known_flow = tuple((name, f'{e.visible:.4f}', f'{e.hidden:.4f}') for name, e in error.items())
    spent = tuple(
        (
            c.label,
            f'{c.parameters:,}',
            f'{c.milliseconds:.2f}',
            f'{c.training_milliseconds:.2f}',
            f'{c.megabytes:.1f}',
        )
        for c in cost
    )
    return Findings(
        'Alignments analyzed',
        (f'Errors on known flow are of {clips} rendered clips: squared error relative to the variance of the truth.',),
        (
            Table('Error on known flow', ('alignment', 'visible', 'hidden'), known_flow),
            Table(
                'Cost of a call at 64×64 pixels, 60 channels',
                ('alignment', 'parameters', 'ms', 'ms with backward', 'MB'),
                spent,
            ),
        ),
        tuple(pictures),
    )


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, 'tolist') else value
