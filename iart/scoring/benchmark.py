"""The job of ``iart test``: score every test set of the options, identify its benchmark, write the reports.

::

    <out>/report.json                                    everything, for machines
    <out>/frames.csv                                     one line per frame
    <out>/visualization/<set>/<clip>/<frame>.png         when frames are saved: of all clips, or of some for a report
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from iart import distributed, log
from iart.data.loaders import build_dataset
from iart.files import to_json, write_text
from iart.inference.restorer import Restore
from iart.ops.degradation import recognize
from iart.protocols import Match, candidates, get, match, metric_differences
from iart.protocols import Protocol as Benchmark
from iart.scoring.evaluator import score_set
from iart.scoring.measures import build_metrics, try_metrics
from iart.scoring.restored_clip import ClipSet
from iart.scoring.score_tables import Comparison, frames_csv, print_comparisons, print_scores
from iart.scoring.scores import SetScores
from iart.scoring.set_report import Material, NetworkFacts, SetReport, as_dict
from iart.scoring.settings import Saving, Settings


class SetOptions(Protocol):
    """The keys of a test set's section."""

    @property
    def name(self) -> str | None: ...
    @property
    def protocol(self) -> str | None: ...
    @property
    def section(self) -> dict[str, Any]: ...


_FIGURES = {'calculate_psnr': 'psnr', 'calculate_ssim': 'ssim', 'calculate_niqe': 'niqe'}


@dataclass(frozen=True)
class SetToScore:
    """One test set of the options, ready to be scored.

    Args:
        key: key of its section, such as ``test_1``.
        title: its name, which no other set has.
        section: ``type`` of the data set and its arguments.
        dataset: its clips.
        agreement: the benchmark that it is, as far as that can be seen; None: no known one.
    """

    key: str
    title: str
    section: Mapping[str, Any]
    dataset: ClipSet
    agreement: Match | None


def build_sets(datasets: Mapping[str, SetOptions], settings: Settings) -> list[SetToScore]:
    """Build the test sets, and try every metric on their smallest frames.

    Args:
        datasets: the test sets' sections by their keys (``test``, ``test_1``, ...).
        settings: how they will be scored.

    Raises:
        UserError: options or data do not fit.
    """
    protocols = {key: section.protocol and get(section.protocol).id for key, section in datasets.items()}
    titles, sets = _titles(datasets), []
    for key, options in datasets.items():
        dataset: ClipSet = build_dataset(options.section, key=f'datasets.{key}', scale=settings.scale)
        agreement = agree(dataset, protocols[key], settings)
        sets.append(SetToScore(key, titles[key], options.section, dataset, agreement))
    try_metrics(build_metrics(settings.metrics), [each.dataset for each in sets], settings.scale)
    return sets


def score(
    restore: Restore,
    sets: Sequence[SetToScore],
    settings: Settings,
    *,
    name: str,
    network: NetworkFacts,
    device: torch.device,
    out: Path,
    saving: Saving | None = None,
    command: Sequence[str] = (),
) -> list[SetReport]:
    """Score every test set and write the reports. To be called on every rank; rank 0 prints and writes the reports.

    Args:
        restore: what restores.
        sets: see :func:`build_sets`.
        settings: how they are scored.
        name: name of the run, for the report.
        network: what ``restore`` is.
        device: what ``restore`` computes on.
        out: folder of the reports.
        saving: which restored frames are written; None writes nothing.
        command: the command line, for the report.

    Raises:
        UserError: data that cannot be read, or files that cannot be written.
    """
    metrics, reports = build_metrics(settings.metrics), list[SetReport]()
    for each in sets:
        scores = score_set(restore, each.dataset, metrics, settings, device=device, saving=saving, title=each.title)
        sizes = {clip.name: clip.size for clip in each.dataset.clips}
        saved = saving.chosen(list(sizes)) if saving is not None else ()
        comparisons = compare(scores, each.agreement, settings, network)
        reports.append(SetReport(each.key, scores, each.agreement, comparisons, Material(each.section, sizes, saved)))
        _report(reports[-1])
        if distributed.is_main():  # after every set, so that an interrupted run leaves those that are finished
            suffix = saving.suffix if saving is not None else None
            write_text(out / 'frames.csv', frames_csv(r.scores for r in reports))
            write_text(out / 'report.json', to_json(as_dict(name, reports, settings, network, device, command, suffix)))
    return reports


def _titles(datasets: Mapping[str, SetOptions]) -> dict[str, str]:
    """A set's ``name``, or its key where there is none or two have the same: it names a folder."""
    names = [section.name for section in datasets.values()]
    return {
        key: section.name if section.name and names.count(section.name) == 1 else key
        for key, section in datasets.items()
    }


