"""The network that comes with the package: as in the manifest, described, small, and better than bicubic."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import iart
from iart import image, pretrained, shipped
from iart.demo import bundled_clip
from iart.files import sha256
from iart.ops.degradation import degrade_uint8, upsample_bicubic
from iart.upscaling import networks
from iart.upscaling.upscale_options import DEFAULT_WEIGHTS
from iart.weights import stored_options

MOST_BYTES = 5_000_000
SHIPPED = pretrained.load_manifest().weights[DEFAULT_WEIGHTS]


@pytest.fixture
def file(repository: Path) -> Path:
    return repository / SHIPPED.path


def test_is_the_file_of_the_manifest_and_small(file: Path) -> None:
    assert SHIPPED.shipped
    assert file.stat().st_size == SHIPPED.size <= MOST_BYTES
    assert sha256(file) == SHIPPED.sha256


def test_says_what_it_is(file: Path) -> None:
    with safe_open(file, 'pt') as content:
        metadata = content.metadata()
    for name in ('sai_model_spec', 'architecture', 'implementation', 'title', 'description', 'license', 'date'):
        assert metadata[f'modelspec.{name}'], name
    section = stored_options(file)
    assert section is not None
    assert section['type'] == metadata['modelspec.architecture'] == 'IABasicVSR'
    assert 'spynet_path' not in section


def test_the_card_names_the_file_and_its_hash(file: Path) -> None:
    card = file.with_suffix('.md').read_text(encoding='utf-8')
    assert file.name in card
    assert str(SHIPPED.sha256)[:16] in card


def test_upscales_better_than_bicubic_without_any_download(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, 'obtain', lambda *_: pytest.fail('nothing is to be fetched'))
    film = bundled_clip.film_frames(repository / 'datasets' / 'demo' / 'bigbuckbunny.mp4', 4)
    gt = [bundled_clip.shrink(frame) for frame in film]
    lq = [degrade_uint8(frame, 'BI', 4) for frame in gt]
    restored = list(iart.upscale(iter(lq), device='cpu'))
    assert [frame.shape for frame in restored] == [frame.shape for frame in gt]
    bicubic = [image.to_uint8(upsample_bicubic(image.to_tensor(frame))) for frame in lq]
    assert mean_psnr(restored, gt) > mean_psnr(bicubic, gt) + 0.4


def mean_psnr(frames: list[image.Frame], gt: list[image.Frame]) -> float:
    errors = [np.mean((a.astype(float) - b) ** 2) for a, b in zip(frames, gt, strict=True)]
    return float(np.mean(10 * np.log10(255**2 / np.array(errors))))


def test_an_installed_package_has_it_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, 'ROOT', tmp_path / 'iart' / '_shipped')
    assert pretrained.place(SHIPPED, tmp_path / 'cache') == shipped.ROOT / SHIPPED.path
