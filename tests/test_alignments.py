"""Every alignment of the registry, and every option of each: shapes, gradients, integer flow, constants, precision,
equivariance.
"""

import inspect
import itertools
import re
from pathlib import Path

import pytest
import torch
from helpers.rebuilt import fill
from helpers.tiny import TinyFlow, write_options

from iart import registry
from iart.archs.builder import build_network
from iart.archs.propagation import aligned_frames, source_of
from iart.errors import OptionsError, UserError
from iart.ops.warp import flow_warp
from iart.options import load
from iart.registry import ALIGNMENT_REGISTRY, build

NETWORK = {'mid_channels': 8, 'embed_dim': 12, 'depths': [1], 'num_heads': [3], 'window_size': [3, 4, 4]}
OPTIONS = {
    'FlowWarpAlignment': [{'resampling': r, 'padding': p} for r in ('nearest', 'bicubic') for p in ('zeros', 'border')],
    'PatchAlignment': [{'patch': 4}, {'resampling': 'bilinear'}],
    'DeformableConvAlignment': [{'groups': 2, 'max_offset': 3.0}],
    'DeformableAttentionAlignment': [{'keys': 'source'}, {'heads': 4, 'groups': 6, 'hidden': 8, 'max_offset': 3.0}],
    'ImplicitAlignment': [
        *({'window': w, 'origin': o} for w, o in itertools.product((2, 3, 4), ('released', 'paper', 'centered'))),
        *({'codes': c} for c in ('window', 'offset', 'none')),
        {'edges': 'zero', 'window': 3},
        {'heads': 2, 'temperature': 1.0},
        {'residual': 'bilinear'},
    ],
}
SECTIONS = [
    {'type': name, **chosen} for name in registry.ours(ALIGNMENT_REGISTRY) for chosen in [{}, *OPTIONS.get(name, [])]
]
NO_GRADIENT = {
    'DeformableConvAlignment': 'conv_offset',
    'DeformableAttentionAlignment': 'conv_offset',
    'ImplicitAlignment': 'k.bias',
}
"""What truthfully gets none: layers before the offsets' last one, which starts at zero; a constant of all logits."""
RESIDUAL = {'q.weight', 'q.bias', 'k.weight', 'k.bias'}  # attention over values that start at zero


@pytest.fixture
def tiny_flow(monkeypatch):
    monkeypatch.setattr('iart.archs.flow.spynet_class', lambda: TinyFlow)


def label(section):
    return '-'.join(str(value) for value in section.values())


@pytest.fixture(params=SECTIONS, ids=label)
def section(request):
    return request.param


def aligner(section, **given):
    torch.manual_seed(0)
    return build(ALIGNMENT_REGISTRY, section, **{'channels': 12, 'num_heads': 3, **given})


def clip(seed=0, size=(13, 16)):
    """Source, current, and a flow whose sampling points are away from whole and half pixels."""
    random = torch.Generator().manual_seed(seed)
    source, current = torch.rand(2, 1, 12, *size, generator=random)
    whole = torch.randint(-2, 3, (1, 2, *size), generator=random)
    return source, current, whole + 0.1 + 0.3 * torch.rand(1, 2, *size, generator=random)


def test_shape_and_type(section):
    source, current, flow = clip()
    out = aligner(section)(source.expand(2, -1, -1, -1), current.expand(2, -1, -1, -1), flow.expand(2, -1, -1, -1))
    assert out.shape == (2, 12, 13, 16)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out[0], out[1])


def test_every_parameter_gets_a_gradient(section):
    align, (source, current, flow) = aligner(section), clip()
    inputs = [x.requires_grad_() for x in (source, current, flow)]
    out = align(*inputs)
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    without = {name for name, p in align.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-5}
    expected = {
        n for n, _ in align.named_parameters() if n.startswith(NO_GRADIENT.get(section['type'], '-')) and 'k.bias' in n
    }
    if 'conv_offset' in NO_GRADIENT.get(section['type'], ''):
        last = max(int(name.split('.')[1]) for name, _ in align.named_parameters() if name.startswith('conv_offset'))
        expected = {
            n for n, _ in align.named_parameters() if n.startswith('conv_offset') and n.split('.')[1] != str(last)
        }
    if section.get('residual'):
        expected |= RESIDUAL
    assert without == expected
    assert source.grad.abs().max() > 0
    assert (flow.grad is not None and flow.grad.abs().max() > 0) == align.trains_flow


