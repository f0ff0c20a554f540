"""The network of the alignment study against the released code, and released checkpoints by their names."""

import json
import zlib

import numpy as np
import pytest
import torch
from helpers.rebuilt import fill
from safetensors.torch import load_file

import iart
from iart.archs.alignment_study_arch import AlignmentStudyNet
from iart.archs.builder import build_network
from iart.archs.iart_arch import IART
from iart.archs.recognize import recognize
from iart.archs.released import dead_parameters
from iart.registry import LOSS_REGISTRY, build

ROWS = {
    'none': {'type': 'NoAlignment'},
    'bilinear': {'type': 'FlowWarpAlignment'},
    'patch': {'type': 'PatchAlignment'},
    'implicit': {'type': 'ImplicitAlignment'},
    'fgdc': {'type': 'DeformableConvAlignment'},
    'fgda': {'type': 'DeformableAttentionAlignment'},
}
PARAMETERS = {
    'NoAlignment': (1_209_427, 1_351_275),
    'FlowWarpAlignment': (1_209_427, 1_351_275),
    'PatchAlignment': (1_209_427, 1_351_275),
    'ImplicitAlignment': (1_220_407, 1_362_255),
    'Nearest4Alignment': (1_223_887, 1_365_735),
    'DeformableAttentionAlignment': (1_422_851, 1_564_699),
    'DeformableConvAlignment': (1_460_389, 1_602_237),
}
SMALL = {'mid_channels': 8, 'embed_dim': 12, 'depths': [1], 'num_heads': [3], 'window_size': (4, 4)}


@pytest.fixture(scope='module')
def reference(shared):
    return load_file(shared / 'parity' / 'alignments.safetensors')


@pytest.fixture(scope='module')
def layout(shared):
    return json.loads((shared / 'parity' / 'checkpoint_layout_alignment_study.json').read_text())


def flows_of(reference):
    flow = reference['study.flow']
    return flow, flow


@torch.no_grad()
@pytest.mark.parametrize('row', ROWS)
def test_frames_are_those_of_the_released_code(reference, row):
    network = fill(AlignmentStudyNet(alignment=ROWS[row]), 'lab-study')
    sr = network(reference['study.lq'], flows_of(reference))
    assert (sr - reference[f'study.{row}.sr']).abs().max() < 2e-5
    assert torch.equal(
        sr, torch.stack(list(network.frames(reference['study.lq'].unbind(1), flows=flows_of(reference))), dim=1)
    )


def test_loss_and_gradients_are_those_of_the_released_code(reference):
    """In float64: one activation lies so near the kink of its LeakyReLU that another convolution kernel's rounding
    flips it.
    """
    network = fill(AlignmentStudyNet(), 'lab-study').double()
    gt = np.random.RandomState(zlib.crc32(b'lab/study/gt')).random_sample((1, 2, 3, 64, 80)).astype(np.float32)
    sr = network(reference['study.lq'].double(), flows_of(reference))
    # One pixel lies 7e-7 from its ground truth, where the slope of the loss turns from -1 to 1: less than the float32
    # rounding of the
    # reference. So the loss is taken at the reference's own output.
    sr = sr + (reference['study.implicit.sr'] - sr).detach()
    loss = build(LOSS_REGISTRY, {'type': 'CharbonnierLoss'})(sr, torch.from_numpy(gt))
    loss.backward()
    assert abs(loss.item() - reference['study.implicit.loss'].item()) < 1e-5
    prefix = 'study.implicit.grad_norm/'
    expected = {name.removeprefix(prefix): t.item() for name, t in reference.items() if name.startswith(prefix)}
    norms = {name: p.grad.norm().item() for name, p in network.named_parameters()}
    # The bias of keys moves all logits of a query alike, which softmax does not see: its gradient is rounding.
    assert norms.keys() - expected.keys() <= {'implicit_warp.k.bias'}
    errors = {name: abs(norms[name] - norm) / max(norm, 1e-6) for name, norm in expected.items()}
    assert max(errors.values()) < 1e-4, sorted(errors.items(), key=lambda item: -item[1])[:5]


