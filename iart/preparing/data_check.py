"""``iart data check``: whether all data of a run exist, and whether LR frames have the stated degradation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from iart.data.loaders import build_dataset
from iart.errors import DataError, OptionsError, listing
from iart.options import Options
from iart.preparing.frame_checks import FrameFindings, choose, examine
from iart.preparing.likeness import psnr
from iart.protocols import Protocol, candidates, get, match

Verdict = Literal['ok', 'note', 'FAILED']
_USUAL_SAMPLES = 400
_LISTED = 4

GT_FOLDERS = ('GT', 'HR', 'gt', 'hr', 'val_REDS4_sharp', 'val_sharp', 'sequences', 'vimeo_septuplet/sequences')
LQ_FOLDERS = (
    'BIx4',
    'BDx4',
    'LR',
    'lq',
    'lr',
    'val_REDS4_sharp_bicubic',
    'val_sharp_bicubic',
    'vimeo_septuplet_matlabLRx4/sequences',
)


@dataclass(frozen=True)
class CheckRow:
    """One line of the table of results."""

    check: str
    verdict: Verdict
    found: str


@dataclass
class SetFindings:
    """Results for one set of clips."""

    name: str
    rows: list[CheckRow] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return all(row.verdict != 'FAILED' for row in self.rows)

    def add(self, check: str, verdict: Verdict | bool, text: str) -> None:
        self.rows.append(
            CheckRow(check, verdict if isinstance(verdict, str) else ('ok' if verdict else 'FAILED'), text)
        )


@dataclass(frozen=True)
class Depth:
    """Extent of the check.

    Args:
        deep: whether to decode every frame.
        samples: approximate number of frames to decode otherwise, evenly distributed.
        partial: whether some of a protocol's clips are enough.
        jobs: number of threads.
    """

    deep: bool = False
    samples: int = _USUAL_SAMPLES
    partial: bool = False
    jobs: int = 1


def check_options(options: Options, depth: Depth) -> list[SetFindings]:
    """Check every set of clips that the options name, and the files that a run would load."""
    reports = [
        check_set(key, dict(section.section), options.scale, section.protocol, depth, seed=options.manual_seed)
        for key, section in options.datasets.items()
    ]
    files = {
        'path.pretrain_network_g': options.path.pretrain_network_g,
        'path.resume_state': options.path.resume_state,
        'network_g.spynet_path': options.network_g.get('spynet_path'),
    }
    named = {key: file for key, file in files.items() if file}
    if named:
        report = SetFindings('weights')
        for key, file in named.items():
            there = Path(file).is_file()
            report.add(key, there, str(file) if there else f'{file}: no such file')
        reports.append(report)
    return reports


def check_folder(
    folder: Path, *, protocol: str | None, depth: Depth, scale: int = 4, gt: Path | None = None, lq: Path | None = None
) -> list[SetFindings]:
    """Check a benchmark's folder, in which GT and LR are found by their names, or given.

    Raises:
        DataError: there is no such folder, or GT and LR are not in it.
        UserError: there is no such protocol.
    """
    benchmark = get(protocol) if protocol else None
    if not folder.is_dir():
        raise DataError(f'{folder}: no such folder')
    names = [f'{benchmark.degradation}x{scale}', *LQ_FOLDERS] if benchmark else list(LQ_FOLDERS)
    gt = gt or _find(folder, GT_FOLDERS, '--gt')
    lq = lq or _find(folder, names, '--lq')
    center = benchmark is not None and benchmark.scored == 'center'
    section: dict[str, Any] = {
        'type': 'VideoTestVimeo90KDataset' if center else 'VideoRecurrentTestDataset',
        'dataroot_gt': str(gt),
        'dataroot_lq': str(lq),
        'io_backend': {'type': 'lmdb' if gt.suffix == '.lmdb' else 'disk'},
    }
    if center:
        section['num_frame'] = 7
    return [
        check_set(
            str(folder), section, benchmark.scale if benchmark else scale, benchmark.id if benchmark else None, depth
        )
    ]


def _find(folder: Path, names: Mapping[str, Any] | list[str] | tuple[str, ...], option: str) -> Path:
    for name in names:
        for ending in ('', '.lmdb'):
            if (folder / f'{name}{ending}').is_dir():
                return folder / f'{name}{ending}'
    raise DataError(f'{folder}: got none of {listing(dict.fromkeys(names))} in it; name the folder with {option}')


def check_set(
    name: str, section: dict[str, Any], scale: int, protocol: str | None, depth: Depth, seed: int = 0
) -> SetFindings:
    """Check one data set, given by its section of the options.

    Args:
        name: title of the report.
        section: ``type`` and arguments.
        protocol: benchmark that the set must match; None for any.
    """
    report = SetFindings(name)
    try:
        dataset = build_dataset(section, key=name, scale=scale, seed=seed)
    except (DataError, OptionsError) as error:
        report.add('clips and frames', False, str(error))
        return report
    _listing_row(report, dataset)
    benchmark = get(protocol) if protocol else None
    if benchmark is not None or not hasattr(dataset, 'degraded'):
        _protocol_row(report, dataset, benchmark, depth.partial)
    if dataset.gt is None:
        report.add('degradation', 'note', 'no ground truth to compare with')
        return report
    places = choose(dataset.clips, None if depth.deep else depth.samples)
    expected = benchmark.degradation if benchmark else None
    findings = examine(dataset, places, expected=expected, jobs=depth.jobs, title=f'looking at {name}')
    _pixels_row(report, dataset, findings)
    if getattr(dataset, 'chain', None) is not None:
        report.add('degradation', 'ok', f'chain {dataset.chain.name}, run on each window as it is read')
        return report
    if getattr(dataset, 'degraded', None) is not None:
        report.add('degradation', 'ok', f'{dataset.degraded.kind}, made from GT as it is read')
        return report
    _degradation_row(report, findings, expected)
    _place_rows(report, dataset, findings)
    return report


def _listing_row(report: SetFindings, dataset: Any) -> None:
    clips = dataset.clips
    counts = [len(c.frames) for c in clips]
    sizes = sorted({c.size for c in clips})
    low = listing([f'{w}x{h}' for h, w in sizes], 3)
    each = str(counts[0]) if len(set(counts)) == 1 else f'{min(counts)} to {max(counts)}'
    text = f'{len(clips)} clips, {sum(counts)} frames ({each} each), LR {low}'
    report.figures |= {'clips': len(clips), 'frames': sum(counts)}
    report.add('clips and frames', 'ok', text + ('' if dataset.gt is None else f', GT {dataset.scale} times that'))


def _protocol_row(report: SetFindings, dataset: Any, benchmark: Protocol | None, partial: bool) -> None:
    frames = {c.name: len(c.frames) for c in dataset.clips}
    sizes = {c.name: (c.size[0] * dataset.scale, c.size[1] * dataset.scale) for c in dataset.clips}
    if benchmark is None:
        fitting = candidates(frames, sizes)
        report.add(
            'protocol',
            'note',
            f'none named; fits {listing(m.label for m in fitting)}' if fitting else 'none named, and none fits',
        )
        return
    fit = match(benchmark, frames, sizes)
    report.figures['protocol'] = {'id': benchmark.id, 'match': fit.kind}
    verdict: Verdict = 'ok' if fit.kind == 'exact' else 'note' if fit.kind == 'partial' and partial else 'FAILED'
    report.add(f'protocol {benchmark.id}', verdict, fit.label if fit.kind == 'exact' else fit.explanation)


def _pixels_row(report: SetFindings, dataset: Any, findings: FrameFindings) -> None:
    whole = sum(len(c.frames) for c in dataset.clips)
    bad = findings.unreadable
    report.figures |= {'decoded': findings.looked, 'unreadable': len(bad)}
    if bad:
        report.add(
            'pixels', False, f'{len(bad)} of {findings.looked} pairs cannot be read: ' + '; '.join(bad[:_LISTED])
        )
    else:
        report.add('pixels', 'ok', f'{findings.looked} of {whole} pairs decoded')


def _degradation_row(report: SetFindings, findings: FrameFindings, expected: str | None) -> None:
    seen = [(place, like) for place, like in findings.seen.items() if place not in findings.moved]
    if not seen:
        if findings.looked > len(findings.unreadable):
            report.add('degradation', 'note', 'unknown: no LR frame is paired with its own GT')
        return
    labels = findings.labels()
    usual, count = labels.most_common(1)[0]
    members = [like for _, like in seen if like.label == usual]
    worst = max(members, key=lambda like: like.rms)
    agreement = 'bit-exact' if worst.rms == 0 else f'{psnr(worst.rms):.1f} dB or better'
    shift = worst.shift
    report.figures['degradation'] = {
        'labels': dict(labels),
        'worst_psnr': None if worst.rms == 0 else psnr(worst.rms),
        'shift': list(shift),
        'expected': expected,
    }
    recognized = all(like.how == 'known' for _, like in seen)
    right = recognized and len(labels) == 1 and (expected is None or usual == expected)
    text = f'looks like {usual} in {count} of {len(seen)} frames ({agreement})'
    if any(shift):
        text += f'; sampling points off by ({shift[0]:+.2f}, {shift[1]:+.2f}) GT pixels (down, right)'
    if len(labels) > 1:
        text += '; otherwise ' + listing([f'{label} ({n})' for label, n in labels.most_common()[1:]], _LISTED)
    report.add('degradation', right, text if right or expected is None else f'{text}, expected {expected}')


def _place_rows(report: SetFindings, dataset: Any, findings: FrameFindings) -> None:
    def name(place: tuple[int, int]) -> str:
        clip = dataset.clips[place[0]]
        return f'{clip.name}/{clip.frames[place[1]]}'

    looked = len(findings.seen)
    for check, moved in (('LR paired with its own clip', findings.swapped), ('order of frames', findings.reordered)):
        pairs = [f'LR {name(place)} belongs to GT {name(pair)}' for place, pair in moved.items()]
        report.figures[check] = len(pairs)
        report.add(
            check,
            not pairs,
            f'{len(pairs)} of {looked} frames belong elsewhere: {listing(pairs, _LISTED)}'
            if pairs
            else f'{looked} frames',
        )
