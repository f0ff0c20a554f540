"""BI and BD as the benchmarks' files hold them."""

import numpy as np
import pytest
import torch

from iart.errors import UserError
from iart.image import read_image
from iart.ops.degradation import degrade, degrade_uint8, recognize, taps, upsample_bicubic
from iart.ops.degradation_filters import exact
from iart.registry import matlab_imresize


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def as_tensor(image):
    return torch.from_numpy(image).permute(2, 0, 1)


@pytest.mark.parametrize('size', [(64, 48), (16, 20), (61, 70)])
@pytest.mark.parametrize('scale', [2, 3, 4])
def test_bicubic_is_basicsr_imresize(size, scale):
    image = noise(*size, 3).astype(np.float32) / 255
    cropped = image[: size[0] // scale * scale, : size[1] // scale * scale]
    ours = degrade(as_tensor(image), 'BI', scale).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours, matlab_imresize(cropped, 1 / scale), atol=1e-6)


@pytest.mark.parametrize('scale', [2, 4])
def test_upsampling_is_basicsr_imresize(scale):
    image = noise(21, 34, 3).astype(np.float32) / 255
    ours = upsample_bicubic(as_tensor(image), scale).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours, matlab_imresize(image, scale), atol=1e-6)


def test_bicubic_frames_are_the_published_ones(shared):
    """At most one level of difference on under 0.1 % of the values; in fact none."""
    for clip in ('Vid4/{}/city', 'Vid4/{}/walk', 'REDS4_head/{}/000'):
        gt = read_image(shared / 'data' / 'eval' / clip.format('GT') / '00000002.png')
        lq = read_image(shared / 'data' / 'eval' / clip.format('BIx4') / '00000002.png')
        difference = np.abs(degrade_uint8(gt).astype(int) - lq)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 1e-3
        assert recognize(gt, lq, 4)[0] == 'BI'


@pytest.mark.parametrize('size', [(4, 8, 3), (61, 70, 3), (76, 133, 1), (140, 20, 4)])
@pytest.mark.parametrize('scale', [1, 2, 4])
def test_bytes_are_the_rounded_sums_in_double(size, scale):
    """Strips and blocks that the frame does not fill, any number of channels."""
    image = noise(*size)
    expected = degrade(as_tensor(image).double(), 'BI', scale).permute(1, 2, 0).numpy()
    assert (degrade_uint8(image, 'BI', scale) == np.clip(np.floor(expected + 0.5), 0, 255)).all()


@pytest.mark.parametrize(
    ('kind', 'golden'),
    [
        ('BI', [[107, 165, 131, 115], [128, 124, 127, 127], [123, 132, 124, 63]]),
        ('BD', [[111, 160, 130, 114], [129, 125, 130, 124], [123, 127, 122, 69]]),
    ],
)
def test_golden_values(kind, golden):
    row, column = np.mgrid[:12, :16]
    image = np.stack([(row * 37 + column * 101 + row * column * 17 + c * 59) % 256 for c in range(3)], -1).astype(
        np.uint8
    )
    assert degrade_uint8(image, kind)[..., 0].tolist() == golden


def test_blur_as_written():
    """12x12 weights of sigma 1.6 over offsets -5..+6, replicated borders, rounded, every 4th from index 1; cropped to 4
    first.
    """
    image = noise(27, 22, 3, seed=1)
    offsets = np.arange(12) - 5.5
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.6**2))
    kernel /= kernel.sum()
    cropped = image[:24, :20].astype(float)
    expected = np.empty((6, 5, 3))
    for i, row in enumerate(range(1, 24, 4)):
        for j, column in enumerate(range(1, 20, 4)):
            rows = np.clip(np.arange(row - 5, row + 7), 0, 23)
            columns = np.clip(np.arange(column - 5, column + 7), 0, 19)
            expected[i, j] = np.tensordot(kernel, cropped[np.ix_(rows, columns)], 2)
    assert (degrade_uint8(image, 'BD') == np.floor(expected + 0.5)).all()
    np.testing.assert_allclose(
        degrade(as_tensor(image).double() / 255, 'BD').permute(1, 2, 0) * 255, expected, atol=1e-9
    )


