"""What an input looks like: detail, blocks and noise are seen, and weights that suit are named."""

import cv2
import numpy as np
import pytest
from torch import nn

from iart.ops.footage import Footage, measure_footage
from iart.pretrained import load_manifest
from iart.upscaling.input_description import footage_of, lines, named_weights


def natural(size=(256, 320), seed=0):
    """An image whose power falls with the square of the frequency, as that of photographs, with smooth places."""
    h, w = size
    y, x = np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None]
    spectrum = np.random.default_rng(seed).normal(size=(2, h, w // 2 + 1)) / np.hypot(y, x).clip(1 / w) ** 1.5
    image = np.fft.irfft2(spectrum[0] + 1j * spectrum[1], s=size)
    image = np.float32(128 + 60 * image / image.std()).clip(0, 255)
    smooth = cv2.GaussianBlur(image, (0, 0), 6)
    return np.where(np.arange(w) < w * 0.3, smooth, image)


def jpeg(image, quality):
    data = cv2.imencode('.jpg', image.astype(np.uint8), (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE).astype(np.float32)


@pytest.mark.parametrize('factor', [2, 4])
def test_enlarging_adds_no_detail(factor):
    native = natural()
    enlarged = cv2.resize(natural((128, 160)), None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    assert min(measure_footage([native]).detail) > 0.9
    assert max(measure_footage([enlarged]).detail) == pytest.approx(1 / factor, rel=0.35)


def test_blur_along_one_axis_is_seen_there():
    vertical, horizontal = measure_footage([cv2.GaussianBlur(natural(), (1, 15), 0, sigmaY=2)]).detail
    assert vertical < 0.5
    assert horizontal > 0.9


def test_blocks_of_jpeg_are_seen_and_nothing_else_is_taken_for_them():
    clean = natural()
    figures = [measure_footage([image]).blockiness for image in (jpeg(clean, 20), jpeg(clean, 60), clean)]
    assert figures[0] > figures[1] > 1.1
    assert figures[2] < 1.1
    enlarged = cv2.resize(natural((128, 160)), None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    assert measure_footage([enlarged]).blockiness < 1.1


@pytest.mark.parametrize('sigma', [4, 8])
def test_noise_is_measured(sigma):
    smooth = cv2.GaussianBlur(natural(), (0, 0), 3)
    noisy = smooth + np.random.default_rng(1).normal(0, sigma, smooth.shape).astype(np.float32)
    assert measure_footage([noisy]).noise == pytest.approx(sigma, rel=0.25)
    assert measure_footage([smooth]).noise < 1


@pytest.mark.parametrize('frames', [[], [np.zeros((63, 80), np.float32)]])
def test_what_is_too_small_is_refused(frames):
    with pytest.raises(ValueError, match='64 pixels'):
        measure_footage(frames)


def test_a_black_frame_has_no_faults():
    assert measure_footage([np.zeros((64, 64), np.float32)]) == Footage((1.0, 1.0), 1.0, 0.0)


def test_weights_are_named_that_suit():
    clean, blocks = Footage((1, 1), 1.0, 0.5), Footage((0.5, 0.5), 1.5, 0.5)
    assert lines(clean, (720, 1280), 'clean') == [
        'detail of about 1280×720 pixels, blockiness 1.00, noise 0.5 gray levels: clean'
    ]
    damaged = lines(blocks, (720, 1280), 'clean')
    assert 'detail of about 640×360 pixels' in damaged[0]
    assert 'compressed in blocks, soft' in damaged[0]
    assert 'weights for real footage' in damaged[1]
    assert not any('real footage' in line for line in lines(blocks, (720, 1280), 'real'))
    assert f'--weights {named_weights("clean")[0]}' in lines(clean, (720, 1280), 'real')[1]
    assert {'iart-small', 'basicvsr-reds4'} <= set(named_weights('clean'))


def test_small_frames_are_not_called_noisy_for_their_detail() -> None:
    footage = Footage(detail=(1.0, 1.0), blockiness=1.0, noise=4.0)
    assert 'noisy' in lines(footage, (180, 320), 'IART')[0]
    assert lines(footage, (144, 176), 'IART') == [lines(footage, (144, 176), 'IART')[0]]
    assert lines(footage, (144, 176), 'IART')[0].endswith(': clean')


def test_the_manifest_says_what_weights_were_trained_on() -> None:
    class RealVSR(nn.Module):
        """Only its name is read."""

    shipped = load_manifest().weights
    assert footage_of(nn.Identity(), shipped['iart-small'].sha256 or '') == 'clean'
    assert footage_of(nn.Identity(), shipped['iart-small-real'].sha256 or '') == 'real'
    assert footage_of(nn.Identity(), '0' * 64) == 'clean'
    assert footage_of(RealVSR(), '0' * 64) == 'real'
