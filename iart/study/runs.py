"""One training of a study: train, score, measure its cost, write the result."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from iart import device as devices
from iart.archs.builder import build_network
from iart.archs.flow import comes_with_clip
from iart.archs.released import dead_parameters
from iart.data.loaders import build_dataset
from iart.errors import DataError, UserError
from iart.files import to_json, write_text
from iart.inference.costs import measure
from iart.inference.restorer import Restore, plan_restorer
from iart.options import Options
from iart.scoring.evaluator import score_set
from iart.scoring.measures import build_metrics
from iart.scoring.settings import Settings
from iart.stopwatch import durations
from iart.study.study_file import Run, StudyPlan, digest
from iart.training.trainer import Trainer

_SIDE = 64  # LR pixels a side of the frames that time and memory are measured on
_REPEATS = 5


@dataclass(frozen=True)
class Scores:
    """Result of one training.

    Args:
        run: name of the training.
        row, flow, seed: row, flow and seed of the training.
        digest: digest of its options.
        scores: scores by set and metric, such as ``{'synthetic': {'psnr': 30.1}}``.
        clips: scores by set, metric and clip.
        parameters: parameters of the network without its flow estimator.
        alignment_parameters: parameters of the alignment.
        dead_parameters: further parameters of the released code, which it never uses.
        milliseconds: time to restore a frame of 64×64 LR pixels: the fastest of five clips of three frames.
        memory_mb: memory needed to do so, in addition to weights.
        iterations: optimizer steps.
        seconds: training time in this process; of a resumed training, from there on.
        device: description of the device.
    """

    run: str
    row: str
    flow: str
    seed: int
    digest: str
    scores: dict[str, dict[str, float]]
    clips: dict[str, dict[str, dict[str, float]]]
    parameters: int
    alignment_parameters: int
    dead_parameters: int
    milliseconds: float
    memory_mb: float
    iterations: int
    seconds: float
    device: str


def read_scores(plan: StudyPlan, run: Run) -> Scores | None:
    """Return the scores of a training; None when it is not done, or was done with other options."""
    path = plan.result_file(run)
    try:
        scores = Scores(**json.loads(path.read_text(encoding='utf-8')))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f'{path}: cannot be read ({error}); remove it, and the row is scored again') from error
    return scores if scores.digest == digest(plan.options(run)) else None


def perform(plan: StudyPlan, run: Run, device: torch.device) -> Scores:
    """Train a row, or resume its training, score it, and write its scores.

    Raises:
        UserError: data, weights or options do not fit; the run was stopped before its last iteration.
    """
    options = plan.options(run)
    assert options.train is not None
    begin = time.monotonic()
    training = options.model_copy(update={'datasets': {'train': options.datasets['train']}})
    trainer = Trainer(training, device=device, auto_resume=True)
    trainer.fit()
    seconds = time.monotonic() - begin
    if trainer.step < options.train.total_iter:
        raise UserError(f'{run.name}: stopped after {trainer.step} iterations; run the study again to continue')
    network = trainer.scored_network()
    scores, clips = score_sets(plan_restorer(network, device), options, device)
    cost = _cost(network, device)
    align = next(
        (getattr(network, name) for name in ('align', 'alignment', 'implicit_warp') if hasattr(network, name)), None
    )
    result = Scores(
        run=run.name,
        row=run.row,
        flow=run.flow,
        seed=run.seed,
        digest=digest(options),
        scores=scores,
        clips=clips,
        parameters=_count(network) - _count(getattr(network, 'spynet', None)),
        alignment_parameters=_count(align),
        dead_parameters=dead_parameters(network),
        milliseconds=cost[0],
        memory_mb=cost[1],
        iterations=trainer.step,
        seconds=seconds,
        device=devices.describe(device),
    )
    write_text(plan.result_file(run), to_json(asdict(result)))
    return result


def score_sets(restore: Restore, options: Options, device: torch.device) -> tuple[dict[str, Any], dict[str, Any]]:
    """Score the sets of options whose key begins with ``val``.

    Args:
        restore: LR frames → restored frames, such as :func:`plan_restorer` returns.
        options: options that name the sets and the metrics.
        device: the device to compute metrics on.

    Returns:
        Scores by set and metric; and by set, metric and clip.

    Raises:
        DataError: there is no such set, or one cannot be read.
    """
    settings = Settings(options.val.metrics, options.scale)
    metrics = build_metrics(settings.metrics)
    scores, clips = {}, {}
    for key, section in options.datasets.items():
        if not key.startswith('val'):
            continue
        name = section.name or key
        dataset = build_dataset(section.section, key=f'datasets.{key}', scale=options.scale)
        result = score_set(restore, dataset, metrics, settings, device=device, title=name)
        scores[name] = result.totals()
        clips[name] = {metric: {clip.name: clip.mean(metric) for clip in result.clips} for metric in result.metrics}
    if not scores:
        raise DataError('datasets: got no set to score, expected one whose key begins with val')
    return scores, clips


def _cost(network: nn.Module, device: torch.device) -> tuple[float, float]:
    """Return milliseconds per frame and megabytes, for frames of 64×64 LR pixels."""
    frames = 3
    lq = torch.rand(1, frames, 3, _SIDE, _SIDE, device=device)
    flow = torch.rand(1, frames - 1, 2, _SIDE, _SIDE, device=device)
    flows = (flow, flow) if comes_with_clip(getattr(network, 'spynet', None)) else None
    training = network.training
    network.eval()
    with torch.inference_mode():
        seconds = min(durations(lambda: network(lq, flows) if flows else network(lq), _REPEATS, device))
    network.train(training)
    return 1000 * seconds / frames, measure(network, device).work * _SIDE**2 / 2**20


def _count(module: nn.Module | None) -> int:
    return sum(p.numel() for p in module.parameters()) if module is not None else 0


def parameters(plan: StudyPlan) -> Sequence[tuple[str, int, int, int]]:
    """Return (row, parameters, the alignment's parameters, dead parameters of the released code) of each row."""
    counted = {}
    for run in plan.runs():
        if run.row not in counted:
            section = {**plan.options(run).network_g, 'flow': {'type': 'zero'}}
            network = build_network(section)
            align = getattr(network, 'align', None)
            counted[run.row] = (run.row, _count(network), _count(align), dead_parameters(network))
    return list(counted.values())