@torch.no_grad()
def test_integer_flow_of_fixed_kernels_is_a_shift():
    source, current, _ = clip()
    flow = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 13, 16)
    for section in [{'type': 'FlowWarpAlignment', 'resampling': r} for r in ('nearest', 'bilinear', 'bicubic')]:
        moved = aligner(section)(source, current, flow)
        torch.testing.assert_close(moved[..., 4:-4, 4:-4], source[..., 2:-6, 7:-1], atol=1e-5, rtol=0)


@torch.no_grad()
def test_zero_flow_keeps_a_constant_constant(section):
    """Everywhere for kernels and attention; away from the edge where taps outside are zero."""
    align, (source, current, flow) = fill(aligner(section), 'constant'), clip(size=(32, 32))
    constant = [torch.full_like(x, value) for x, value in ((source, 0.7), (current, 0.2), (flow, 0.0))]
    out = align(*constant)
    reaches_out = section['type'].startswith('Deformable') or section.get('edges') == 'zero'
    inner = out[..., 12:-12, 12:-12] if reaches_out else out
    spread = (inner.amax((2, 3)) - inner.amin((2, 3))).max()
    assert spread < 1e-5


@torch.no_grad()
def test_half_precision_keeps_coordinates_in_float32(section):
    """Far from the origin bfloat16 cannot count pixels; the result must stay as close as the features' rounding."""
    align, (source, current, flow) = fill(aligner(section), 'half'), clip(size=(8, 600))
    exact = align(source, current, flow)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        rounded = align(source.bfloat16(), current.bfloat16(), flow)
    assert rounded.dtype == torch.bfloat16
    right = (rounded.float() - exact)[..., 300:].square().mean()
    left = (rounded.float() - exact)[..., :300].square().mean()
    assert right < 4 * left + 1e-6, 'no worse far from the origin'
    assert right.sqrt() < 0.2 * exact.std() + 0.01


@torch.no_grad()
@pytest.mark.parametrize('shift', [(1, 2), (8, 8)])
def test_moving_everything_moves_the_result(section, shift):
    """Equivariance to whole pixels inside the frame; patches move in whole patches only."""
    if section['type'] == 'PatchAlignment' and any(step % section.get('patch', 8) for step in shift):
        pytest.skip('patches move in whole patches')
    align, (source, current, flow) = fill(aligner(section), 'moved'), clip(size=(56, 56))
    if section['type'] == 'PatchAlignment':
        flow = flow[..., :1, :1].expand_as(flow) + 0.05
    expected = align(source, current, flow).roll(shift, (2, 3))
    moved = align(*(x.roll(shift, (2, 3)) for x in (source, current, flow)))
    inner = (..., slice(24, 40), slice(24, 40))
    torch.testing.assert_close(moved[inner], expected[inner], atol=1e-3, rtol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize('name', registry.ours(ALIGNMENT_REGISTRY))
def test_following_the_flow(name):
    """Moving source and flow together by whole pixels changes nothing where the image border is far."""
    if name == 'NoAlignment':
        pytest.skip('it does not use the flow')
    keys = (
        {'keys': 'source'} if name == 'DeformableAttentionAlignment' else {}
    )  # keys from the current frame do not follow the source
    align, (source, current, flow) = aligner({'type': name, **keys}), clip(size=(40, 40))
    moved = align(source.roll((2, 1), (2, 3)), current, flow + torch.tensor([1.0, 2.0]).view(1, 2, 1, 1))
    # What predicts offsets from the flow itself, and not only from what it points to, need not agree once it is
    # trained.
    inner = (..., slice(12, 28), slice(12, 28))
    torch.testing.assert_close(moved[inner], align(source, current, flow)[inner], atol=1e-3, rtol=1e-3)


def test_every_option_is_loaded_from_yaml_and_trains(section, tiny_flow, tmp_path):
    written = {'type': 'IART', **NETWORK, 'alignment': section}
    loaded = load(write_options(tmp_path, network_g=written)).network_g
    assert loaded['alignment'] == section
    network = build_network(loaded)
    assert type(network.implicit_warp).__name__ == section['type']
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-3)
    lq = torch.rand(1, 3, 3, 16, 16)
    before = network(lq)
    (before - 0.5).square().mean().backward()
    without = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not without, 'data parallel training waits for these'
    optimizer.step()
    assert (network(lq) - before).abs().max() > 0


