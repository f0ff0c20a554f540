"""Comparison of LR and GT frames: the degradation between them, and whether they are paired correctly."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from iart.data.pairs import ClipInfo
from iart.data.store import FrameStore
from iart.errors import DataError
from iart.image import Frame
from iart.ops.degradation import SAME, degrade_uint8, difference, kinds_of
from iart.preparing.jobs import parallel
from iart.preparing.likeness import Likeness, known_likeness, likeness

_SEARCHES = 4  # frames of a clip whose true pair is searched before giving up
_FEWEST_PER_CLIP = 3
_DESCRIBED = 60  # frames that are neither BI nor BD and are examined more closely: half a second each

Place = tuple[int, int]
"""Index of a clip and of a frame in it."""


class ClipPairs(Protocol):
    """The required part of a data set of :mod:`iart.data`."""

    lq: FrameStore
    gt: FrameStore | None
    clips: list[ClipInfo]
    scale: int


@dataclass
class FrameFindings:
    """Results for the examined frames.

    Args:
        looked: number of decoded pairs.
        unreadable: one message per frame that cannot be decoded.
        seen: likeness of each pair.
        moved: LR frames that belong to another GT frame, with that frame's clip and number.
    """

    looked: int = 0
    unreadable: list[str] = field(default_factory=list)
    seen: dict[Place, Likeness] = field(default_factory=dict)
    moved: dict[Place, Place] = field(default_factory=dict)

    @property
    def swapped(self) -> dict[Place, Place]:
        """LR frames that belong to another clip."""
        return {place: to for place, to in self.moved.items() if place[0] != to[0]}

    @property
    def reordered(self) -> dict[Place, Place]:
        """LR frames that belong to another frame of their clip."""
        return {place: to for place, to in self.moved.items() if place[0] == to[0]}

    def labels(self) -> Counter[str]:
        """Number of frames by label, without moved frames."""
        return Counter(like.label for place, like in self.seen.items() if place not in self.moved)


def choose(clips: Sequence[ClipInfo], most: int | None) -> list[Place]:
    """Choose the frames to examine, all or about ``most``, evenly distributed over clips and within each.

    Frames without GT are omitted.
    """
    paired = [[i for i in range(len(c.frames)) if not c.gt_frames or c.gt_frames[i]] for c in clips]
    if most is None or sum(map(len, paired)) <= most:
        return [(c, f) for c, frames in enumerate(paired) for f in frames]
    chosen = _spread(len(clips), max(1, most // _FEWEST_PER_CLIP))
    each = max(_FEWEST_PER_CLIP, most // len(chosen))
    return [(c, paired[c][k]) for c in chosen for k in _spread(len(paired[c]), each)]


def _spread(count: int, most: int) -> list[int]:
    """Return ``most`` of 0 .. count-1, evenly distributed, with both ends."""
    if count <= most:
        return list(range(count))
    return sorted({round(k * (count - 1) / max(most - 1, 1)) for k in range(most)})


def examine(pairs: ClipPairs, places: Sequence[Place], *, expected: str | None, jobs: int, title: str) -> FrameFindings:
    """Decode the chosen frames, determine their likeness, and search the true pair of those that do not fit.

    Args:
        places: see :func:`choose`.
        expected: the degradation to try first.
        jobs: number of threads.
    """
    examiner = _Examiner(pairs, expected)
    findings = FrameFindings()
    doubtful: list[Place] = []
    for place, result in zip(places, parallel(examiner.look, places, jobs=jobs, title=title), strict=True):
        findings.looked += 1
        if isinstance(result, str):
            findings.unreadable.append(result)
        elif result is None:
            doubtful.append(place)
        elif pairs.gt is not None:
            findings.seen[place] = result
    closer = [doubtful[k] for k in _spread(len(doubtful), _DESCRIBED)]
    for place, like in zip(
        closer, parallel(examiner.describe, closer, jobs=jobs, title=f'{title}, a closer look'), strict=True
    ):
        findings.seen[place] = like
    for place in doubtful:
        findings.seen.setdefault(
            place, Likeness('neither BI nor BD, not examined more closely', 'unknown', float('inf'))
        )
    findings.moved = examiner.find_places([place for place in doubtful if findings.seen[place].how != 'impostor'])
    return findings


class _Examiner:
    def __init__(self, pairs: ClipPairs, expected: str | None) -> None:
        assert pairs.gt is not None
        self.lq, self.gt, self.clips, self.scale, self.expected = pairs.lq, pairs.gt, pairs.clips, pairs.scale, expected
        self.hint = ''

    def look(self, place: Place) -> Likeness | str | None:
        """Return the likeness of a pair if it is BI or BD, None if it is neither, or why it cannot be read."""
        try:
            return known_likeness(self._gt(place), self._lq(place), self.scale, self.expected)
        except DataError as error:
            return str(error)

    def describe(self, place: Place) -> Likeness:
        like = likeness(self._gt(place), self._lq(place), self.scale, self.expected, self.hint)
        self.hint = like.label
        return like

    def _lq(self, place: Place) -> Frame:
        clip = self.clips[place[0]]
        return self.lq.read(clip.name, clip.frames[place[1]])

    def _gt(self, place: Place) -> Frame:
        clip = self.clips[place[0]]
        name = clip.gt_frames[place[1]] if clip.gt_frames else clip.frames[place[1]]
        return self.gt.read(clip.name, name)

    def find_places(self, lost: Sequence[Place]) -> dict[Place, Place]:
        """Return the true pairs of LR frames: in their own clip first, then at the same position of all others."""
        pairs: dict[Place, Place] = {}
        for clip in sorted({c for c, _ in lost}):
            members = [place for place in lost if place[0] == clip]
            tried = [members[k] for k in _spread(len(members), _SEARCHES)]
            here = self._search(tried, self._whole(clip)) or self._search(tried, self._others(tried))
            places = [place for other in sorted({c for c, _ in here.values()}) for place in self._whole(other)]
            pairs |= here | self._search([place for place in members if place not in here], places)
        return pairs

    def _whole(self, clip: int) -> list[Place]:
        info = self.clips[clip]
        return [(clip, f) for f in range(len(info.frames)) if not info.gt_frames or info.gt_frames[f]]

    def _others(self, members: Sequence[Place]) -> list[Place]:
        """Return the same frames of the other clips of this size."""
        clip = members[0][0]
        frames = {f for _, f in members}
        alike = [c for c, info in enumerate(self.clips) if c != clip and info.size == self.clips[clip].size]
        return [place for c in alike for place in self._whole(c) if place[1] in frames]

    def _search(self, lost: Sequence[Place], among: Sequence[Place]) -> dict[Place, Place]:
        """Return the one of the GT frames ``among`` that each lost LR frame belongs to."""
        frames = {lq_place: self._lq(lq_place) for lq_place in lost}
        best: dict[Place, tuple[float, Place]] = {}
        for place in among:
            if not frames:
                break
            try:
                gt = self._gt(place)
            except DataError:
                continue  # reported where this pair is examined
            for kind in kinds_of(self.scale):
                made = degrade_uint8(gt, kind, self.scale)
                for lq_place, frame in frames.items():
                    rms = difference(made, frame)
                    if rms <= SAME and lq_place != place and rms < best.get(lq_place, (SAME + 1, place))[0]:
                        best[lq_place] = rms, place
        return {lq_place: place for lq_place, (_, place) in best.items()}
