"""The command ``iart analyze``."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iart.commands.arguments import add_command

if TYPE_CHECKING:
    import torch

    from iart.analysis.cost import Cost
    from iart.analysis.findings import Findings, FindingsPicture
    from iart.analysis.known_flow import AlignmentError, Pair
    from iart.archs.alignment_study_arch import AlignmentStudyNet

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
    '{}: attention over the taps as the shift in x grows, the shift in y being a quarter of a pixel. Thin lines: '
    'heads; thick: their mean; dashed: bilinear weights.'
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
        type=Path,
        nargs='*',
        default=[],
        help='trained networks of the study (AlignmentStudyNet), to measure',
    )
    analyze.add_argument('--clips', type=int, default=4, help='rendered clips to measure on')
    analyze.add_argument('--stills', help='folder of photographs for them; default: drawn textures')
    analyze.add_argument('--folder', default='datasets/synthetic', help='where rendered clips are kept')
    analyze.add_argument('--device', default='auto', help='where the cost is measured')


def _analyze(arguments: argparse.Namespace) -> None:
    from iart import device, log
    from iart.analysis import plots
    from iart.analysis.cost import costs
    from iart.analysis.findings import FindingsPicture, write_findings
    from iart.analysis.frequency import measure
    from iart.analysis.known_flow import alignment_error
    from iart.analysis.tap_curves import tap_curves
    from iart.data.exact_flow_dataset import SyntheticFlowTestDataset
    from iart.files import to_json, write_text
    from iart.registry import ALIGNMENT_REGISTRY, build
    from iart.reporting.page import write_measurement_page
    from iart.study.rows import ROWS

    log.setup()
    out: Path = arguments.output
    dataset = SyntheticFlowTestDataset(
        clips_rendered=arguments.clips, frames=3, stills=arguments.stills, folder=arguments.folder, scene_seed=2
    )
    images = list(pairs_of(dataset))
    fixed = {
        f'{name}, image': build(ALIGNMENT_REGISTRY, ROWS[name].alignment, channels=3, num_heads=1)
        for name in ('none', 'nearest', 'bilinear', 'bicubic', 'patch')
    }
    error = {name: alignment_error(align, images) for name, align in fixed.items()}
    response = {}
    pictures = []
    for path in arguments.weights:
        network, label = _network(path), path.parent.parent.name if path.parent.name == 'models' else path.stem
        pairs = list(pairs_of(dataset, network))
        error[label] = alignment_error(network.align, pairs)
        response[label] = {axis: measure(network.align, pairs[0].current, axis=axis) for axis in ('x', 'y')}
        if hasattr(network.align, 'tap_weights'):
            curves = tap_curves(network.align, pairs[0].source, pairs[0].current)
            plots.save(plots.taps(curves), out / f'taps_{label}')
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
    """What is shown of it on a page."""
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


def pairs_of(dataset: Any, network: 'AlignmentStudyNet | None' = None) -> 'Iterator[Pair]':
    """Yield neighboring frames of a rendered set with their exact flow: images, or what a network's alignment gets."""
    import numpy as np
    import torch

    from iart.analysis.known_flow import Pair

    for number, clip in enumerate(dataset.clips):
        lq = dataset[number]['lq']
        shown = lq if network is None else _features(network, lq)
        flows, hidden = dataset.read_flows(number)[0], np.array(dataset.store.array(clip.name, 'hidden')[0])
        for i in range(len(lq) - 1):
            yield Pair(shown[i + 1 : i + 2], shown[i : i + 1], torch.from_numpy(flows[i : i + 1].copy()), hidden[i])


def _features(network: 'AlignmentStudyNet', lq: 'torch.Tensor') -> 'torch.Tensor':
    """(t, 3, h, w) frames → (t, C, h, w) features of the first backbone."""
    import torch

    with torch.no_grad():
        return network.swin_backbone_1(network.conv_first(lq).unsqueeze(1))


def _network(path: Path) -> 'AlignmentStudyNet':
    from iart.archs.alignment_study_arch import AlignmentStudyNet
    from iart.archs.builder import build_network
    from iart.archs.recognize import network_section
    from iart.errors import WeightsError
    from iart.options import load
    from iart.weights import load_weights

    run = path.parent.parent / 'options.yml'  # a training run knows more than the shapes of its weights tell
    section = load(run).network_g if run.is_file() else network_section(path)
    if section is None or section.get('type') != 'AlignmentStudyNet':
        raise WeightsError(
            f'--weights: {path}: got {section and section["type"]}, expected weights of AlignmentStudyNet'
        )
    network = build_network(section)
    assert isinstance(network, AlignmentStudyNet)
    load_weights(network, path)
    return network.eval()


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, 'tolist') else value
