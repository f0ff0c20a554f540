"""Sets with exact flow: rendered clips, MPI-Sintel's layout, and networks that take the flow from them."""

import struct

import numpy as np
import pytest
import torch
from helpers.sintel import write_sintel
from helpers.tiny import write_options

from iart.archs.builder import build_network
from iart.data.flow_files import read_flo, reduce_flow, write_flo
from iart.data.loaders import build_dataset
from iart.errors import UserError
from iart.image import to_tensor, write_png
from iart.ops.warp import flow_warp
from iart.options import load
from iart.training.trainer import Trainer

SMALL = {'frames': 3, 'height': 96, 'width': 128}
NETWORK = {'mid_channels': 8, 'embed_dim': 8, 'depths': [1], 'num_heads': [2], 'window_size': [4, 4]}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp('rendered'))


def build(name, folder, **changes):
    return build_dataset({'type': name, 'folder': folder, **SMALL, **changes}, key='datasets.train', scale=4, seed=7)


@pytest.fixture(scope='module')
def train_set(folder):
    return build(
        'SyntheticFlowDataset',
        folder,
        clips_rendered=3,
        num_frame=3,
        gt_size=64,
        use_hflip=True,
        use_rot=True,
        random_reverse=True,
    )


@pytest.fixture(scope='module')
def test_set(folder):
    return build('SyntheticFlowTestDataset', folder, clips_rendered=3)


def test_flow_leads_to_the_same_point_of_the_scene(test_set):
    """Where the target is visible, the warped neighbor is the frame, up to interpolation and rounding."""
    gained = []
    for number, clip in enumerate(test_set.clips):
        lq = to_tensor(test_set.read_lq(number))
        flows, hidden = (
            torch.from_numpy(test_set.read_flows(number)),
            np.array(test_set.store.array(clip.name, 'hidden')),
        )
        assert flows.shape == (2, 2, 2, 24, 32)
        seen = torch.from_numpy(~hidden)
        for direction, (source, target) in enumerate(((lq[1:], lq[:-1]), (lq[:-1], lq[1:]))):
            warped = flow_warp(source, flows[direction], mode='bicubic')
            aligned, still = ((x - target).abs().mean(1)[seen[direction]].mean() for x in (warped, source))
            gained.append((still / aligned).item())
    assert min(gained) > 0.9
    assert np.mean(gained) > 2


def test_back_and_forth_is_no_motion(test_set):
    scene = test_set.store.scene(0)
    points = np.random.default_rng(0).uniform(20, 70, (50, 2))
    for layer in scene.layers:
        np.testing.assert_allclose(layer.follow(layer.follow(points, 0, 2), 2, 0), points, atol=1e-9)
        between = layer.follow(layer.follow(points, 0, 1), 1, 2)
        np.testing.assert_allclose(between, layer.follow(points, 0, 2), atol=1e-9)


def test_rendering_depends_on_nothing_but_its_options(test_set, tmp_path):
    again = build('SyntheticFlowTestDataset', str(tmp_path), clips_rendered=1)
    for name in ('gt', 'flows', 'hidden'):
        assert np.array_equal(again.store.array('0000', name), test_set.store.array('0000', name))
    assert again.store.root.name == test_set.store.root.name, 'a larger set begins with the clips of a smaller one'
    other = build('SyntheticFlowTestDataset', str(tmp_path), clips_rendered=1, scene_seed=5)
    assert not np.array_equal(again.store.array('0000', 'gt'), other.store.array('0000', 'gt'))


def test_rendered_clips_are_read_again(folder, test_set, monkeypatch):
    monkeypatch.setattr('iart.data.synthetic_store.SyntheticStore._render', lambda *_: pytest.fail('rendered again'))
    assert len(build('SyntheticFlowTestDataset', folder, clips_rendered=3)) == 3


def test_flow_is_turned_with_the_frames(train_set):
    """Over all turns and directions the flow of a crop warps its neighbors onto it, and no other flow does."""
    errors = np.zeros(3)
    for epoch in range(16):
        item = train_set[epoch, epoch]
        assert item['lq'].shape == (3, 3, 16, 16)
        assert item['gt_flows'].shape == (2, 2, 2, 16, 16)
        for direction, (source, target) in enumerate(
            ((item['lq'][1:], item['lq'][:-1]), (item['lq'][:-1], item['lq'][1:]))
        ):
            flow = item['gt_flows'][direction]
            for kind, moved in enumerate((flow, 0 * flow, flow.flip(1))):
                errors[kind] += (
                    (flow_warp(source, moved, mode='bicubic') - target)[..., 3:-3, 3:-3].square().mean().item()
                )
    assert errors[0] < 0.5 * errors[1:].min()


def test_photographs_are_moved(tmp_path):
    random = np.random.default_rng(0)
    write_png(
        tmp_path / 'stills' / 'a.png',
        np.full((200, 220, 3), [200, 30, 30], np.uint8) + random.integers(0, 20, (200, 220, 3), np.uint8),
    )
    section = {'clips_rendered': 1, 'stills': str(tmp_path / 'stills'), 'photographs': 1.0}
    gt = build('SyntheticFlowTestDataset', str(tmp_path / 'out'), **section)[0]['gt']
    assert (gt.mean((0, 2, 3)) - torch.tensor([210, 40, 40]) / 255).abs().max() < 0.03


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'height': 90}, r'height and width: got \(90, 128\), expected 64 or more, multiples of 4'),
        ({'frames': 1}, 'frames: got 1, expected 2 or more'),
        ({'photographs': 2.0}, 'photographs: got 2.0, expected a share'),
        ({'stills': 'nowhere'}, 'nowhere: no such folder, expected one with photographs'),
        ({'spede': 3}, "did you mean 'speed'"),
    ],
)
def test_mistakes_in_the_options_are_named(folder, changes, message):
    with pytest.raises(UserError, match=message):
        build('SyntheticFlowTestDataset', folder, **changes)


