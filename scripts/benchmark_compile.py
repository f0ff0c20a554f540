"""Measure what ``train.compile`` brings: a training step of an options file's network as it is and compiled.

    python scripts/benchmark_compile.py -opt options/small/IART_small_final.yml [--frames 15] [--threads 1]

Weights, frames and flows are random; crop, batch, precision and pixel loss are the file's. Reading data, validation and
saving are not in the time. The variants take turns; medians of a step (forward, loss, backward, Adam) and their ratios
are printed.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from iart import device as devices
from iart import log
from iart.archs.builder import build_network, compile_network, without_weight_files
from iart.data.batch import Batch
from iart.errors import OptionsError
from iart.models.vsr_model import VSRModel
from iart.options import Options, load
from iart.registry import LOSS_REGISTRY, build
from iart.stopwatch import in_turn

CLOCKS: dict[str, Callable[[], float]] = {'wall': time.perf_counter, 'cpu': time.process_time}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-opt', required=True, metavar='YAML', help='options of a training run')
    parser.add_argument('--frames', type=int, help="frames of a window; default: the file's num_frame")
    parser.add_argument('--rounds', type=int, default=3, help='timed steps of each variant')
    parser.add_argument('--backend', default='inductor', help='of torch.compile; eager compiles nothing, for tests')
    parser.add_argument('--clock', default='wall', choices=CLOCKS, help='cpu: processor time of this process')
    parser.add_argument('--threads', type=int, help="CPU threads; default: torch's")
    parser.add_argument('--device', default='auto')
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the figures to this file')
    arguments = parser.parse_args()
    log.setup()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    options, device = load(arguments.opt), devices.choose(arguments.device)
    models = {name: model_of(options, device) for name in ('as it is', 'network compiled', 'network and loss compiled')}
    compile_network(models['network compiled'].network, backend=arguments.backend)
    models['network and loss compiled'].compile_parts(backend=arguments.backend)
    batch = batch_of(options, arguments.frames, device)
    steps = [step_of(model, batch, options, device) for model in models.values()]
    begin = time.perf_counter()
    for step in steps:
        step()
    log.logger.info(f'first steps, compilation included: {time.perf_counter() - begin:.1f} s in all')
    seconds = dict(zip(models, in_turn(steps, arguments.rounds, device, clock=CLOCKS[arguments.clock]), strict=True))
    ratios = {name: seconds['as it is'] / value for name, value in seconds.items()}
    n, t, _, h, w = batch['lq'].shape
    title = f'{options.name}: step of {n} × {t} frames, LR {w}×{h}, {arguments.clock} seconds'
    log.table(
        title,
        ['variant', 's/step', 'ratio'],
        [[name, f'{value:.3g}', f'{ratios[name]:.2f}'] for name, value in seconds.items()],
    )
    rows = [{'variant': name, 's/step': value, 'ratio': ratios[name]} for name, value in seconds.items()]
    if arguments.json:
        arguments.json.write_text(json.dumps({'title': title, 'rows': rows}, indent=1, ensure_ascii=False))


def model_of(options: Options, device: torch.device) -> VSRModel:
    """Return the options' network with random weights and its pixel loss."""
    if options.train is None or options.train.pixel_opt is None or 'train' not in options.datasets:
        raise OptionsError(f'{options.name}: expected a training run: datasets.train, and train with a pixel_opt')
    torch.manual_seed(0)
    network = build_network({'network_g': without_weight_files(options.network_g)})
    losses = {'l_pix': build(LOSS_REGISTRY, options.train.pixel_opt, key='train.pixel_opt')}
    return VSRModel(network=network, losses=losses, fix_flow=options.train.fix_flow).to(device).train()


def batch_of(options: Options, frames: int | None, device: torch.device) -> Batch:
    """Return a random batch of the options' sizes, with flows of a few pixels where the set has a cache of flows."""
    data = options.datasets['train']
    n, t = data.batch_size_per_gpu, frames or data.section['num_frame']
    side = data.section['gt_size'] // options.scale
    generator = torch.Generator().manual_seed(0)
    batch: Batch = {
        'lq': torch.rand(n, t, 3, side, side, generator=generator).to(device),
        'gt': torch.rand(n, t, 3, options.scale * side, options.scale * side, generator=generator).to(device),
    }
    if 'flow_cache' in data.section:
        batch['flows'] = (3 * torch.randn(n, 2, t - 1, 2, side, side, generator=generator)).to(device)
    return batch


def step_of(model: VSRModel, batch: Batch, options: Options, device: torch.device) -> Callable[[], None]:
    """Return a training step: forward, loss, backward, Adam."""
    assert options.train is not None
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-4)

    def step(precision: str) -> None:
        optimizer.zero_grad(set_to_none=True)
        with devices.autocast(device, precision):
            loss = model(batch)['loss']
        loss.backward()
        optimizer.step()

    return partial(step, options.train.precision)


if __name__ == '__main__':
    main()