@torch.no_grad()
def test_residual_alignment_starts_as_bilinear_warping():
    source, current, flow = clip()
    align = aligner({'type': 'ImplicitAlignment', 'residual': 'bilinear'})
    assert torch.equal(align(source, current, flow), flow_warp(source, flow))
    fill(align, 'residual')
    assert (align(source, current, flow) - flow_warp(source, flow)).abs().max() > 0.01


@torch.no_grad()
def test_residual_between_bilinear_and_implicit():
    """With an identity as value projection and no codes of the taps the residual form is the implicit alignment."""
    source, current, flow = clip()
    residual, plain = (
        fill(aligner({'type': 'ImplicitAlignment', 'codes': 'offset', 'residual': r}), 'same')
        for r in ('bilinear', None)
    )
    for align in (residual, plain):
        align.v.weight.copy_(torch.eye(12))
        align.v.bias.zero_()
    torch.testing.assert_close(residual(source, current, flow), plain(source, current, flow))


@torch.no_grad()
@pytest.mark.parametrize('edges', ['duplicate', 'zero'])
def test_prepared_sources_give_the_same(edges):
    source, current, flow = clip()
    align = fill(aligner({'type': 'ImplicitAlignment', 'edges': edges, 'residual': 'bilinear'}), 'prepared')
    assert torch.equal(align(align.prepare(source), current, flow), align(source, current, flow))
    weights = align.tap_weights(align.prepare(source), current, flow)
    assert weights.shape == (1, 3, 4, 13, 16)
    torch.testing.assert_close(weights.sum(2), torch.ones(1, 3, 13, 16))


@pytest.mark.parametrize(
    ('name', 'wrong'),
    [
        ('ImplicitAlignment', {'window': 1}),
        ('ImplicitAlignment', {'temperature': 0}),
        ('ImplicitAlignment', {'heads': 5}),
        ('DeformableConvAlignment', {'groups': 5}),
        ('DeformableConvAlignment', {'groups': 3, 'order': 2}),
        ('DeformableAttentionAlignment', {'heads': 5}),
        ('DeformableAttentionAlignment', {'groups': 5}),
        ('PatchAlignment', {'patch': 0}),
        ('ImplicitAlignment', {'heads': 0}),
        ('DeformableConvAlignment', {'groups': 0}),
        ('DeformableConvAlignment', {'max_offset': 0.0}),
        ('DeformableAttentionAlignment', {'heads': -3}),
        ('DeformableAttentionAlignment', {'groups': 0}),
        ('DeformableAttentionAlignment', {'max_offset': -1.0}),
        ('DeformableAttentionAlignment', {'hidden': 0}),
    ],
)
def test_values_out_of_range_are_named(name, wrong):
    key = 'channels' if wrong == {'heads': 5} and name == 'ImplicitAlignment' else next(iter(wrong))
    with pytest.raises(UserError, match=rf'{key}: got .*, expected'):
        aligner({'type': name, **wrong})


def arguments_of(name):
    """Return the options of an alignment with their default values."""
    parameters = inspect.signature(registry.find(ALIGNMENT_REGISTRY, name)).parameters
    return {key: p.default for key, p in parameters.items() if p.default is not p.empty}


ARGUMENTS = [(name, key) for name in registry.ours(ALIGNMENT_REGISTRY) for key in arguments_of(name)]


@pytest.mark.parametrize(('name', 'key'), ARGUMENTS)
def test_typing_errors_are_answered_with_the_nearest_name(name, key):
    mistyped = key[:-2] + key[-1]
    with pytest.raises(OptionsError, match=rf"\b{mistyped}\b.*did you mean '{key}'"):
        aligner({'type': name, mistyped: arguments_of(name)[key]})


@pytest.mark.parametrize(('name', 'key'), ARGUMENTS)
def test_values_of_the_wrong_kind_are_named(name, key):
    with pytest.raises(OptionsError, match=rf'\b{key}: .*expected'):
        aligner({'type': name, key: 'sideways'})


