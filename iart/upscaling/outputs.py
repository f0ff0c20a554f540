"""Outputs for restored frames: a video, or a folder of PNG files. Both write a segment completely or not at all."""

import io
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from torch import Tensor

from iart.errors import DataError
from iart.files import write_atomically, write_bytes
from iart.image import to_uint8, write_png
from iart.partial import PartialFolder
from iart.upscaling.upscale_options import UpscaleOptions
from iart.video.copied_packets import Taken
from iart.video.encode import add_video_stream, encode, tag_frame
from iart.video.mux import MILLISECONDS, MuxError, mux
from iart.video.packet_order import Order
from iart.video.packets import read_packets, write_packets
from iart.video.pictures import Shown, to_frame
from iart.video.read_back import differences, read_back
from iart.video.rehearsal import Rehearsal

Restored = Iterable[tuple[Shown, Tensor]]
"""LR frames with their restored frames, (3, h, w) in [0, 1], on the CPU."""


class Output(Protocol):
    """An output for the segments of a clip."""

    def finished(self) -> dict[int, int]:
        """Return the number of frames of every finished segment, by its number."""
        ...

    def put(self, number: int, first: int, restored: Restored) -> None:
        """Write a segment.

        Args:
            number: number of the segment.
            first: number of its first frame within the clip.
            restored: its frames.
        """
        ...

    def finish(self, segments: int) -> None:
        """Create the output, once all segments are finished."""
        ...


def partial_folder(output: Path, settings: UpscaleOptions, *, follows: bool = False) -> PartialFolder:
    """Return the folder of an unfinished output, whose segments a later run continues with."""
    return PartialFolder(
        output,
        parts=('*.packets', '*.done'),
        restart=settings.restart,
        follows=follows,
        remedy='give the earlier options and input to continue, or --restart to begin again',
    )


class VideoOutput:
    """One video file.

    Args:
        partial: the folder of finished segments.
        rehearsal: the expected video.
    """

    def __init__(self, partial: PartialFolder, rehearsal: Rehearsal) -> None:
        self._partial, self._rehearsal = partial, rehearsal
        self._clip, self._encoding = rehearsal.recipe.clip, rehearsal.recipe.encoding

    def _file(self, number: int) -> Path:
        return self._partial.folder / f'{number:08}.packets'

    def finished(self) -> dict[int, int]:
        files = self._partial.folder.glob('*.packets')
        return {int(file.stem): sum(1 for _ in read_packets(file, contents=False)) for file in files}

    def put(self, number: int, first: int, restored: Restored) -> None:
        import av

        with av.open(io.BytesIO(), 'w', format='matroska') as container:  # for the sake of its encoder
            stream = add_video_stream(container, self._encoding, self._clip)
            write_packets(self._file(number), encode(self._frames(restored), container, stream))

    def _frames(self, restored: Restored) -> Iterator[Any]:
        form, unit = self._encoding, self._clip.time_base
        for shown, rgb in restored:
            frame = to_frame(rgb, form.pix_fmt, form.coding, shown.pts, shown.duration, unit)
            tag_frame(frame, form.tags)
            yield frame

    def finish(self, segments: int) -> None:
        output, whole = self._partial.output, self._partial.folder / 'whole'
        try:
            order, taken = mux(whole, [self._file(n) for n in range(segments)], self._rehearsal.recipe)
        except MuxError as error:
            raise DataError(f'{output}: {error}; its finished segments are kept, try another output') from error
        self._check(whole, order, taken)
        with whole.open('rb') as file:
            os.fsync(file.fileno())
        os.replace(whole, output)

    def _check(self, whole: Path, order: Order, taken: Taken) -> None:
        """Read the video back and compare it with the expected facts.

        Raises:
            DataError: it differs; it is removed, and the segments are kept.
        """
        import av

        start, end = order.span(self._clip.time_base)
        kinds = self._rehearsal.promise.streams
        promise = replace(
            self._rehearsal.promise,
            frames=order.frames,
            start=start,
            end=end,
            sound_end=max((taken.ends[i][1] for i in taken.sounds), default=0.0) if kinds['audio'] else 0.0,
            last_sound=max((taken.ends[i][0] for i in taken.sounds), default=0.0) if kinds['audio'] else 0.0,
        )
        delay = -float(taken.earliest) if self._rehearsal.recipe.suffix in MILLISECONDS else 0.0
        try:
            wrong = differences(promise, read_back(whole), delay=delay)
        except (av.error.FFmpegError, StopIteration) as error:
            wrong = [f'a file that cannot be read ({getattr(error, "strerror", None) or error})']
        if wrong:
            whole.unlink()
            raise DataError(
                f'{self._partial.output}: what was written is not what was promised: reading it back gives '
                f'{"; ".join(wrong)}. Its finished segments are kept; try another output, such as .mkv, or --codec'
            )


class FolderOutput:
    """PNG files, of 16 bits where the input has more than 8.

    Args:
        partial: the folder of finished frames.
        names: names of the frames without extension; None for their numbers, ``00000000``.
        deep: whether to write 16 bits.
    """

    def __init__(self, partial: PartialFolder, names: list[str] | None, *, deep: bool) -> None:
        self._partial, self._names, self._deep = partial, names, deep
        self._frames = partial.folder / 'frames'

    def _mark(self, number: int) -> Path:
        return self._partial.folder / f'{number:08}.done'

    def finished(self) -> dict[int, int]:
        return {int(mark.stem): int(mark.read_text(encoding='utf-8')) for mark in self._partial.folder.glob('*.done')}

    def put(self, number: int, first: int, restored: Restored) -> None:
        count = 0
        for index, (_, rgb) in enumerate(restored, first):
            count += 1
            path = self._frames / f'{self._names[index] if self._names else f"{index:08}"}.png'
            if self._deep:
                _write_deep(path, rgb)
            else:
                write_png(path, to_uint8(rgb))
        write_atomically(self._mark(number), lambda name: Path(name).write_text(str(count), encoding='utf-8'))

    def finish(self, segments: int) -> None:
        output = self._partial.output
        there = sum(1 for path in self._frames.iterdir() if path.suffix == '.png')
        expected = sum(self.finished().values())
        if there != expected:
            raise DataError(
                f'{output}: got {there} frames in {self._frames}, expected {expected}; give --restart to begin again'
            )
        if output.is_dir():  # empty, or PNG files that may be replaced
            shutil.rmtree(output)
        os.replace(self._frames, output)


def _write_deep(path: Path, rgb: Tensor) -> None:
    """Write (3, h, w) in [0, 1] as a PNG file of 16 bits."""
    pixels = (rgb.clamp(0, 1) * 65535).round().numpy().astype(np.uint16)
    done, data = cv2.imencode('.png', np.ascontiguousarray(pixels[::-1].transpose(1, 2, 0)))  # OpenCV's order is BGR
    assert done, 'OpenCV encodes 16 bits'
    write_bytes(path, data.tobytes())


def check_free(output: Path, *, overwrite: bool) -> None:
    """Check that an output does not exist or may be replaced.

    Raises:
        DataError: it exists, and may not be replaced.
    """
    if output.is_dir():
        others = [p.name for p in output.iterdir() if p.suffix.lower() != '.png' or p.is_dir()]
        if others:
            raise DataError(f'{output}: contains other files than PNG, such as {others[0]}; choose another folder')
        if any(output.iterdir()) and not overwrite:
            raise DataError(
                f'{output}: contains frames already; choose another folder, or give --overwrite to replace them'
            )
    elif output.exists() and not overwrite:
        raise DataError(f'{output}: exists already; choose another name, or give --overwrite to replace it')
