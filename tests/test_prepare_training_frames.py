"""Frames for the shipped model: every kind of material, held-out clips apart, a smooth camera, files as listed."""

import hashlib
import json

import cv2
import moving_camera
import numpy as np
import prepare_training_frames as preparing
import pytest

from iart import image
from iart.errors import DataError


@pytest.fixture
def material(tmp_path, monkeypatch):
    """A folder as the real one, with tiny clips; videos are not decoded."""
    random = np.random.default_rng(0)
    data = tmp_path / 'data'
    clips = {
        'GT/goat': (720, 16),
        'GT/cows': (720, 16),
        'GT/swan': (720, 16),
        'GT/dog': (64, 36),
        'GT/flower': (66, 37),
    }
    for clip, (width, height) in {**clips, 'GT_original/swan': (720, 16)}.items():
        for number in range(2):
            frame = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
            image.write_png(data / clip / f'{number:05d}.png', frame)
    image.write_png(data / 'stills' / 'house.png', random.integers(0, 256, (300, 500, 3), dtype=np.uint8))
    (data / 'videos').mkdir()
    (data / 'videos' / '01_dog.mp4').write_bytes(b'video')
    monkeypatch.setattr(preparing, 'film_frames', lambda path: iter([np.zeros((36, 64, 3), np.uint8)]))
    for name, value in {'CAMERA_FRAMES': 2, 'CAMERA_CLIPS': 1, 'PAGES': 1}.items():
        monkeypatch.setattr(preparing, name, value)
    return data


def test_writes_every_kind_of_clip_once(material, tmp_path, capsys):
    out = tmp_path / 'out'
    preparing.prepare(material, out, checked=False)
    written = {folder.name: image.image_size(folder / '00000000.png') for folder in (out / 'train' / 'GT').iterdir()}
    assert written == {
        'cows': (8, 360),
        'flower': (36, 64),
        'swan_half': (8, 360),
        'swan_full': (16, 720),
        'still_00_0': (272, 480),
        'page_00': (272, 480),
        '01_dog': (16, 32),
    }
    assert image.image_size(out / 'val' / 'GT' / 'goat' / '00000001.png') == (8, 360)
    assert image.image_size(out / 'val' / 'BIx4' / 'goat' / '00000001.png') == (2, 90)
    capsys.readouterr()
    preparing.prepare(material, out, checked=False)
    assert capsys.readouterr().out == '', 'nothing is written twice'


def test_cuts_parts_of_clips_for_real_footage(material, tmp_path, monkeypatch):
    monkeypatch.setattr(preparing, 'PART_FRAMES', 1)
    monkeypatch.setattr(preparing, 'part_starts', lambda name, count: range(count) if name == 'cows' else range(0))
    out = tmp_path / 'out'
    preparing.prepare(material, out, checked=False)
    preparing.cut_parts(out)
    parts = out / 'parts'
    assert [p.name for p in sorted((parts / 'train' / 'GT').iterdir())] == ['cows_0', 'cows_1']
    second = (parts / 'train' / 'GT' / 'cows_1' / '00000000.png').read_bytes()
    assert second == (out / 'train' / 'GT' / 'cows' / '00000001.png').read_bytes()
    first = (out / 'val' / 'GT' / 'goat' / '00000000.png').read_bytes()
    assert {p.read_bytes() for p in (parts / 'val').rglob('*.png')} == {first}, 'the same frames, degraded twice'


@pytest.mark.parametrize(
    ('name', 'count', 'starts'),
    [
        ('cows', 33, [0, 11, 22]),
        ('01_dog', 290, [0, 60, 120, 180, 240]),
        ('05_juggle', 247, [0, 60, 120, 180]),
        ('tennis_half', 71, [0, 11, 22]),
        ('tennis_full', 71, []),
        ('still_03_0', 20, [0]),
        ('still_03_1', 20, []),
        ('page_07', 20, [0]),
        ('page_08', 20, []),
    ],
)
def test_parts_of_each_kind_of_clip(name, count, starts):
    assert list(preparing.part_starts(name, count)) == starts


def test_material_that_is_not_as_listed_is_named(material):
    files = sorted((material / 'GT' / 'cows').iterdir())
    digest = hashlib.sha256(b''.join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()
    listed = [{'path': 'GT/cows', 'files': 2, 'sha256': digest}]
    preparing.check(material, listed)
    files[0].write_bytes(b'changed')
    with pytest.raises(DataError, match=r'GT/cows: got 2 files'):
        preparing.check(material, listed)
    with pytest.raises(DataError, match=r'GT/lost: got 0 files'):
        preparing.check(material, [{**listed[0], 'path': 'GT/lost'}])


def test_the_listing_states_source_and_license_and_no_benchmark():
    material = json.loads(preparing.LISTING.read_text(encoding='utf-8'))['material']
    assert all(entry['source'] and entry['license'] and len(entry['sha256']) == 64 for entry in material)
    names = {entry['path'].split('/')[-1] for entry in material}
    assert set(preparing.HELD_OUT) <= names
    assert not names & {'calendar', 'city', 'foliage', 'walk', '000', '011', '015', '020'}


def test_a_wrong_folder_is_a_plain_message(tmp_path, capsys):
    assert preparing.main(['--data', str(tmp_path)]) == 2
    assert 'got no folder GT in it' in capsys.readouterr().err


def test_the_camera_moves_smoothly_and_alike_each_time():
    blobs = np.random.default_rng(1).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    picture = cv2.resize(blobs, (1000, 600), interpolation=cv2.INTER_CUBIC)
    frames, again = (np.array([*moving_camera.film(picture, 20, np.random.default_rng(2))], int) for _ in range(2))
    assert np.array_equal(frames, again)
    near, far = (np.abs(frames[step:] - frames[:-step]).mean() for step in (1, 8))
    assert 0 < near < far / 3


@pytest.mark.parametrize('kind', range(4))
def test_pages_have_sharp_edges(kind, monkeypatch):
    monkeypatch.setattr(moving_camera, '_PAGE', (120, 200))
    for seed in range(60):
        rng = np.random.default_rng(seed)
        peek = np.random.default_rng(seed)
        peek.integers(0, 256, (2, 3)), peek.random()
        if int(peek.integers(4)) == kind:
            break
    picture = moving_camera.page(rng)
    assert picture.shape == (120, 200, 3)
    steps = np.abs(np.diff(picture.astype(int).sum(2), axis=1))
    assert np.percentile(steps, 99) > 60
