"""The job behind ``iart test``: score every test set of the options, say which benchmark the figures belong to, write
the reports.

::

    <out>/report.json                                    everything, for machines
    <out>/frames.csv                                     one line per frame
    <out>/visualization/<set>/<clip>/<frame>.png         when frames are saved: of all clips, or of some for a report
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from iart import distributed, log
from iart.data.loaders import build_dataset
from iart.files import to_json, write_text
from iart.inference.restorer import Restore
from iart.ops.degradation import recognize
from iart.protocols import Match, candidates, get, match, metric_differences
from iart.scoring.evaluator import ClipSet, SetScores, build_metrics, score_set
from iart.scoring.report import Material, NetworkFacts, SetReport, Settings, as_dict
from iart.scoring.tables import Comparison, frames_csv, print_comparisons, print_scores


class SetOptions(Protocol):
    """The keys of a test set's section."""

    @property
    def name(self) -> str | None: ...
    @property
    def protocol(self) -> str | None: ...
    @property
    def section(self) -> dict[str, Any]: ...


def score(
    restore: Restore,
    *,
    name: str,
    datasets: Mapping[str, SetOptions],
    settings: Settings,
    network: NetworkFacts,
    device: torch.device,
    out: Path,
    save_frames: bool = False,
    report_clips: int = 0,
    suffix: str | None = None,
    command: Sequence[str] = (),
) -> list[SetReport]:
    """Score every test set and write the reports. To be called on every rank; rank 0 prints and writes the reports.

    Args:
        restore: see :data:`iart.inference.restorer.Restore`.
        name: of the run, for the report.
        datasets: the test sets' sections by their keys (``test``, ``test_1``, ...).
        network: what ``restore`` is.
        device: what ``restore`` computes on.
        out: folder of the reports and frames.
        save_frames: write the restored frames as PNG.
        report_clips: without ``save_frames``, write those of this many clips, spread over each set.
        suffix: appended to their names.
        command: the command line, for the report.

    Raises:
        UserError: options or data that do not fit; everything is built before the first frame is restored.
    """
    metrics = build_metrics(settings.metrics)
    protocols = {key: section.protocol and get(section.protocol).id for key, section in datasets.items()}
    sets = {
        key: build_dataset(section.section, key=f'datasets.{key}', scale=settings.scale)
        for key, section in datasets.items()
    }
    agreements = {key: agree(dataset, protocols[key], settings) for key, dataset in sets.items()}
    titles = _titles(datasets)
    reports: list[SetReport] = []
    for key, dataset in sets.items():
        title = titles[key]
        saved = spread([clip.name for clip in dataset.clips], len(dataset.clips) if save_frames else report_clips)
        scores = score_set(
            restore,
            dataset,
            metrics,
            device=device,
            flip_seq=settings.flip_seq,
            center_frame_only=settings.center_frame_only,
            save_to=out / 'visualization' / title if saved else None,
            save_clips=saved,
            suffix=suffix,
            title=title,
            spill_to=settings.spill_to,
        )
        material = Material(datasets[key].section, {clip.name: clip.size for clip in dataset.clips}, saved)
        report = SetReport(key, scores, agreements[key], compare(scores, agreements[key], settings, network), material)
        reports.append(report)
        _say(report)
        if distributed.is_main():  # after every set, so that an interrupted run leaves those that are finished
            write_text(out / 'frames.csv', frames_csv(r.scores for r in reports))
            write_text(out / 'report.json', to_json(as_dict(name, reports, settings, network, device, command, suffix)))
    return reports


def spread(names: Sequence[str], count: int) -> tuple[str, ...]:
    """At most ``count`` of the names, evenly spread, the first one among them."""
    count = min(count, len(names))
    return tuple(names[i * len(names) // count] for i in range(count))


def _titles(datasets: Mapping[str, SetOptions]) -> dict[str, str]:
    """A set's ``name``, or its key where there is none or two have the same: it names a folder."""
    names = [section.name for section in datasets.values()]
    return {
        key: section.name if section.name and names.count(section.name) == 1 else key
        for key, section in datasets.items()
    }


def agree(dataset: ClipSet, protocol: str | None, settings: Settings) -> Match | None:
    """How far a test set and the way it is scored agree with a protocol: the one named, else the one recognized.

    One frame is degraded again to see whether the LR frames are what the protocol wants.
    """
    if not dataset.has_gt:
        return None
    frames = {clip.name: len(clip.frames) for clip in dataset.clips}
    scale = settings.scale
    sizes = {clip.name: (clip.size[0] * scale, clip.size[1] * scale) for clip in dataset.clips}
    fitting = [match(get(protocol), frames, sizes)] if protocol else candidates(frames, sizes)
    if not fitting or fitting[0].kind == 'mismatch':
        return fitting[0] if fitting else None
    frame = dataset.scored(0)[0]
    recognized = recognize(dataset.read_gt(0, frame), dataset.read_lq_frame(0, frame), scale)
    degradation = recognized[0] if recognized else None
    found = next((m for m in fitting if m.protocol.degradation == degradation), fitting[0])
    wrong = metric_differences(found.protocol, settings.metrics)
    if found.protocol.degradation != degradation:
        wrong.append(f'the LR frames are {degradation or "neither BI nor BD"}, expected {found.protocol.degradation}')
    if found.protocol.scale != scale:
        wrong.append(f'scale {scale}, expected {found.protocol.scale}')
    length = len(dataset.clips[0].frames)
    counting = [length // 2] if settings.center_frame_only else dataset.scored(0)
    if counting != (list(range(length)) if found.protocol.scored == 'all' else [length // 2]):
        wrong.append(f'{len(counting)} of {length} frames count, wanted: {found.protocol.scored}')
    return found.spoiled('; '.join(wrong)) if wrong else found


def compare(
    scores: SetScores, agreement: Match | None, settings: Settings, network: NetworkFacts
) -> tuple[Comparison, ...]:
    """Published results beside the totals; none unless data and settings are exactly the protocol's.

    A note says what is not: another number format, or a memory plan that does not give what the whole clip in one pass
        gives.
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
            figure = {'calculate_psnr': 'psnr', 'calculate_ssim': 'ssim'}.get(settings.metrics[metric]['type'])
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


def _say(report: SetReport) -> None:
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
