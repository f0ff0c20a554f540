"""One input after the other: what ``iart upscale`` does."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iart import log
from iart.errors import DataError, SettingError, UserError, listing
from iart.inference.options import EXACT, PlanOptions
from iart.upscaling import sources
from iart.upscaling.networks import Loaded
from iart.upscaling.outputs import FolderOutput, Output, VideoOutput, check_free
from iart.upscaling.partial import Partial
from iart.upscaling.settings import Settings
from iart.upscaling.sources import Job
from iart.upscaling.upscaler import Upscaler, cut
from iart.version import __version__
from iart.video import pyav
from iart.video.encode import choose_encoding
from iart.video.facts import HDR, Clip
from iart.video.pictures import Shown
from iart.video.rehearsal import Rehearsal, rehearse

_FORMAT = 1  # of what is kept beside an unfinished output
_PLAN = 'plan.json'


def run(jobs: list[Job], loaded: Loaded, device: torch.device, settings: Settings, scale: int | None = None) -> None:
    """Upscale every input; everything that can be checked is checked before the first.

    Args:
        jobs: inputs and outputs.
        loaded: the network.
        device: where it is.
        settings: what the user wants.
        scale: what the user takes the network's scale to be.

    Raises:
        UserError: an input, the output or an option is at fault. Finished segments and outputs stay.
    """
    upscaler = Upscaler(
        loaded.network, device, precision=settings.precision, plan=settings.plan, compare=settings.compare
    )
    if scale is not None and scale != upscaler.scale:
        raise SettingError(
            'scale',
            f'got {scale}, but this network enlarges by {upscaler.scale}, expected {upscaler.scale} or other weights',
        )
    if len(jobs) > 1 and not settings.overwrite:
        for job in (job for job in jobs if job.output.exists()):
            log.logger.info(f'{job.output}: is there already and stays as it is')
        jobs = [job for job in jobs if not job.output.exists()]
    failed: dict[Path, DataError] = {}
    prepared: list[tuple[Job, Clip, Rehearsal | None]] = []
    for job in jobs:
        with _noted(job, failed, alone=len(jobs) == 1):
            prepared.append((job, *_prepare(job, upscaler.scale, settings)))
    log.logger.info(f'{loaded.title}, {settings.precision}')
    for job, clip, rehearsal in prepared:
        _describe(job, clip, rehearsal, upscaler.scale)
        try:
            with _noted(job, failed, alone=len(jobs) == 1):
                _run(job, clip, rehearsal, upscaler, loaded, device, settings)
        except OSError as error:
            if isinstance(error, UserError):
                raise
            reason = error.strerror or error
            raise DataError(
                f'{job.output}: cannot be written ({reason}); make room, then run the same command again'
            ) from error
    if failed:
        raise DataError(
            f'{len(failed)} of {len(jobs)} inputs could not be upscaled, the others are done: '
            + listing(map(str, failed), 10)
        )


@contextlib.contextmanager
def _noted(job: Job, failed: dict[Path, DataError], *, alone: bool) -> Iterator[None]:
    """Log what is wrong with one of several inputs, so that the others are upscaled all the same."""
    try:
        yield
    except DataError as error:
        if alone:
            raise
        log.logger.error(f'{error}')
        failed[sources.path_of(job.source)] = error


def _prepare(job: Job, scale: int, settings: Settings) -> tuple[Clip, Rehearsal | None]:
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
    """Log what is done, and what an input has that its output does not have."""
    encoding = None if rehearsal is None else rehearsal.recipe.encoding
    extent = 'full' if clip.coding.full else 'limited'
    colours = f', {clip.coding.matrix}, {extent} range' if isinstance(job.source, Path) else ''
    what = f'{clip.frames} frames of {clip.width}×{clip.height}, {clip.pix_fmt}{colours}'
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
            f'{clip.file}: HDR ({HDR[clip.tags.transfer]}): passed through as it is coded, with its tags; nothing '
            'is tone-mapped, '
            'and the network was trained on other pictures'
        )
    if clip.bits > 8 and encoding is not None and encoding.coding.bits < clip.bits:
        log.logger.info(
            f'{clip.file}: {clip.bits} bits become {encoding.coding.bits}: {encoding.codec} has no more for such chroma'
        )
    for note in rehearsal.notes if rehearsal is not None else ():
        log.logger.warning(f'{clip.file}: {note}')


def _run(
    job: Job,
    clip: Clip,
    rehearsal: Rehearsal | None,
    upscaler: Upscaler,
    loaded: Loaded,
    device: torch.device,
    settings: Settings,
) -> None:
    with Partial(job.output, restart=settings.restart) as partial:
        partial.begin(_identity(job, clip, rehearsal, loaded, device, settings))
        _follow_plan(partial, upscaler, clip, settings)
        output: Output
        if rehearsal is None:
            output = FolderOutput(partial, sources.names(job.source, clip), deep=clip.bits > 8)
        else:
            output = VideoOutput(partial, rehearsal)
        _fill(job, clip, output, upscaler, settings)
        partial.remove()


def _fill(job: Job, clip: Clip, output: Output, upscaler: Upscaler, settings: Settings) -> None:
    """Restore every segment that is not there, and let the output appear."""
    frames = sources.read(job.source, clip, settings)
    pieces = cut(frames, _rgb, scene_cuts=settings.scene_cuts, length=settings.segment, overlap=settings.overlap)
    count = first = 0
    done = output.done()
    if done:
        log.logger.info(f'{job.output}: going on; {done} of {clip.frames} frames were finished before')
    with log.Bar(clip.file.name, clip.frames, start=done) as bar:

        def counted(restored: Iterator[tuple[Shown, Tensor]]) -> Iterator[tuple[Shown, Tensor]]:
            for item in restored:
                yield item
                bar.advance()

        for segment in pieces:
            if not output.has(segment.number):
                output.put(segment.number, first, counted(upscaler.restore(segment, _rgb)))
            count, first = count + 1, first + len(segment.own)
    if not first:
        raise DataError(f'{clip.file}: no frame could be decoded; copy or download it again')
    output.finish(count)
    log.logger.info(f'written: {job.output}, {first} frames')


def _rgb(shown: Shown) -> Tensor:
    return shown.picture.rgb()


def _follow_plan(partial: Partial, upscaler: Upscaler, clip: Clip, settings: Settings) -> None:
    """One memory plan for the whole output, kept with it: which bits come out must not depend on the memory that was
    free.
    """
    held = partial.noted(_PLAN)
    if held is not None and not (held['kind'] in EXACT and settings.plan.kind in EXACT):
        options = replace(settings.plan, **held)
    else:
        longest = min(clip.frames, settings.segment + 2 * settings.overlap)
        options = upscaler.decide(longest, clip.height, clip.width)
        partial.note(_PLAN, {k: getattr(options, k) for k in ('kind', 'chunk', 'tile', 'tile_overlap')})
    upscaler.follow(options)


def _identity(
    job: Job, clip: Clip, rehearsal: Rehearsal | None, loaded: Loaded, device: torch.device, settings: Settings
) -> dict[str, Any]:
    """Everything that the bytes of the output depend on."""
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
        'device': device.type,
        'plan': _cutting(settings.plan),
        'encoding': None if rehearsal is None else asdict(rehearsal.recipe.encoding),
        'versions': {'iart': __version__, 'torch': torch.__version__, 'av': av.__version__},
    }


def _cutting(plan: PlanOptions) -> list[Any]:
    """What of a plan changes bits: where features are kept does not."""
    return [
        'whole' if plan.kind in (*EXACT, 'auto') else plan.kind,
        plan.chunk,
        plan.tile,
        plan.tile_overlap,
        plan.half,
    ]