@pytest.mark.parametrize(('name', 'key'), ARGUMENTS)
def test_options_are_documented_and_tried(name, key):
    """Each is described where the alignment is, listed where alignments are compared, and built by the tests here."""
    documented = inspect.getdoc(registry.find(ALIGNMENT_REGISTRY, name))
    assert re.search(rf'^ {{4}}[a-z_, ]*\b{key}\b[a-z_, ]*: ', documented, re.MULTILINE)
    table = (Path(__file__).parents[1] / 'docs' / 'alignments.md').read_text()
    assert f'`{key}' in next(line for line in table.splitlines() if line.startswith(f'| `{name}`'))
    assert any(key in chosen for chosen in [*OPTIONS[name], {'order': 'test_propagation_of_the_network'}])


def test_small_frames_are_refused_by_patches():
    source, current, flow = clip(size=(4, 16))
    with pytest.raises(ValueError, match=r'got a flow of 4x16 pixels, expected at least 5'):
        aligner({'type': 'PatchAlignment'})(source, current, flow)


@pytest.mark.parametrize(
    ('propagation', 'window', 'alignment'),
    [
        ({'order': 1}, 2, {'type': 'FlowWarpAlignment'}),
        ({'passes': ['forward_1']}, 3, {'type': 'ImplicitAlignment'}),
        ({'order': 1, 'passes': ['backward_1', 'forward_1', 'backward_2']}, 2, {'type': 'ImplicitAlignment'}),
        ({}, 2, {'type': 'DeformableConvAlignment', 'order': 2}),
    ],
)
@pytest.mark.parametrize('shared', [True, False])
def test_propagation_of_the_network(propagation, window, alignment, shared):
    section = {
        **NETWORK,
        'window_size': [window, 4, 4],
        'propagation': propagation,
        'alignment': alignment,
        'shared_alignment': shared,
    }
    network = build_network({'type': 'IART', **section, 'flow': {'type': 'zero'}})
    network(torch.rand(1, 4, 3, 16, 16)).square().mean().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []
    aligns = 1 if shared else len(network.propagation.passes)
    assert (
        sum(
            isinstance(m, type(next(m for m in network.modules() if hasattr(m, 'trains_flow'))))
            for m in network.modules()
        )
        == aligns
    )


def test_first_order_sees_the_next_frame_only():
    """A frame two steps away has no influence within one pass whose own outputs are cut."""
    section = {
        **NETWORK,
        'window_size': [2, 4, 4],
        'alignment': {'type': 'FlowWarpAlignment'},
        'flow': {'type': 'zero'},
    }
    network = build_network({'type': 'IART', **section, 'propagation': {'order': 1, 'passes': ['forward_1']}}).eval()
    lq = torch.rand(1, 3, 3, 16, 16)
    changed = lq.clone()
    changed[:, 2] = 0
    with torch.no_grad():
        assert torch.equal(network(lq)[:, :2], network(changed)[:, :2]), 'a forward pass does not see the future'


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'propagation': {'ordr': 1}}, r"network_g\.propagation\.ordr.*did you mean 'order'"),
        ({'propagation': {'order': 3}}, r'network_g\.propagation\.order'),
        ({'propagation': {'passes': ['sideways']}}, r'propagation\.passes: got'),
        ({'propagation': {'order': 1}}, r'window_size: got \[3, 4, 4\], expected \[2, height, width\]'),
        ({'flow': {'type': 'spinet'}}, r"did you mean 'spynet'"),
        ({'flow': {'type': 'spynet', 'pth': 'x'}}, r"network_g\.flow\.pth.*did you mean 'path'"),
        ({'flow': {'type': 'raft', 'size': 'huge'}}, r'size large or small'),
        (
            {'alignment': {'type': 'DeformableConvAlignment', 'order': 2}, 'propagation': {'order': 1}},
            r'expected order 1',
        ),
    ],
)
def test_mistakes_in_the_options_of_the_network_are_answered(changes, message, tiny_flow):
    with pytest.raises(UserError, match=message):
        build_network({'type': 'IART', **NETWORK, **changes})