@pytest.mark.parametrize('kind', ['BI', 'BD'])
def test_no_shift(kind):
    """A frame turned round gives the result turned round."""
    image = noise(32, 40, 3)
    assert (degrade_uint8(image[::-1, ::-1], kind) == degrade_uint8(image, kind)[::-1, ::-1]).all()


@pytest.mark.parametrize('kind', ['BI', 'BD'])
def test_degraded_crop_is_the_crop_of_the_degraded_frame(kind):
    """To the bit, wherever the crop lies, given a margin of two low-resolution pixels."""
    image = noise(96, 128, 3)
    whole = degrade_uint8(image, kind)
    for top, left in ((0, 4), (5, 7), (9, 1)):
        part = degrade_uint8(image[4 * top : 4 * top + 48, 4 * left : 4 * left + 60], kind)
        assert (part[2:-2, 2:-2] == whole[top + 2 : top + 10, left + 2 : left + 13]).all()


def test_batches_types_and_gradients():
    frames = torch.rand(2, 3, 3, 16, 24, dtype=torch.float64, requires_grad=True)
    low = degrade(frames)
    assert low.shape == (2, 3, 3, 4, 6)
    torch.testing.assert_close(low[1, 2], degrade(frames[1, 2]))
    assert torch.autograd.gradcheck(degrade, frames[0, 0, :1, :12, :12].detach().requires_grad_())
    assert torch.autograd.gradcheck(lambda x: degrade(x, 'BD'), frames[0, 0, :1, :8, :8].detach().requires_grad_())
    assert degrade(frames.half()).dtype == torch.float16
    clip = noise(2, 16, 24, 3)
    assert (degrade_uint8(clip)[1] == degrade_uint8(clip[1])).all()


def test_flat_frames_stay_flat():
    for kind in ('BI', 'BD'):
        for value in (0, 1, 127, 254, 255):
            assert (degrade_uint8(np.full((4, 8, 3), value, np.uint8), kind) == value).all()


def test_weights():
    assert sum(taps('BI').weights) == 1
    assert exact('BI', 4)[0] == taps('BI')  # the published weights are exact, nothing is rounded
    assert taps('BD').first == -4
    assert len(taps('BD').weights) == 12


def test_impostors_are_recognized():
    image = np.clip(np.cumsum(noise(96, 96, 3).astype(float) - 127.5, 1) / 3 + 128, 0, 255).astype(np.uint8)
    assert recognize(image, degrade_uint8(image, 'BI'), 4) == ('BI', 0)
    assert recognize(image, degrade_uint8(image, 'BD'), 4) == ('BD', 0)
    assert recognize(image, image[::4, ::4], 4) is None
    assert recognize(image, np.roll(degrade_uint8(image, 'BD'), 1, 1), 4) is None
    assert recognize(image, image[:20, :20], 4) is None


@pytest.mark.parametrize('expected', ['BI', 'BD', None])
@pytest.mark.parametrize(('offset', 'same'), [(0, True), (1, True), ('one pixel more', False), (2, False)])
def test_two_frames_are_the_same_up_to_one_level(expected, offset, same):
    """RMS 1 is the limit: it still counts, a single value more does not."""
    image = np.repeat(np.repeat(noise(24, 24, 3) // 2 + 60, 4, 0), 4, 1)
    frame = degrade_uint8(image, 'BI')
    frame = frame + np.uint8(offset if isinstance(offset, int) else 1)
    if isinstance(offset, str):
        frame[0, 0, 0] += 1
    assert recognize(image, frame, 4, expected) == (('BI', float(offset)) if same else None)


def test_mistakes():
    with pytest.raises(UserError, match='BI, BD'):
        degrade(torch.zeros(3, 8, 8), 'DUF')
    with pytest.raises(UserError, match='BD at scale 4 only'):
        degrade_uint8(noise(8, 8, 3), 'BD', 2)
    with pytest.raises(UserError, match='3x8'):
        degrade(torch.zeros(3, 8, 3))
    with pytest.raises(UserError, match='expected uint8'):
        degrade_uint8(np.zeros((8, 8, 3)))
