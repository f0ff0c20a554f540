"""Agreement of clips with a protocol's benchmark: exact, partial, or none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from iart.errors import listing
from iart.protocols.protocol import BenchmarkClip, ManyClips, Protocol, Size, load_all

_METRICS = ('calculate_psnr', 'calculate_ssim', 'calculate_niqe')


@dataclass(frozen=True)
class Match:
    """How far data agree with a protocol.

    Args:
        kind: ``exact``; ``partial`` (some of the clips, each exactly the protocol's); ``mismatch``.
        label: what a result on these data may be called.
        explanation: what differs and what follows from it; empty when exact.
    """

    protocol: Protocol
    kind: Literal['exact', 'partial', 'mismatch']
    label: str
    explanation: str = ''

    def spoiled(self, reason: str) -> 'Match':
        """The same data when something else, such as a metric's channel, is not the protocol's."""
        explanation = '; '.join(filter(None, (self.explanation, reason)))
        return Match(self.protocol, 'mismatch', f'not {self.protocol.id}', explanation)


def match(protocol: Protocol, frames: Mapping[str, int], sizes: Mapping[str, Size] | None = None) -> Match:
    """Compare the clips with a protocol.

    Args:
        frames: name of each clip present and its number of frames.
        sizes: ground truth (height, width) of each clip; without it sizes are not looked at.
    """
    differences = _count_differences if isinstance(protocol.clips, ManyClips) else _named_differences
    wrong, present = differences(protocol, frames, sizes or {})
    if wrong or not present:
        explanation = '; '.join(wrong) or 'there are no clips'
        return Match(
            protocol,
            'mismatch',
            f'not {protocol.id}',
            f'{explanation}: not {protocol.id}, no published figure is compared',
        )
    if present < protocol.clip_count:
        label = f'{protocol.id}, {present} of {protocol.clip_count} clips'
        return Match(
            protocol,
            'partial',
            label,
            f'{label}: published totals are averages over all {protocol.clip_count}, none is compared',
        )
    return Match(protocol, 'exact', protocol.id)


def candidates(frames: Mapping[str, int], sizes: Mapping[str, Size] | None = None) -> list[Match]:
    """The protocols that fit exactly or in part, exact ones first; one benchmark may come with several degradations.

    A partial fit counts only where clips are known by name: any septuplets could be part of Vimeo-90K-T.
    """
    matches = [match(p, frames, sizes) for p in load_all().values() if p.degradation != 'real']
    fitting = [
        m for m in matches if m.kind == 'exact' or (m.kind == 'partial' and not isinstance(m.protocol.clips, ManyClips))
    ]
    return sorted(fitting, key=lambda m: m.kind != 'exact')


def metric_differences(protocol: Protocol, metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return how the options' PSNR, SSIM and NIQE sections differ from the protocol's (channel, border).

    Args:
        metrics: name of each metric and its YAML section; metrics other than PSNR, SSIM and NIQE are not the protocol's
            business.
    """
    wrong = []
    for name, section in metrics.items():
        if section['type'] not in _METRICS:
            continue
        if section['type'] == 'calculate_niqe':
            channel = 'Y' if section.get('convert_to', 'y') == 'y' else 'gray'
        else:
            channel = 'Y' if section.get('test_y_channel') else 'RGB'
        border = section.get('crop_border', 0)
        if channel != protocol.channel:
            wrong.append(f'{name} is measured on {channel}, {protocol.id} on {protocol.channel}')
        if border != protocol.crop_border:
            wrong.append(f'{name} cuts off {border} pixels, {protocol.id} {protocol.crop_border}')
    return wrong


def _named_differences(
    protocol: Protocol, frames: Mapping[str, int], sizes: Mapping[str, Size]
) -> tuple[list[str], int]:
    """Return the differences, and how many of the protocol's clips exist."""
    assert isinstance(protocol.clips, tuple)
    clips: dict[str, BenchmarkClip] = {name: clip for clip in protocol.clips for name in (clip.name, clip.also) if name}
    foreign = [name for name in frames if name not in clips]
    wrong = [f'clips that {protocol.benchmark} does not have: {listing(foreign, 8)}'] if foreign else []
    present = {clips[name].name for name in frames if name in clips}
    if len(present) + len(foreign) < len(frames):
        wrong.append('the same clip under two names')
    for name, clip in clips.items():
        if name in frames:
            wrong += _clip_differences(name, frames[name], sizes.get(name), clip)
    return wrong, len(present)


def _count_differences(
    protocol: Protocol, frames: Mapping[str, int], sizes: Mapping[str, Size]
) -> tuple[list[str], int]:
    assert isinstance(protocol.clips, ManyClips)
    wrong = []
    if len(frames) > protocol.clips.count:
        wrong.append(f'got {len(frames)} clips, {protocol.benchmark} has {protocol.clips.count}')
    for name, count in frames.items():
        wrong += _clip_differences(name, count, sizes.get(name), protocol.clips)
        if len(wrong) > 3:  # the first few are enough
            break
    return wrong, len(frames)


def _clip_differences(name: str, count: int, size: Size | None, clip: BenchmarkClip | ManyClips) -> list[str]:
    wrong = [f'clip {name} has {count} frames, expected {clip.frames}'] if clip.frames not in (None, count) else []
    if size is not None and clip.size is not None and tuple(size) != clip.size:
        wrong.append(f'clip {name} is {size[1]}x{size[0]}, expected {clip.size[1]}x{clip.size[0]}')
    return wrong
