"""Rehearsal of the output before hours of work: a trial is written and read back to report what cannot be kept.

One blank frame goes through encoder and container, and all copied packets go to a sink that discards them. So losses
are logged before the first frame is restored, and the contents that the finished file must have are known
(:class:`iart.video.read_back.Written`).
"""

import io
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from iart.errors import DataError, UserError
from iart.video.companions import COVER, Companion, companion_of, encoder_for, own_metadata
from iart.video.container import opened, picture_stream
from iart.video.copied_packets import Taken
from iart.video.encode import Encoding, encode_frames, tag_frame
from iart.video.facts import Clip
from iart.video.mux import MuxError, Recipe, finish_header, write
from iart.video.pictures import to_frame
from iart.video.read_back import Written, different_tags, kind_of, read_back, same_aspect, stated_aspect
from iart.video.side_data import SideData, encoder_parameters, lost_metadata, side_data_of

_LIMITED, _FULL = 1, 2


@dataclass(frozen=True)
class Rehearsal:
    """The expected output.

    Args:
        recipe: everything that it is made of.
        promise: facts that it must have; times and numbers of frames are not known yet.
        notes: changes and losses, for the log.
    """

    recipe: Recipe
    promise: Written
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Input:
    """Contents of an input besides its frames; empty for a folder of frames."""

    companions: tuple[Companion, ...] = ()
    kinds: tuple[str, ...] = ()
    metadata: frozenset[str] = frozenset()
    side_data: SideData = field(default_factory=SideData)
    notes: tuple[str, ...] = ()


def rehearse(clip: Clip, encoding: Encoding, suffix: str) -> Rehearsal:
    """Write the output on trial.

    Args:
        clip: the input's facts.
        encoding: encoding of the frames.
        suffix: extension of the output.

    Raises:
        UserError: the encoder or the container rejects the frames.
    """
    source = _look(clip, suffix) if clip.file.is_file() else _Input()
    notes = list(source.notes)
    recipe = Recipe(suffix, clip, _with_parameters(encoding, encoder_parameters(encoding.codec, source.side_data)))
    written = _trial(recipe)
    if encoding.tags.extent == _FULL and written.tags.extent != _FULL and encoding.tags.matrix != 0:
        notes.append(f'full range becomes limited: {encoding.codec} in {suffix} cannot state it')
        recipe = replace(recipe, encoding=_limited(recipe.encoding))
        written = _trial(recipe)
    if _keys_of_phones(source.metadata - written.metadata) and COVER not in dict(source.companions).values():
        other = replace(recipe, any_metadata=True)
        if suffix in ('.mp4', '.m4v', '.mov'):
            recipe, written = other, _trial(other)
    notes += _losses(recipe, source, written)
    companions, kinds, taken, refused = _copy_on_trial(recipe, source)
    notes += refused
    if taken.nudged:
        count = sum(taken.nudged.values())
        streams = ', '.join(str(index) for index in taken.nudged)
        notes.append(
            f'{count} packets of stream {streams} have equal or falling times: they are moved, by '
            f'{1000 * taken.nudge:.1f} ms at most'
        )
    if taken.earliest < 0 and suffix in ('.mkv', '.webm'):
        notes.append(
            f'sound begins {-1000 * float(taken.earliest):.0f} ms before 0, which {suffix} cannot state: everything is '
            'shown that much later (.mp4 and .mov keep it)'
        )
    promise = replace(written, streams=Counter(['video', *kinds]))
    return Rehearsal(replace(recipe, companions=companions), promise, tuple(dict.fromkeys(notes)))


def _look(clip: Clip, suffix: str) -> _Input:
    companions, kinds, notes = list[Companion](), list[str](), list[str]()
    with opened(clip.file) as source:
        ours = picture_stream(source, clip.file)
        has_chapters, timecode = bool(source.chapters()), 'timecode' in {k.lower() for k in ours.metadata}
        for stream in source.streams:
            if stream.index == ours.index or (stream.type == 'data' and has_chapters):
                continue  # .mp4 keeps titles of chapters as a stream
            companion, note = companion_of(stream, suffix, timecode=timecode)
            if note:
                notes.append(note)
            if companion is not None:
                companions.append(companion)
                kinds.append(kind_of(stream))
        metadata = frozenset(key.lower() for key in own_metadata(source.metadata))
        frame = next(source.decode(ours), None)
    side_data = SideData() if frame is None else side_data_of(frame)
    return _Input(tuple(companions), tuple(kinds), metadata, side_data, tuple(notes))


