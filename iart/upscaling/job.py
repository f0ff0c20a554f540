"""The run of ``iart upscale``: one input after the other, in one process or in several."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iart import device as devices
from iart import distributed, log
from iart.errors import DataError, SettingError, UserError, listing, quantity
from iart.inference.options import EXACT, PlanOptions
from iart.overlap import overlapped
from iart.partial import PartialFolder
from iart.upscaling import sources, team
from iart.upscaling.input_description import describe_footage, footage_of
from iart.upscaling.networks import Loaded
from iart.upscaling.outputs import FolderOutput, Output, VideoOutput, check_free, partial_folder
from iart.upscaling.sources import Job
from iart.upscaling.upscale_options import UpscaleOptions
from iart.upscaling.upscaler import Upscaler, cut
from iart.version import __version__
from iart.video import pyav
from iart.video.encode import choose_encoding
from iart.video.facts import HDR, Clip
from iart.video.pictures import Shown
from iart.video.rehearsal import Rehearsal, rehearse

_FORMAT = 1  # of the files in an unfinished output's folder
_PLAN = 'plan.json'


def run(
    jobs: list[Job], loaded: Loaded, device: torch.device, settings: UpscaleOptions, scale: int | None = None
) -> None:
    """Upscale every input, after all checks that are possible beforehand.

    Args:
        jobs: inputs and outputs.
        loaded: the network.
        device: its device.
        settings: the user's settings.
        scale: the network's scale as the user expects it; None for any.

    Raises:
        UserError: an input, the output or an option cannot be used. Finished segments and outputs are kept.
    """
    devices.set_tf32(settings.tf32)
    upscaler = Upscaler(
        loaded.network, device, precision=settings.precision, plan=settings.plan, compare=settings.compare
    )
    if scale is not None and scale != upscaler.scale:
        raise SettingError(
            'scale',
            f'got {scale}, but this network enlarges by {upscaler.scale}, expected {upscaler.scale} or other weights',
        )
    if len(jobs) > 1 and not settings.overwrite:
        existing = team.on_main(lambda: [job.output.exists() for job in jobs])
        for job in (job for job, exists in zip(jobs, existing, strict=True) if exists):
            log.logger.info(f'{job.output}: exists already; skipped')
        jobs = [job for job, exists in zip(jobs, existing, strict=True) if not exists]
    # With fewer inputs than processes all of them work on each input; otherwise inputs are divided among processes.
    together = len(jobs) < distributed.world_size() and distributed.active()
    failed: dict[str, DataError] = {}
    prepared: list[tuple[Job, Clip, Rehearsal | None]] = []
    for job in jobs if together else team.mine(jobs):
        with _noted(job, failed, alone=len(jobs) == 1):
            facts = team.agreed(partial(_prepare, job, upscaler.scale, settings), together=together)
            prepared.append((job, *facts))
    log.logger.info(f'{loaded.title}, {settings.precision}')
    trained_on = footage_of(loaded.network, loaded.sha256)
    for job, clip, rehearsal in prepared:
        _describe(job, clip, rehearsal, upscaler.scale)
        describe_footage(job.source, clip, settings, trained_on)
        task = _Task(job, clip, rehearsal, _identity(job, clip, rehearsal, loaded, device, settings), settings)
        with _noted(job, failed, alone=len(jobs) == 1):
            _run_together(task, upscaler) if together else _run(task, upscaler)
    reports = team.gathered({file: str(error) for file, error in failed.items()}, together=together)
    for text in (text for report in reports[1:] for text in report.values()):
        log.logger.error(text)  # only rank 0 logs
    failures = [file for report in reports for file in report]
    if failures:
        raise DataError(
            f'{len(failures)} of {len(jobs)} inputs could not be upscaled, the others are done: '
            + listing(failures, 10)
        )


@contextlib.contextmanager
def _noted(job: Job, failed: dict[str, DataError], *, alone: bool) -> Iterator[None]:
    """Log the error of one of several inputs, so that the others are still upscaled."""
    try:
        yield
    except DataError as error:
        if alone:
            raise
        log.logger.error(f'{error}')
        failed[str(sources.path_of(job.source))] = error


@dataclass(frozen=True)
class _Task:
    """One input and its facts."""

    job: Job
    clip: Clip
    rehearsal: Rehearsal | None
    identity: dict[str, Any]
    settings: UpscaleOptions


@contextlib.contextmanager
def _named_errors(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f'{output}: cannot be written ({reason}); make room, then run the same command again'
        ) from error


def _prepare(job: Job, scale: int, settings: UpscaleOptions) -> tuple[Clip, Rehearsal | None]:
    check_free(job.output, overwrite=settings.overwrite)
    clip = sources.examine(job.source, settings, upright=not job.is_video)
    if clip.display_matrix is not None and job.is_video and not pyav.can_write_display_matrix():
        raise UserError(
            f'{clip.file}: is shown rotated, and this PyAV cannot write that, expected  pip install "av>=17"'
        )
    if not job.is_video:
        return clip, None
    size = (clip.height * scale, clip.width * scale * (2 if settings.compare else 1))
    suffix = job.output.suffix.lower()
    return clip, rehearse(clip, choose_encoding(settings.encode, clip, size, suffix), suffix)


def _describe(job: Job, clip: Clip, rehearsal: Rehearsal | None, scale: int) -> None:
    """Log the work, and what of the input the output does not keep."""
    encoding = None if rehearsal is None else rehearsal.recipe.encoding
    extent = 'full' if clip.coding.full else 'limited'
    colors = f', {clip.coding.matrix}, {extent} range' if isinstance(job.source, Path) else ''
    what = f'{quantity(clip.frames, "frame")} of {clip.width}×{clip.height}, {clip.pix_fmt}{colors}'
    if encoding is None:
        into = f'{clip.width * scale}×{clip.height * scale}, PNG of {16 if clip.bits > 8 else 8} bits'
    else:
        options = ' '.join(f'{k}={v}' for k, v in encoding.options.items() if k in ('crf', 'qp', 'lossless', 'preset'))
        into = f'{encoding.width}×{encoding.height}, {encoding.codec} {encoding.pix_fmt} {options}'.rstrip()
    log.logger.info(f'{clip.file}: {what} → {job.output}: {into}')
    for note in clip.notes:
        log.logger.warning(f'{clip.file}: {note}')
    if clip.tags.transfer in HDR:
        log.logger.info(
            f'{clip.file}: HDR ({HDR[clip.tags.transfer]}): processed as coded, with its tags, not tone-mapped; '
            'the network was not trained on such pictures'
        )
    if clip.bits > 8 and encoding is not None and encoding.coding.bits < clip.bits:
        log.logger.info(
            f'{clip.file}: {clip.bits} bits become {encoding.coding.bits}: {encoding.codec} has no more for such chroma'
        )
    for note in rehearsal.notes if rehearsal is not None else ():
        log.logger.warning(f'{clip.file}: {note}')


def _run(task: _Task, upscaler: Upscaler) -> None:
    """Upscale one input in one process."""
    with _named_errors(task.job.output), partial_folder(task.job.output, task.settings) as unfinished:
        unfinished.begin(task.identity)
        upscaler.follow(_plan(unfinished, upscaler, task))
        output = _output(unfinished, task)
        segments, frames = _fill(task, output, upscaler, output.finished(), lambda turn: True)
        _finish(task, unfinished, output, segments, frames)


def _run_together(task: _Task, upscaler: Upscaler) -> None:
    """Upscale one input in all processes, among which its segments are divided."""
    team.check_same(task.identity)

    def fill() -> tuple[int, int]:
        with _named_errors(task.job.output):
            return _fill(task, output, upscaler, finished, team.is_mine)

    def finish() -> None:
        with _named_errors(task.job.output):
            _finish(task, unfinished, output, segments, frames)

    follows = not distributed.is_main()
    with partial_folder(task.job.output, task.settings, follows=follows) as unfinished:
        team.on_main(lambda: unfinished.begin(task.identity))
        upscaler.follow(team.on_main(lambda: _plan(unfinished, upscaler, task)))
        output = _output(unfinished, task)
        finished = team.on_main(output.finished)
        segments, frames = team.agreed(fill)
        team.on_main(finish)


def _output(unfinished: PartialFolder, task: _Task) -> Output:
    if task.rehearsal is not None:
        return VideoOutput(unfinished, task.rehearsal)
    return FolderOutput(unfinished, sources.names(task.job.source, task.clip), deep=task.clip.bits > 8)


def _fill(
    task: _Task, output: Output, upscaler: Upscaler, finished: dict[int, int], is_mine: Callable[[int], bool]
) -> tuple[int, int]:
    """Restore the segments that are missing.

    Args:
        task: the input and its facts.
        output: the output to write segments to.
        upscaler: the network.
        finished: frames of the segments that exist, by segment number.
        is_mine: returns whether this process restores the n-th of the missing segments.

    Returns:
        Number of segments and number of frames.
    """
    clip, settings = task.clip, task.settings
    frames = sources.read(task.job.source, clip, settings)
    pieces = cut(frames, _rgb, scene_cuts=settings.scene_cuts, length=settings.segment, overlap=settings.overlap)
    count = first = turn = 0
    done = sum(finished.values())
    if done:
        log.logger.info(f'{task.job.output}: continuing; {done} of {clip.frames} frames were finished before')
    with log.Bar(clip.file.name, clip.frames, start=done) as bar:

        def counted(restored: Iterator[tuple[Shown, Tensor]]) -> Iterator[tuple[Shown, Tensor]]:
            for item in restored:
                yield item
                bar.advance()

        for segment in pieces:
            if segment.number not in finished:
                if is_mine(turn):
                    restored = counted(upscaler.restore(segment, _rgb))
                    overlapped(restored, partial(output.put, segment.number, first))  # encodes one frame behind
                else:
                    bar.advance(len(segment.own))  # by another process, meanwhile
                turn += 1
            count, first = count + 1, first + len(segment.own)
    return count, first


def _finish(task: _Task, unfinished: PartialFolder, output: Output, segments: int, frames: int) -> None:
    """Create the output from its segments."""
    if not frames:
        raise DataError(f'{task.clip.file}: no frame could be decoded; copy or download it again')
    output.finish(segments)
    unfinished.remove()
    log.logger.info(f'written: {task.job.output}, {quantity(frames, "frame")}')


def _rgb(shown: Shown) -> Tensor:
    return shown.picture.rgb()


def _plan(unfinished: PartialFolder, upscaler: Upscaler, task: _Task) -> PlanOptions:
    """Return one memory plan for the whole output, stored with it, so that bits do not depend on free memory."""
    stored, settings, clip = unfinished.noted(_PLAN), task.settings, task.clip
    if stored is not None and not (stored['kind'] in EXACT and settings.plan.kind in EXACT):
        return replace(settings.plan, **stored)
    longest = min(clip.frames, settings.segment + 2 * settings.overlap)
    options = upscaler.decide(longest, clip.height, clip.width)
    unfinished.note(_PLAN, {k: getattr(options, k) for k in ('kind', 'chunk', 'tile', 'tile_overlap')})
    return options


def _identity(
    job: Job, clip: Clip, rehearsal: Rehearsal | None, loaded: Loaded, device: torch.device, settings: UpscaleOptions
) -> dict[str, Any]:
    """Return everything that the bytes of the output depend on."""
    import av

    return {
        'format': _FORMAT,
        'input': sources.identity(job.source),
        'weights': loaded.sha256,
        'part': [clip.frames, clip.first, clip.last, clip.begin, clip.stop],
        'rate': str(clip.rate),
        'compare': settings.compare,
        'scene cuts': settings.scene_cuts,
        'segment': [settings.segment, settings.overlap],
        'precision': settings.precision,
        'tf32': devices.tf32_in_use(device),
        'device': device.type,
        'plan': settings.plan.decides_bits(),
        'encoding': None if rehearsal is None else asdict(rehearsal.recipe.encoding),
        'versions': {'iart': __version__, 'torch': torch.__version__, 'av': av.__version__},
    }
