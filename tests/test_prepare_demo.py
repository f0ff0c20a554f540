"""The demo's frames: the right size, split in time, made once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import prepare_demo as script
import pytest

from iart import image
from iart.demo import bundled_clip
from iart.errors import DataError


def parts(phase: str) -> set[int]:
    return {i for first, last in bundled_clip.PARTS[phase] for i in range(first, last + 1)}


@pytest.fixture
def film(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three short clips of a tiny noisy film in place of the real one; returns what was decoded, call by call."""
    calls = []

    def decode(path: Path, most: int) -> Iterator[np.ndarray]:
        calls.append(path)
        random = np.random.default_rng(0)
        return (random.integers(0, 256, (36, 64, 3), dtype=np.uint8) for _ in range(8))

    monkeypatch.setattr(bundled_clip, 'film_frames', decode)
    monkeypatch.setattr(bundled_clip, 'GT_SIZE', (24, 40))
    monkeypatch.setattr(bundled_clip, 'PARTS', {'train': ((0, 1), (6, 7)), 'val': ((3, 4),)})
    return calls


def test_held_out_frames_are_apart_from_training() -> None:
    train, val = parts('train'), parts('val')
    assert len(val) >= 12
    assert min(abs(t - v) for t in train for v in val) > 4


def test_gt_divides_by_the_scale() -> None:
    assert [side % bundled_clip.SCALE for side in bundled_clip.GT_SIZE] == [0, 0]


def test_shrinking_keeps_the_proportions() -> None:
    frame = np.zeros((720, 1280, 3), np.uint8)
    frame[320:400, 600:680] = 255  # a square in the middle stays one
    small = bundled_clip.shrink(frame)
    assert small.shape == (*bundled_clip.GT_SIZE, 3)
    rows, columns = np.nonzero(small[..., 0] > 127)
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 1
    assert abs(columns.mean() - (small.shape[1] - 1) / 2) < 1
    with pytest.raises(DataError, match='got frames of 64×36'):
        bundled_clip.shrink(frame[:36, :64])


def test_writes_pairs_once(tmp_path: Path, film: list[Path]) -> None:
    out = bundled_clip.prepare(tmp_path / 'frames')
    listed = sorted(p.relative_to(out).as_posix() for p in out.rglob('*.png'))
    clips = ('train/{}/000/00000000', 'train/{}/000/00000001', 'train/{}/006/00000006', 'train/{}/006/00000007')
    clips += ('val/{}/003/00000003', 'val/{}/003/00000004')
    assert listed == sorted(f'{c.format(kind)}.png' for c in clips for kind in ('GT', 'BIx4'))
    assert image.read_image(out / 'val' / 'GT' / '003' / '00000003.png').shape == (24, 40, 3)
    assert image.read_image(out / 'val' / 'BIx4' / '003' / '00000003.png').shape == (6, 10, 3)
    bundled_clip.prepare(out)
    assert len(film) == 1
    assert [p.name for p in tmp_path.iterdir()] == ['frames']


def test_makes_them_anew_when_the_recipe_changes(
    tmp_path: Path, film: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = bundled_clip.prepare(tmp_path / 'frames')
    monkeypatch.setattr(bundled_clip, 'PARTS', {'train': ((0, 1),), 'val': ((3, 4),)})
    bundled_clip.prepare(out)
    assert not (out / 'train' / 'GT' / '006').exists()
    assert [p.name for p in tmp_path.iterdir()] == ['frames']


def test_leaves_strangers_alone(tmp_path: Path, film: list[Path]) -> None:
    (tmp_path / 'mine.txt').write_text('mine')
    with pytest.raises(DataError, match='did not write'):
        bundled_clip.prepare(tmp_path)
    assert (tmp_path / 'mine.txt').read_text() == 'mine'


def test_a_short_film_leaves_nothing(tmp_path: Path, film: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled_clip, 'PARTS', {'train': ((0, 20),), 'val': ()})
    with pytest.raises(DataError, match='got 8 frames, expected 21'):
        bundled_clip.prepare(tmp_path / 'frames')
    assert list(tmp_path.iterdir()) == []


def test_the_clip_is_the_one_described() -> None:
    described = (bundled_clip.CLIP.parent / 'README.md').read_text(encoding='utf-8')
    assert str(bundled_clip.recipe(bundled_clip.CLIP)['clip']) in described


def test_a_missing_clip_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(['--clip', str(tmp_path / 'none.mp4'), '--out', str(tmp_path / 'frames')]) == 2
    assert 'no such file' in capsys.readouterr().err
