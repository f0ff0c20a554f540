"""``iart test``: from options and a weight file to scores and reports."""

import sys
from pathlib import Path

import torch
from torch import nn

from iart import device as devices
from iart import distributed, log
from iart.archs.builder import build_network, without_weight_files
from iart.archs.probe import show_clips_like
from iart.errors import OptionsError
from iart.files import require_writable
from iart.inference.baselines import BicubicRestorer
from iart.inference.options import PlanOptions
from iart.inference.restorer import plan_restorer
from iart.options import DatasetOptions, Options
from iart.scoring.alignment_views import write_views
from iart.scoring.benchmark import build_sets, score
from iart.scoring.set_report import NetworkFacts, SetReport
from iart.scoring.settings import Saving, Settings
from iart.weights import load_weights

REPORT_CLIPS = 4  # clips of each test set whose frames a report can show


def run_test(
    options: Options,
    *,
    device: torch.device,
    precision: str = 'fp32',
    tf32: str = 'conv',
    weights: str | None = None,
    lq: str | None = None,
    gt: str | None = None,
    save_frames: bool | None = None,
    baseline: str | None = None,
    plan: PlanOptions | None = None,
    report: bool = False,
) -> list[SetReport]:
    """Score weights on the test sets of the options (``datasets.test*``, or ``val*`` if there are none).

    Args:
        options: options with network, data sets and metrics.
        device: the device to compute on.
        precision: ``fp32``, ``fp16`` or ``bf16``.
        tf32: see :func:`iart.device.set_tf32`.
        weights: weight file, replaces ``path.pretrain_network_g``.
        lq, gt: folders, replace ``dataroot_lq`` and ``dataroot_gt`` of the only test set.
        save_frames: whether restored frames are saved, replaces ``val.save_img``.
        baseline: ``bicubic`` scores bicubic interpolation instead of the network.
        plan: options of the memory plan; default: any that fits, exact ones first.
        report: whether frames of some clips and views of the alignment are saved for a report.

    Returns:
        A report for each test set.

    Raises:
        UserError: options, data or weights do not match; raised before anything is restored.
    """
    for note in options.notes:
        log.logger.info(note)
    devices.set_tf32(tf32)
    plan = plan or PlanOptions()
    settings = Settings.of(options, precision, spill_to=plan.spill_to, tf32=devices.tf32_in_use(device))
    datasets = _test_sets(options, lq, gt)
    file = Path(weights or options.path.pretrain_network_g or '')
    out = results_folder(options, baseline)
    require_writable(out, '--force_yml path:results_root=FOLDER, or run it in another folder')
    if baseline:
        network, facts = None, NetworkFacts(type='Bicubic')
    else:
        network, facts = _network(options, file, device, precision, next(iter(datasets.values())).published)
    sets = build_sets(datasets, settings)
    if network is not None:
        for each in sets:
            clips = ((clip.size, len(clip.frames)) for clip in each.dataset.clips)
            place = f'a clip of {each.title}'
            show_clips_like(network, clips, scale=options.scale, device=device, precision=precision, place=place)
    reports = score(
        BicubicRestorer(options.scale) if network is None else plan_restorer(network, device, precision, plan),
        sets,
        settings,
        name=out.name,
        network=facts,
        device=device,
        out=out,
        saving=_saving(options, out, save_frames=save_frames, report=report),
        command=sys.argv,
    )
    if report and network is not None and distributed.is_main():
        for result in reports:
            write_views(network, result, out / 'alignment', scale=options.scale, device=device)
    saved = any(result.material.saved for result in reports)
    log.logger.info(f'written to {out}: report.json, frames.csv' + (', visualization/' if saved else ''))
    return reports


def results_folder(options: Options, baseline: str | None = None) -> Path:
    """Return the folder that :func:`run_test` writes to."""
    return Path(options.path.results_root) / (f'{options.name}_{baseline}' if baseline else options.name)


def _saving(options: Options, out: Path, *, save_frames: bool | None, report: bool) -> Saving | None:
    """Return which frames are written: all of them, those that a report shows, or none."""
    everything = options.val.save_img if save_frames is None else save_frames
    if not everything and not report:
        return None
    return Saving(out / 'visualization', None if everything else REPORT_CLIPS, options.val.suffix)


def _network(
    options: Options, file: Path, device: torch.device, precision: str, method: str | None
) -> tuple[nn.Module, NetworkFacts]:
    if not file.name:
        raise OptionsError('path.pretrain_network_g: got nothing, expected a weight file there or with --weights')
    section = without_weight_files(options.network_g)
    network = build_network(section)
    load_weights(network, file, options.path.param_key_g or 'params', options.path.strict_load_g)
    count = sum(p.numel() for p in network.parameters())
    log.logger.info(f'{section["type"]}, {count:,} parameters from {file}, on {device}, {precision}')
    facts = NetworkFacts(type=section['type'], parameters=count, weights=file, method=method)
    return network.to(device).eval(), facts


def _test_sets(options: Options, lq: str | None, gt: str | None) -> dict[str, DatasetOptions]:
    """Return the sets to score, with the folders of the command line."""
    by_kind = [{k: s for k, s in options.datasets.items() if k.startswith(kind)} for kind in ('test', 'val')]
    sets = by_kind[0] or by_kind[1]
    if not sets:
        raise OptionsError('datasets: got no set to score, expected a section test or val')
    if lq is None and gt is None:
        return sets
    if len(sets) > 1:
        raise OptionsError(f'--lq and --gt: the options have {len(sets)} test sets ({", ".join(sets)}), expected one')
    ((key, section),) = sets.items()
    arguments = dict(section.arguments)
    arguments |= {name: folder for name, folder in (('dataroot_lq', lq), ('dataroot_gt', gt)) if folder is not None}
    ground_truth = arguments.get('dataroot_gt')
    if ground_truth and gt is None and not Path(ground_truth).exists():
        log.logger.info(f'{ground_truth} does not exist and no --gt is given: frames are restored, not scored')
        arguments['dataroot_gt'] = None
    loader = {k: v for k, v in section.model_dump().items() if k not in section.arguments}
    return {key: DatasetOptions.model_validate({**loader, **arguments})}
