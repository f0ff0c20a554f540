"""PSNR and SSIM are BasicSR's to the last digits that matter."""

import math

import cv2
import numpy as np
import pytest

from iart.errors import UserError
from iart.metrics.psnr_ssim_metric import calculate_psnr, calculate_ssim
from iart.registry import METRIC_REGISTRY, find


def pairs():
    rng = np.random.default_rng(0)
    for size in ((40, 53, 3), (19, 19, 3), (150, 31, 3)):
        a = rng.integers(0, 256, size, dtype=np.uint8)
        yield a, rng.integers(0, 256, size, dtype=np.uint8)
        yield a, np.clip(a + rng.integers(-2, 3, size), 0, 255).astype(np.uint8)
        one = a.copy()
        one[9, 9] ^= 1
        yield a, one
        smooth = cv2.GaussianBlur(a, (0, 0), 3)
        yield smooth, cv2.GaussianBlur(smooth, (0, 0), 1)
        yield np.full(size, 200, np.uint8), np.full(size, 201, np.uint8)


@pytest.mark.parametrize('name', ['calculate_psnr', 'calculate_ssim'])
@pytest.mark.parametrize('luma', [False, True])
@pytest.mark.parametrize('border', [0, 4])
def test_identical_to_basicsr(name, luma, border):
    ours, theirs = find(METRIC_REGISTRY, name), METRIC_REGISTRY.get(name)
    assert ours is not theirs
    for a, b in pairs():
        expected = theirs(a, b, crop_border=border, test_y_channel=luma)
        assert ours(a, b, crop_border=border, test_y_channel=luma) == pytest.approx(expected, abs=1e-9)
        chw = ours(a.transpose(2, 0, 1), b.transpose(2, 0, 1), border, input_order='CHW', test_y_channel=luma)
        assert chw == pytest.approx(expected, abs=1e-9)
        floats = ours(a.astype(np.float32), b.astype(np.float32), border, test_y_channel=luma)
        assert floats == pytest.approx(expected, abs=1e-9)


def test_gray():
    a, b = (np.random.default_rng(s).integers(0, 256, (20, 30), dtype=np.uint8) for s in (1, 2))
    assert calculate_psnr(a, b) == pytest.approx(METRIC_REGISTRY.get('calculate_psnr')(a, b, 0), abs=1e-9)
    assert calculate_ssim(a, b) == pytest.approx(METRIC_REGISTRY.get('calculate_ssim')(a, b, 0), abs=1e-9)


def test_identical_images():
    a = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    for luma in (False, True):
        assert calculate_psnr(a, a, test_y_channel=luma) == math.inf
        assert calculate_ssim(a, a, test_y_channel=luma) == pytest.approx(1, abs=1e-12)


def test_strips_do_not_show(monkeypatch):
    a, b = (np.random.default_rng(s).integers(0, 256, (90, 30, 3), dtype=np.uint8) for s in (1, 2))
    whole = calculate_ssim(a, b)
    monkeypatch.setattr('iart.metrics.psnr_ssim_metric._STRIP', 7)
    assert calculate_ssim(a, b) == pytest.approx(whole, abs=1e-14)


def test_mistakes():
    a = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(UserError, match='expected the same'):
        calculate_psnr(a, a[:10])
    with pytest.raises(UserError, match="expected 'HWC' or 'CHW'"):
        calculate_psnr(a, a, input_order='WHC')
    with pytest.raises(UserError, match='crop_border: got 10'):
        calculate_psnr(a, a, 10)
    with pytest.raises(UserError, match='11x11'):
        calculate_ssim(a, a, 5)