@pytest.fixture
def sintel(tmp_path):
    write_sintel(tmp_path)
    return tmp_path


def test_sintel_layout(sintel):
    section = {'type': 'SintelDataset', 'root': str(sintel), 'num_frame': 3, 'gt_size': 64}
    dataset = build_dataset(section, key='datasets.train', scale=4, seed=0)
    assert [clip.name for clip in dataset.clips] == ['alley_1'], 'the test sequences are kept out'
    flows = dataset[0]['gt_flows']
    assert flows.shape == (1, 2, 2, 16, 16)
    assert flows[0, :, 0, 0, 0].tolist() == [1.0, 2.0], 'GT pixels become LR pixels'
    assert flows[0, :, 1, 0, 0].tolist() == [-0.5, -0.5]
    held_out = build_dataset({'type': 'SintelTestDataset', 'root': str(sintel)}, key='datasets.val', scale=4)
    assert len(held_out) == 3
    assert held_out.read_flows(0).shape == (1, 2, 2, 18, 24), 'rows beyond a multiple of 4 are cut off'
    assert held_out[0]['gt'].shape == (3, 3, 72, 96)


def test_sintel_mistakes_are_named(sintel):
    (sintel / 'training' / 'flow' / 'alley_2' / 'frame_0002.flo').unlink()
    with pytest.raises(UserError, match=r'frame_0002\.flo: no such file'):
        build_dataset({'type': 'SintelTestDataset', 'root': str(sintel)}, key='datasets.val', scale=4)
    with pytest.raises(UserError, match=r'clean: no such folder, expected MPI-Sintel'):
        build_dataset(
            {'type': 'SintelTestDataset', 'root': str(sintel / 'training' / 'flow')}, key='datasets.val', scale=4
        )


def test_a_flo_file_byte_by_byte(tmp_path):
    """The format as Middlebury describes it: PIEH (202021.25), width, height, then x and y of each pixel by rows."""
    pixels = [(1.5, -2.0), (0.0, 0.25), (-7.0, 1e10)]
    values = [value for pixel in pixels for value in pixel]
    (tmp_path / 'a.flo').write_bytes(b'PIEH' + struct.pack('<ii6f', 3, 1, *values))
    flow = read_flo(tmp_path / 'a.flo')
    assert flow.shape == (2, 1, 3)
    assert flow[0, 0].tolist() == [1.5, 0.0, -7.0]
    assert flow[1, 0, :2].tolist() == [-2.0, 0.25]
    assert np.isnan(flow[1, 0, 2]), 'larger than 1e9: unknown'


def test_flo_files(tmp_path):
    flow = np.random.default_rng(0).normal(0, 3, (2, 5, 7)).astype(np.float32)
    write_flo(tmp_path / 'a.flo', flow)
    assert np.array_equal(read_flo(tmp_path / 'a.flo'), flow)
    data = (tmp_path / 'a.flo').read_bytes()
    (tmp_path / 'short.flo').write_bytes(data[:-4])
    with pytest.raises(UserError, match=r'got 288 bytes, expected 292'):
        read_flo(tmp_path / 'short.flo')
    (tmp_path / 'other.flo').write_bytes(b'P6 7 5 255\n' + data)
    with pytest.raises(UserError, match='got a file of another format'):
        read_flo(tmp_path / 'other.flo')


def test_unknown_flow_takes_no_part_in_a_mean(tmp_path):
    flow = np.full((2, 4, 8), 8.0, np.float32)
    flow[:, 0, :2] = 2e9
    flow[:, :, 4:] = 2e9
    write_flo(tmp_path / 'a.flo', flow)
    assert reduce_flow(read_flo(tmp_path / 'a.flo'), 4).tolist() == [[[2.0, 0.0]]] * 2


@pytest.mark.parametrize('network', ['AlignmentStudyNet', 'IART'])
def test_training_and_validation_use_the_exact_flow(tmp_path, folder, monkeypatch, network):
    rendered = {'folder': folder, **SMALL, 'clips_rendered': 3}
    window = NETWORK['window_size'] if network == 'AlignmentStudyNet' else [3, 4, 4]
    path = write_options(
        tmp_path,
        datasets__train={
            'type': 'SyntheticFlowDataset',
            **rendered,
            'num_frame': 3,
            'gt_size': 64,
            'num_worker_per_gpu': 0,
            'batch_size_per_gpu': 2,
        },
        datasets__val={'name': 'held', 'type': 'SyntheticFlowTestDataset', **rendered},
        network_g={'type': network, **NETWORK, 'window_size': window, 'flow': {'type': 'gt'}},
        train__total_iter=2,
    )
    trainer = Trainer(load(path), device=torch.device('cpu'))
    trainer.fit()
    assert trainer.progress.best['value'] > 5


def test_flow_in_one_direction_is_not_enough_for_recurrence(sintel):
    held_out = build_dataset({'type': 'SintelTestDataset', 'root': str(sintel)}, key='datasets.val', scale=4)
    network = build_network({'type': 'IART', **NETWORK, 'window_size': [3, 4, 4], 'flow': {'type': 'gt'}})
    flows = tuple(torch.from_numpy(held_out.read_flows(0))[:, None].unbind(0))
    with torch.no_grad(), pytest.raises(ValueError, match='expected flows to the previous frame as well'):
        network(held_out[0]['lq'][None], flows)
    study = build_network({'type': 'AlignmentStudyNet', **NETWORK})
    with torch.no_grad():
        assert study(held_out[0]['lq'][None], flows).shape == (1, 3, 3, 72, 96)