@pytest.mark.parametrize('name', PARAMETERS)
def test_parameters_with_and_without_dead_weights(name):
    network = AlignmentStudyNet(alignment={'type': name})
    live = sum(p.numel() for p in network.parameters())
    assert (live, live + dead_parameters(network)) == PARAMETERS[name]


@pytest.mark.parametrize(
    ('added', 'alignment'),
    [(None, 'FlowWarpAlignment'), *((row, None) for row in ('implicit', 'fgdc', 'fgda', 'nearest4'))],
)
def test_released_checkpoints_load(layout, tmp_path, added, alignment):
    entries = {**layout['base'], **(layout[added] if added else {})}
    state = {name: torch.rand(entry['shape']).to(getattr(torch, entry['dtype'])) for name, entry in entries.items()}
    torch.save({'params': state}, tmp_path / 'study.pth')
    section = recognize(state)
    assert section['type'] == 'AlignmentStudyNet'
    assert alignment in (None, section['alignment']['type'])
    network = build_network(section)
    iart.load_weights(network, tmp_path / 'study.pth')
    loaded = network.state_dict()
    used = {name for name, entry in entries.items() if entry['kind'] == 'parameter' and entry['used']}
    assert {network.from_released_name(name) for name in used} == set(loaded)
    assert all(torch.equal(loaded[network.from_released_name(name)], state[name]) for name in used)


def test_psrt_checkpoints_load_by_renaming(shared, tmp_path):
    names = json.loads((shared / 'parity' / 'checkpoint_layout_IART_REDS.json').read_text())
    state = {}
    for name, entry in names.items():
        if not name.startswith('implicit_warp.'):
            dtype = getattr(torch, entry['dtype'])
            state[name.replace('swin_backbone.', 'patch_align.')] = torch.ones(entry['shape'], dtype=dtype)
    parameters = sum(
        state[n.replace('swin_backbone.', 'patch_align.')].numel()
        for n, e in names.items()
        if e['kind'] == 'parameter' and n[:8] != 'implicit'
    )
    assert parameters == 13_366_943
    torch.save({'params': state}, tmp_path / 'psrt.pth')
    section = recognize(state)
    assert section['alignment'] == {'type': 'PatchAlignment'}
    network = build_network(section)
    assert isinstance(network, IART)
    iart.load_weights(network, tmp_path / 'psrt.pth')
    assert all(bool((p == 1).all()) for p in network.parameters())


@pytest.mark.parametrize('readout', ['aligned', 'current'])
@pytest.mark.parametrize(
    ('domain', 'alignment'),
    [('feature', 'ImplicitAlignment'), ('image', 'FlowWarpAlignment'), ('image', 'PatchAlignment')],
)
def test_every_weight_is_trained(readout, domain, alignment):
    network = AlignmentStudyNet(**SMALL, readout=readout, domain=domain, alignment={'type': alignment})
    flow = torch.full((1, 2, 2, 16, 20), 0.3)
    network(torch.rand(1, 3, 3, 16, 20), (flow, flow)).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@torch.no_grad()
def test_a_frame_depends_on_itself_and_the_next_only():
    network = AlignmentStudyNet(**SMALL).eval()
    lq, flow = torch.rand(1, 4, 3, 16, 16), torch.rand(1, 3, 2, 16, 16)
    changed = lq.clone()
    changed[:, 2] = 0
    moved = (network(lq, (flow, flow)) - network(changed, (flow, flow))).abs().amax((0, 2, 3, 4)) > 0
    assert moved.tolist() == [False, True, True, False]
    alone = AlignmentStudyNet(**SMALL, use_neighbor=False, alignment={'type': 'NoAlignment'}).eval()
    moved = (alone(lq) - alone(changed)).abs().amax((0, 2, 3, 4)) > 0
    assert moved.tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'domain': 'image'}, 'domain: got image with ImplicitAlignment, expected feature'),
        ({'use_neighbor': False}, 'use_neighbor: got false with ImplicitAlignment, expected NoAlignment'),
        ({'alignment': {'type': 'DeformableConvAlignment', 'order': 2}}, 'expected order 1'),
    ],
)
def test_contradictions_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        AlignmentStudyNet(**SMALL, **changes)