def _with_parameters(encoding: Encoding, parameters: dict[str, str]) -> Encoding:
    options = dict(encoding.options)
    for name, value in parameters.items():
        options[name] = f'{options[name]}:{value}' if name in options else value
    return replace(encoding, options=options)


def _limited(encoding: Encoding) -> Encoding:
    return replace(encoding, coding=replace(encoding.coding, full=False), tags=replace(encoding.tags, extent=_LIMITED))


def _keys_of_phones(metadata: frozenset[str]) -> bool:
    return any(key.startswith('com.') for key in metadata)  # com.apple.quicktime..., com.android...


def _trial(recipe: Recipe) -> Written:
    """Write one blank frame and read it back."""
    import av

    file, encoding, clip = io.BytesIO(), recipe.encoding, recipe.clip
    blank = torch.full((3, encoding.height, encoding.width), 0.5)
    frame = to_frame(blank, encoding.pix_fmt, encoding.coding, clip.first - clip.shift, 0, clip.time_base)
    tag_frame(frame, encoding.tags)
    try:
        write(file, recipe, lambda container, stream: _packets(encode_frames([frame], stream), stream, clip))
        finish_header(file, recipe)
        return read_back(file)
    except (MuxError, av.error.FFmpegError, ValueError, StopIteration, OSError) as error:
        what = f'{encoding.width}×{encoding.height} pixels of {encoding.pix_fmt} in {recipe.suffix}'
        reason = getattr(error, 'strerror', None) or error
        raise UserError(
            f'{encoding.codec} rejects {what} ({reason}); try another --codec, --pix-fmt, --preset or output'
        ) from error


def _packets(packets: Any, stream: Any, clip: Clip) -> Any:
    for packet in packets:
        packet.stream = stream
        packet.time_base = clip.time_base
        packet.dts = packet.pts
        yield packet


def _losses(recipe: Recipe, source: _Input, written: Written) -> list[str]:
    """Return the losses that the trial shows."""
    clip, suffix = recipe.clip, recipe.suffix
    where = f'{recipe.encoding.codec} in {suffix}'
    lost = [f'{text} ({where} cannot hold another)' for text in different_tags(recipe.encoding.tags, written.tags)]
    aspect = stated_aspect(clip.pixel_aspect)
    if not same_aspect(aspect, written.aspect):
        lost.append(f'the sample aspect ratio {aspect} becomes {written.aspect or 1}: {where} cannot hold it')
    if clip.display_matrix != written.display_matrix:
        lost.append(f'the rotation is lost: {suffix} cannot hold this display matrix')
    lost += [f'{text} is not kept by {where}' for text in lost_metadata(source.side_data, written.side_data)]
    if keys := sorted(source.metadata - written.metadata):
        shown = ', '.join(keys[:8]) + (f' and {len(keys) - 8} more' if len(keys) > 8 else '')
        lost.append(f'metadata that {suffix} has no place for is left out: {shown} (.mkv takes all)')
    return lost


class _Nothing(io.RawIOBase):
    """A file that discards what is written to it."""

    name = ''

    def __init__(self) -> None:
        self._place = self._size = 0

    def write(self, content: Any) -> int:
        self._place += len(content)
        self._size = max(self._size, self._place)
        return len(content)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True


def _copy_on_trial(recipe: Recipe, source: _Input) -> tuple[tuple[Companion, ...], list[str], Taken, list[str]]:
    """Write all copied packets to a null file; rejected streams are re-encoded, or left out."""
    kinds = dict(zip(source.companions, source.kinds, strict=True))
    companions, rejected = list(source.companions), list[str]()
    while companions:
        try:
            taken = write(_Nothing(), replace(recipe, companions=tuple(companions)), lambda container, stream: ())
        except MuxError as error:
            companion = next((c for c in companions if c.stream == error.stream), companions[-1])
            place, kind = companions.index(companion), kinds[companion]
            encoder = encoder_for(recipe.suffix)
            if kind == 'audio' and companion.way != encoder and encoder is not None:
                companions[place] = Companion(companion.stream, encoder)
                kinds[companions[place]] = kind
                rejected.append(f'{error}: it is encoded as {encoder}')
            else:
                del companions[place]
                rejected.append(f'{error}: it is left out')
        except DataError:
            raise
        else:
            empty = [
                c for c in companions if kinds[c] == 'audio' and c.stream not in taken.ends
            ]  # no packet of it lies in the part
            rejected += [f'stream {c.stream} (audio) has no packets in this part: it is left out' for c in empty]
            companions = [c for c in companions if c not in empty]
            return tuple(companions), [kinds[c] for c in companions], taken, rejected
    return (), [], Taken(), rejected