def agree(dataset: ClipSet, protocol: str | None, settings: Settings) -> Match | None:
    """Return the agreement of a test set and its settings with a protocol: the given one, else the recognized one.

    One frame is degraded again to see whether the LR frames are what the protocol requires.
    """
    if not dataset.has_gt:
        return _agree_without_gt(dataset, get(protocol), settings) if protocol else None
    frames = {clip.name: len(clip.frames) for clip in dataset.clips}
    scale = settings.scale
    sizes = {clip.name: (clip.size[0] * scale, clip.size[1] * scale) for clip in dataset.clips}
    fitting = [match(get(protocol), frames, sizes)] if protocol else candidates(frames, sizes)
    if not fitting or fitting[0].kind == 'mismatch':
        return fitting[0] if fitting else None
    frame = dataset.scored(0)[0]
    recognized = recognize(dataset.read_gt(0, frame), dataset.read_lq_frame(0, frame), scale)
    degradation = recognized[0] if recognized else None
    fit = next((m for m in fitting if m.protocol.degradation == degradation), fitting[0])
    wrong = metric_differences(fit.protocol, settings.metrics)
    if fit.protocol.degradation != degradation:
        wrong.append(f'the LR frames are {degradation or "neither BI nor BD"}, expected {fit.protocol.degradation}')
    if fit.protocol.scale != scale:
        wrong.append(f'scale {scale}, expected {fit.protocol.scale}')
    wrong += _counting_differences(dataset, fit.protocol, settings)
    return fit.spoiled('; '.join(wrong)) if wrong else fit


def _agree_without_gt(dataset: ClipSet, benchmark: Benchmark, settings: Settings) -> Match:
    """The same for a set without ground truth, which can be a benchmark of real footage."""
    agreement = match(benchmark, {clip.name: len(clip.frames) for clip in dataset.clips})
    if agreement.kind == 'mismatch':
        return agreement
    wrong = metric_differences(benchmark, settings.metrics) + _counting_differences(dataset, benchmark, settings)
    if benchmark.degradation != 'real':
        wrong.append(f'there is no ground truth, {benchmark.id} has some')
    if benchmark.scale != settings.scale:
        wrong.append(f'scale {settings.scale}, expected {benchmark.scale}')
    return agreement.spoiled('; '.join(wrong)) if wrong else agreement


def _counting_differences(dataset: ClipSet, benchmark: Benchmark, settings: Settings) -> list[str]:
    length = len(dataset.clips[0].frames)
    counting = [length // 2] if settings.center_frame_only else dataset.scored(0)
    if counting == benchmark.counting(length):
        return []
    return [f'{len(counting)} of {length} frames are scored, expected: {benchmark.scored}']


def compare(
    scores: SetScores, agreement: Match | None, settings: Settings, network: NetworkFacts
) -> tuple[Comparison, ...]:
    """Return published results beside the totals; none unless data and settings are exactly the protocol's.

    A note names deviations: another number format, or a memory plan whose result is not that of the whole clip.
    """
    if agreement is None or agreement.kind != 'exact':
        return ()
    rows = []
    differently = [f'measured in {settings.precision}'] if settings.precision != 'fp32' else []
    differently += [] if settings.tf32 in (None, 'off') else [f'TF32: {settings.tf32}']
    differently += [f'approximated, {how}' for how in scores.approximations]
    for result in agreement.protocol.results_of(network.method or network.type):
        mirror = (
            []
            if result.mirrored == settings.flip_seq
            else [f'published {"with" if result.mirrored else "without"} flip_seq']
        )
        note = '; '.join(mirror + differently)
        for metric in scores.metrics:
            figure = _FIGURES.get(settings.metrics[metric]['type'])
            if figure is None:
                continue
            for method, source, figures in (
                (result.method, result.source, result),
                (result.method, 'released weights', result.released),
            ):
                published = getattr(figures, figure, None)
                if published is not None:
                    rows.append(Comparison(method, source, figure, published, scores.total(metric), note))
    return tuple(rows)


def _report(report: SetReport) -> None:
    print_scores(report.scores, report.label)
    for how in report.scores.approximations:
        log.logger.warning(
            f'{report.scores.title}: approximated ({how}): not what the whole clip in one pass gives; see '
            'docs/inference.md'
        )
    if report.comparisons and report.agreement:
        print_comparisons(report.agreement.label, report.comparisons)
    elif report.agreement and report.agreement.explanation:
        log.logger.warning(f'{report.scores.title}: {report.agreement.explanation}')
