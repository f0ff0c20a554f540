"""Flows of a training set kept on disk: computed once, those of the frames they come with, never of another set."""

import pickle

import numpy as np
import pytest
import torch
from helpers.tiny import TinyFlow, options, write_clips

from iart.data.recurrent_dataset import VideoClipDataset
from iart.data.store import Box
from iart.errors import DataError, OptionsError
from iart.options import Options
from iart.training import flow_computation
from iart.training.trainer import Trainer

CPU = torch.device('cpu')


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """Two clips of four frames of 20×16, and weights of a flow network; how often that was built."""
    write_clips(tmp_path)
    (tmp_path / 'spynet.pth').write_bytes(b'weights')
    built = []

    def build(path):
        torch.manual_seed(0)
        built.append(path)
        return TinyFlow()

    monkeypatch.setattr(flow_computation, 'build_spynet', build)
    return tmp_path, built


def dataset(root, **arguments):
    cache = {'folder': str(root / 'flows'), 'spynet_path': str(root / 'spynet.pth')}
    paths = {'dataroot_gt': str(root / 'GT'), 'dataroot_lq': str(root / 'LR')}
    made = VideoClipDataset(**{**paths, 'num_frame': 3, 'gt_size': 64, 'flow_cache': cache, **arguments})
    flow_computation.fill_flow_cache(made, CPU)
    return made


def flow_between(root, item, start, end):
    """The flow between two frames of an item, computed from the whole frames."""
    whole = VideoClipDataset(dataroot_gt=str(root / 'GT'), dataroot_lq=str(root / 'LR'), num_frame=3, gt_size=64)
    first, second = (
        flow_computation.to_tensor(whole.lq.read(item['clip'], item['frames'][k]))[None, None] for k in (start, end)
    )
    torch.manual_seed(0)
    with torch.inference_mode():
        return flow_computation.pair_flows(TinyFlow().eval(), first, second)[0, 0]


@pytest.mark.parametrize(
    'arguments', [{}, {'interval_list': [2], 'num_frame': 2}], ids=['neighbors', 'every second frame']
)
def test_an_item_has_the_flows_of_its_frames(clips, arguments):
    root, _ = clips
    made = dataset(root, random_reverse=True, **arguments)
    backwards = set()
    for epoch in range(8):
        item = made[(epoch, 1)]
        backwards.add(item['frames'] != sorted(item['frames']))
        for k in range(len(item['frames']) - 1):
            for direction, (start, end) in enumerate([(k, k + 1), (k + 1, k)]):
                whole, got = flow_between(root, item, start, end), item['flows'][direction, k]
                places = whole.unfold(1, 16, 1).unfold(2, 16, 1)
                errors = (places - got[:, None, None]).abs().amax((0, 3, 4))
                assert errors.min() < 1e-3, 'no part of the whole flow'  # float16 on disk
    assert backwards == {False, True}


def test_flows_are_computed_once_and_again_for_other_weights_or_frames(clips):
    root, built = clips
    dataset(root)
    dataset(root)
    assert len(built) == 1
    (root / 'spynet.pth').write_bytes(b'other weights')
    dataset(root)
    assert len(built) == 2
    for path in (root / 'LR' / '001' / '00000003.png', root / 'GT' / '001' / '00000003.png'):
        path.unlink()
    dataset(root)
    assert len(built) == 3


def test_crops_flips_and_workers(clips):
    root, _ = clips
    made = dataset(root, use_hflip=True, use_rot=True, flip_sequence=True)
    item, again = made[(3, 2)], pickle.loads(pickle.dumps(made))[(3, 2)]
    assert item['flows'].shape == (2, 5, 2, 16, 16)
    assert torch.equal(item['flows'], again['flows'])
    assert not item['flows'][:, 2].any()
    alone = dataset(root, num_frame=1)[0]
    assert alone['flows'].shape == (2, 0, 2, 16, 16)


def test_a_damaged_file_is_named(clips):
    root, _ = clips
    made = dataset(root)
    path = made.flows.path(made.clips[0], 1)
    np.save(path, np.zeros(3, np.float16))
    with pytest.raises(DataError, match=r'got shape \(3,\), expected \(2, 3, 2, 16, 20\)'):
        made.flows.read(made.clips[0], [0, 1], Box(0, 0, 4, 4))
    path.write_bytes(b'no array')
    with pytest.raises(DataError, match='cannot be read'):
        made.flows.read(made.clips[0], [0, 1], Box(0, 0, 4, 4))


def test_missing_keys_are_named(clips):
    root, _ = clips
    with pytest.raises(OptionsError, match="flow_cache: got no 'spynet_path'"):
        dataset(root, flow_cache={'folder': str(root)})


def test_training_takes_the_flows_and_leaves_the_flow_network_alone(clips):
    root, _ = clips
    network = {
        'type': 'IABasicVSR',
        'num_feat': 4,
        'num_block': 1,
        'num_extract_block': 1,
        'num_heads': 2,
        'head': 'pixelshuffle4',
    }
    cache = {'folder': str(root / 'flows'), 'spynet_path': str(root / 'spynet.pth')}
    content = options(
        root, network_g=network, datasets__train__flow_cache=cache, train__fix_flow=-1, train__total_iter=1
    )
    content['datasets'].pop('val')
    trainer = Trainer(Options.model_validate(content), device=CPU)
    before = {name: weight.clone() for name, weight in trainer.model.network.state_dict().items()}
    trainer.fit()
    changed = {
        name.partition('.')[0]
        for name, weight in trainer.model.network.state_dict().items()
        if not torch.equal(weight, before[name])
    }
    assert 'spynet' not in changed
    assert 'backward_trunk' in changed


def test_a_network_that_takes_no_flows_says_so(clips):
    root, _ = clips
    cache = {'folder': str(root / 'flows'), 'spynet_path': str(root / 'spynet.pth')}
    content = options(
        root, datasets__train__flow_cache=cache, network_g={'type': 'BasicVSR', 'num_feat': 4, 'num_block': 1}
    )
    content['datasets'].pop('val')
    with pytest.raises(OptionsError, match=r'flow_cache: BasicVSR takes no flows'):
        Trainer(Options.model_validate(content), device=CPU).fit()
