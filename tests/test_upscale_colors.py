"""Colors into the network and out of it: nothing lost, nothing moved."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from iart.errors import DataError
from iart.image import to_uint8
from iart.video.chroma import DEFAULT_SITING, SITINGS, enlarge, reduce
from iart.video.color import KR_KB, Coding, coding_of, rgb_to_ycbcr, ycbcr_to_rgb
from iart.video.encode import _MATRIX_TAGS
from iart.video.pictures import Decoded, Part, plane_array, rgb_pixels, rgb_planes, to_frame
from iart.video.pixel_formats import depth, is_rgb

FORMATS = [
    *('yuv420p', 'yuv422p', 'yuv444p', 'yuv420p10le', 'yuv422p10le', 'yuv444p12le', 'nv12', 'p010le'),
    *('gbrp', 'gbrp10le', 'bgr0', 'rgb24'),
]


def some_rgb(height: int = 10, width: int = 14) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing='ij')
    return torch.stack([0.5 + 0.4 * torch.sin(x / 6 + y / 9 + k) for k in range(3)])


@pytest.mark.parametrize('matrix', KR_KB)
@pytest.mark.parametrize('full', [False, True])
@pytest.mark.parametrize('bits', [8, 10, 12])
def test_there_and_back(matrix, full, bits):
    coding = Coding(matrix, full, bits)
    torch.testing.assert_close(ycbcr_to_rgb(rgb_to_ycbcr(some_rgb(), coding), coding), some_rgb())


@pytest.mark.parametrize(
    ('coding', 'levels', 'rgb'),
    [
        (Coding('BT.709', False, 8), (235, 128, 128), (1, 1, 1)),
        (Coding('BT.709', False, 10), (64, 512, 512), (0, 0, 0)),
        (Coding('BT.601', True, 8), (255, 128, 128), (1, 1, 1)),
        (Coding('BT.601', False, 8), (81.481, 90.203, 240), (1, 0, 0)),  # BT.601's red
        (Coding('BT.709', False, 8), (62.559, 102.336, 240), (1, 0, 0)),
        (Coding('BT.2020', False, 10), (940, 512, 512), (1, 1, 1)),
    ],
)
def test_known_colors(coding, levels, rgb):
    result = ycbcr_to_rgb(torch.tensor(levels).float().view(3, 1, 1), coding).flatten()
    torch.testing.assert_close(result, torch.tensor(rgb).float(), atol=2e-5, rtol=0)


@pytest.mark.parametrize('siting', SITINGS)
def test_chroma_lies_where_it_is_said_to(siting):
    """A ramp stays a ramp: sample i of the smaller plane lies at 2·i + position."""
    small = np.arange(8, dtype=np.float32)
    across, down = SITINGS[siting]
    inner = slice(4, -4)
    wide = enlarge(np.tile(small, (8, 1)), (16, 16), siting)
    np.testing.assert_allclose(wide[0, inner], ((np.arange(16) - across) / 2)[inner])
    high = enlarge(np.tile(small[:, None], (1, 8)), (16, 16), siting)
    np.testing.assert_allclose(high[inner, 0], ((np.arange(16) - down) / 2)[inner])
    if siting == DEFAULT_SITING:
        back = reduce(torch.from_numpy(wide), across=True, down=True)
        np.testing.assert_allclose(back[0, 3:-3], small[3:-3])


@pytest.mark.parametrize('size', [(1, 1), (17, 33), (2, 5)])
@pytest.mark.parametrize('siting', SITINGS)
def test_odd_sizes(size, siting):
    plane = torch.full(size, 7.0)
    small = reduce(plane, across=True, down=True)
    assert small.shape == (-(-size[0] // 2), -(-size[1] // 2))
    np.testing.assert_allclose(enlarge(small.numpy(), size, siting), plane)


@pytest.mark.parametrize(
    'pix_fmt', ['yuv420p', 'yuv422p', 'yuv444p', 'nv12', 'yuv420p10le', 'gray', 'rgb24', 'gbrp12le']
)
def test_a_part_has_the_bits_of_the_whole(pix_fmt):
    height, width = 83, 71
    coding = Coding('BT.709', is_rgb(pix_fmt), depth(pix_fmt), 'center')
    frame = to_frame(torch.rand(3, height, width), pix_fmt, coding, 0, 1, Fraction(1))
    planes, pixels = rgb_planes(frame, coding), rgb_pixels(frame, coding)
    assert np.array_equal(to_uint8(torch.from_numpy(planes)), pixels)
    for rows, columns in [((0, 1), (0, 1)), ((3, 80), (5, 6)), ((33, 65), (0, 71)), ((82, 83), (69, 71))]:
        part = Part(rows, columns)
        assert np.array_equal(rgb_planes(frame, coding, part), planes[:, slice(*rows), slice(*columns)])
        assert np.array_equal(rgb_pixels(frame, coding, part), pixels[slice(*rows), slice(*columns)])


@pytest.mark.parametrize(
    'pix_fmt',
    FORMATS,
)
def test_a_frame_survives_decoding_and_encoding(pix_fmt):
    rgb = some_rgb(24, 32)
    coding = Coding('BT.709', is_rgb(pix_fmt), depth(pix_fmt))
    frame = to_frame(rgb, pix_fmt, coding, 5, 2, Fraction(1, 90))
    assert (frame.format.name, frame.pts, frame.time_base) == (pix_fmt, 5, Fraction(1, 90))
    result = Decoded(frame, coding).rgb()
    levels = (result - rgb)[:, 4:-4, 4:-4].abs() * 255  # chroma has to be guessed at the edge
    assert levels.max() < (1.7 if depth(pix_fmt) == 8 else 0.5)
    assert levels.mean() < 0.6


def test_ten_bits_are_not_cut_to_eight():
    frame = av.VideoFrame(8, 8, 'yuv420p10le')
    for plane, level in zip(frame.planes, (501, 512, 512), strict=True):
        plane.update(np.full(plane.buffer_size // 2, level, np.uint16))
    coding = Coding('BT.709', False, 10)
    rgb = Decoded(frame, coding).rgb()
    torch.testing.assert_close(rgb, torch.full_like(rgb, (501 - 64) / 876))
    again = to_frame(rgb, 'yuv420p10le', coding, 0, 1, Fraction(1))
    assert set(plane_array(again, 0).ravel()) == {501}


def test_gray_has_no_color():
    frame = av.VideoFrame(8, 6, 'gray')
    frame.planes[0].update(np.full(frame.planes[0].buffer_size, 126, np.uint8))
    rgb = Decoded(frame, Coding('BT.601', False, 8)).rgb()
    torch.testing.assert_close(rgb, torch.full((3, 6, 8), 110 / 219))


def test_tags_decide():
    frame = av.VideoFrame(64, 32, 'yuv420p')
    assert coding_of(frame, Path('v.mp4')) == Coding('BT.601', False, 8)
    assert coding_of(frame, Path('v.mp4'), 'center').siting == 'center'
    assert coding_of(av.VideoFrame(64, 32, 'yuvj420p'), Path('v.mp4')).full
    assert coding_of(av.VideoFrame(64, 32, 'gray'), Path('v.mp4')).full
    assert coding_of(av.VideoFrame(64, 720, 'yuv420p'), Path('v.mp4')) == Coding('BT.709', False, 8)
    frame.colorspace, frame.color_range = 9, 2
    assert coding_of(frame, Path('v.mp4')) == Coding('BT.2020', True, 8)
    frame.colorspace = 14
    with pytest.raises(DataError, match=r'v\.mp4: got color matrix 14'):
        coding_of(frame, Path('v.mp4'))


def test_every_matrix_has_its_tag():
    assert set(_MATRIX_TAGS) == set(KR_KB)