@pytest.mark.parametrize('kind', ['spynet', 'zero', 'gt', 'raft'])
@pytest.mark.parametrize('network', ['IART', 'IABasicVSR', 'AlignmentStudyNet'])
def test_networks_train_with_every_source_of_flow(kind, network, tiny_flow, monkeypatch):
    """SPyNet is trained with IART and IABasicVSR, and nowhere else; frames of one motion have no other flow."""
    monkeypatch.setattr('iart.archs.optical_flow.load_weights', lambda *_: None)
    monkeypatch.setattr('torchvision.models.optical_flow.raft_small', lambda **_: TinyRaft())
    flow = {'type': kind, **({'size': 'small', 'path': 'raft.pth'} if kind == 'raft' else {})}
    sizes = {'num_feat': 12, 'num_block': 1, 'num_extract_block': 1, 'num_heads': 3}
    if network != 'IABasicVSR':
        sizes = {**NETWORK, 'window_size': NETWORK['window_size'][-2 if network == 'AlignmentStudyNet' else 0 :]}
    built = build_network({'type': network, **sizes, 'flow': flow})
    given = ((torch.rand(1, 2, 2, 16, 16),) * 2,) if kind == 'gt' else ()
    built(torch.rand(1, 3, 3, 16, 16), *given).square().mean().backward()
    trained = [name for name, p in built.named_parameters() if name.startswith('spynet') and p.requires_grad]
    assert bool(trained) == (kind == 'spynet' and network != 'AlignmentStudyNet')
    assert [name for name, p in built.named_parameters() if p.requires_grad and p.grad is None] == []


class TinyRaft(torch.nn.Module):
    """Built and called like torchvision's RAFT; the flow is one parameter."""

    def __init__(self):
        super().__init__()
        self.flow = torch.nn.Parameter(torch.tensor([0.3, -0.2]))

    def forward(self, start, end, num_flow_updates):
        assert start.min() >= -1
        return [self.flow.view(1, 2, 1, 1).expand(len(start), 2, *start.shape[-2:])] * num_flow_updates


def test_given_flow_replaces_the_estimator():
    network = build_network({'type': 'IART', **NETWORK, 'flow': {'type': 'gt'}}).eval()
    lq, flow = torch.rand(1, 3, 3, 16, 18), torch.rand(1, 2, 2, 16, 18)
    with torch.no_grad(), pytest.raises(UserError, match='expected a data set that has it'):
        network(lq)
    with torch.no_grad():
        assert (network(lq, (flow, flow)) - network(lq, (flow * 0, flow * 0))).abs().max() > 0
        assert network(lq[..., :9, :], (flow[..., :9, :], flow[..., :9, :])).shape == (1, 3, 3, 36, 72)


def test_missing_raft_weights_are_explained(monkeypatch, tmp_path):
    monkeypatch.setattr('torch.hub.get_dir', lambda: str(tmp_path))
    with pytest.raises(UserError, match=r'RAFT needs .*raft_large.*does not exist.*path'):
        build_network({'type': 'IART', **NETWORK, 'flow': {'type': 'raft'}})


def test_raft_estimates_flow_on_small_frames(tmp_path):
    from torchvision.models.optical_flow import raft_small

    torch.save(raft_small(weights=None).state_dict(), tmp_path / 'raft.pth')
    network = build_network(
        {
            'type': 'IART',
            **NETWORK,
            'flow': {'type': 'raft', 'size': 'small', 'path': str(tmp_path / 'raft.pth'), 'updates': 1},
        }
    )
    assert not any(p.requires_grad for p in network.spynet.parameters())
    assert not network.train().spynet.network.training
    flow = network.spynet(torch.rand(1, 3, 20, 30), torch.rand(1, 3, 20, 30))
    assert flow.shape == (1, 2, 20, 30)


def test_both_orders_in_one_call_give_the_same_bits(section, monkeypatch):
    align = aligner(section)
    features = [torch.rand(2, 12, 8, 10, requires_grad=True) for _ in range(3)]
    flows = [4 * torch.rand(2, 2, 8, 10) - 2 for _ in range(2)]
    calls = []
    forward = align.forward
    monkeypatch.setattr(align, 'forward', lambda *args: calls.append(len(args[1])) or forward(*args))
    results = []
    for together in (False, True):
        monkeypatch.setattr('iart.device.saves_launches', lambda device, answer=together: answer)
        sources = [source_of(align)(feature) for feature in features[1:]]
        out = aligned_frames(features[0], sources, *flows, align, 2)
        results.append((out, torch.autograd.grad(out.square().sum(), features)))
    assert calls == [2, 2, 4], 'clips in each call'
    assert torch.equal(results[0][0], results[1][0])
    for apart, together in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)
