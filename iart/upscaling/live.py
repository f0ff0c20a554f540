"""Restoration of frames as they arrive, between two pipes."""

import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar

import torch
from torch import Tensor, nn

from iart import device as devices
from iart.archs.causal import CausalState, is_causal
from iart.errors import DataError, SettingError, UserError
from iart.inference.options import PlanOptions
from iart.inference.restorer import evaluating
from iart.log import logger
from iart.upscaling.networks import Loaded
from iart.upscaling.scene_cuts import NEIGHBORS, mark_shots
from iart.upscaling.upscale_options import UpscaleOptions
from iart.upscaling.upscaler import Upscaler, cut
from iart.video.uncompressed import Y4M, RawRGB, y4m_header

T = TypeVar('T')
_USED = ('precision', 'preview', 'scene_cuts', 'segment', 'overwrite', 'plan')
_REPORT_EVERY = 10.0  # seconds between two lines of progress


def restored(
    network: nn.Module,
    device: torch.device,
    frames: Iterable[T],
    rgb: Callable[[T], Tensor],
    *,
    precision: str,
    plan: PlanOptions,
    scene_cuts: bool,
    segment: int,
) -> Iterator[tuple[T, Tensor]]:
    """Yield each frame with its restored frame, as early as the network allows.

    A causal network restores a frame when it arrives, or three frames later if scene cuts are detected; other networks
    restore a segment at a time.

    Args:
        network: the network, on ``device``; its training mode is restored afterward.
        device: the device to compute on.
        frames: frames in order, all of one size.
        rgb: function that converts a frame to (3, h, w) in [0, 1].
        precision: ``fp32``, ``fp16`` or ``bf16``.
        plan, segment: see :func:`iart.upscale`; no effect on causal networks.
        scene_cuts: whether propagation restarts where a shot begins.

    Yields:
        The frame, and (3, s·h, s·w) in [0, 1], on the CPU.
    """
    if not is_causal(network):
        upscaler = Upscaler(network, device, precision=precision, plan=plan)
        for piece in cut(frames, rgb, scene_cuts=scene_cuts, length=segment, overlap=plan.chunk_overlap):
            yield from upscaler.restore(piece, rgb)
        return
    state: CausalState | None = None
    with evaluating(network):
        for frame, begins in mark_shots(frames, rgb) if scene_cuts else ((frame, False) for frame in frames):
            lq = rgb(frame)[None].to(device)
            with torch.inference_mode(), devices.autocast(device, precision):
                sr, state = network.step(lq, None if begins else state)  # type: ignore[operator]
            yield frame, sr[0].float().cpu().clamp(0, 1)


def is_pipe(name: str) -> bool:
    """Return whether a name means standard input or output (``-``), or a named pipe."""
    try:
        return name == '-' or stat.S_ISFIFO(os.stat(name).st_mode)
    except OSError:
        return False


def parse_size(text: str) -> RawRGB:
    """Return the format that ``--raw WIDTHxHEIGHT`` means.

    Raises:
        UserError: it is no size.
    """
    width, _, height = text.partition('x')
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise UserError(f'--raw: got {text!r}, expected WIDTHxHEIGHT, such as 320x180')
    return RawRGB(int(height), int(width))


def standard_output() -> BinaryIO:
    """Return standard output for frames alone: from now on everything else that is printed goes to standard error."""
    sys.stdout.flush()
    frames = os.fdopen(os.dup(sys.stdout.fileno()), 'wb')
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return frames


def run(
    source: BinaryIO | Path,
    target: BinaryIO | Path,
    loaded: Loaded,
    device: torch.device,
    settings: UpscaleOptions,
    *,
    raw: RawRGB | None = None,
    scale: int | None = None,
) -> None:
    """Restore the frames of a pipe into another one, in the format in which they come.

    Args:
        source: a stream or a named pipe, of y4m, or of rgb24 frames with ``raw``.
        target: a stream, such as :func:`standard_output`, or a named pipe or file. Both are closed at the end.
        loaded: the network.
        device: where it is.
        settings: what the user wants.
        raw: size of rgb24 frames; None: y4m.
        scale: what the user takes the network's scale to be.

    Raises:
        UserError: a setting has no effect here, the input is not as stated, or nobody reads the output any more.
    """
    check_settings(settings)
    with ExitStack() as stack:
        stream = stack.enter_context(source.open('rb') if isinstance(source, Path) else source)
        if not isinstance(target, Path):
            stack.enter_context(target)
        form: RawRGB | Y4M = raw or y4m_header(stream)
        factor = Upscaler(loaded.network, device, precision=settings.precision, plan=settings.plan).scale
        if scale not in (None, factor):
            raise SettingError('scale', f'got {scale}, expected {factor}, the scale of this network, or other weights')
        large = form.enlarged(factor)
        logger.info(f'{loaded.title}, {settings.precision}')
        logger.info(f'{form} → {large}; {_latency(loaded.network, settings)}')
        frames = islice(form.frames(stream), settings.preview)
        outputs = restored(
            loaded.network,
            device,
            frames,
            lambda frame: frame,
            precision=settings.precision,
            plan=settings.plan,
            scene_cuts=settings.scene_cuts,
            segment=settings.segment,
        )
        sink = stack.enter_context(target.open('wb')) if isinstance(target, Path) else target
        _write(sink, large, (sr for _, sr in outputs))


def _write(sink: BinaryIO, form: RawRGB | Y4M, frames: Iterator[Tensor]) -> None:
    written, began = 0, time.monotonic()
    reported = began
    try:
        sink.write(form.header())
        for frame in frames:
            sink.write(form.encode(frame))
            sink.flush()
            written += 1
            if (now := time.monotonic()) - reported > _REPORT_EVERY:
                reported = now
                logger.info(f'{written} frames, {written / (now - began):.2f} frames/s')
    except BrokenPipeError as error:
        raise DataError(f'the program that reads the output ended after {written} frames') from error
    if not written:
        raise DataError('standard input: got no frames, expected at least one')
    logger.info(f'{written} frames in {time.monotonic() - began:.1f} s')


def _latency(network: nn.Module, settings: UpscaleOptions) -> str:
    if is_causal(network):
        ahead = f'{NEIGHBORS} frames later, which finding cuts takes' if settings.scene_cuts else 'when it comes'
        return f'a causal network: each frame is restored {ahead}'
    frames = settings.segment + settings.overlap
    return f'not a causal network: frames are restored {settings.segment} at a time, after {frames} have come'


def check_settings(settings: UpscaleOptions) -> None:
    """Refuse settings that have no effect on pipes.

    Raises:
        SettingError: one is not at its default.
    """
    default = UpscaleOptions()
    for one in fields(UpscaleOptions):
        if one.name not in _USED and getattr(settings, one.name) != getattr(default, one.name):
            raise SettingError(one.name, 'has no effect between pipes: frames are not compressed')
