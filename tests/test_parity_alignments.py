"""Every alignment of the paper's study against the outputs and gradients of the released code."""

import zlib

import numpy as np
import pytest
import torch
from helpers.rebuilt import fill
from safetensors.torch import load_file

from iart.ops.deformable import deformable_attention
from iart.ops.sine import tap_code
from iart.registry import ALIGNMENT_REGISTRY, build

TOLERANCE, GRADIENT_TOLERANCE = 2e-5, 1e-4
IMPLICIT = {'type': 'ImplicitAlignment'}
CASES = {
    **{
        f'warp.{resampling}.{padding}': (
            None,
            {'type': 'FlowWarpAlignment', 'resampling': resampling, 'padding': padding},
        )
        for resampling in ('nearest', 'bilinear', 'bicubic')
        for padding in ('zeros', 'border')
    },
    'patch.nearest': (None, {'type': 'PatchAlignment'}),
    'patch.bilinear': (None, {'type': 'PatchAlignment', 'resampling': 'bilinear'}),
    'fgdc': ('lab-fgdc', {'type': 'DeformableConvAlignment'}),
    'fgdc2': ('lab-fgdc2', {'type': 'DeformableConvAlignment', 'order': 2, 'groups': 12}),
    'fgda.keys_from_current': ('lab-fgda', {'type': 'DeformableAttentionAlignment'}),
    'fgda.keys_from_source': ('lab-fgda', {'type': 'DeformableAttentionAlignment', 'keys': 'source'}),
    'implicit.w2': ('lab-implicit', {**IMPLICIT, 'origin': 'released'}),
    'implicit.w2.window_code': ('lab-implicit', {**IMPLICIT, 'codes': 'window'}),
    'implicit.w2.offset_code': ('lab-implicit', {**IMPLICIT, 'codes': 'offset'}),
    'implicit.w2.no_code': ('lab-implicit', {**IMPLICIT, 'codes': 'none'}),
    'implicit.w2.zero': ('lab-implicit', {**IMPLICIT, 'edges': 'zero'}),
    'implicit.w2.paper': ('lab-implicit', {**IMPLICIT, 'window': 2, 'origin': 'paper'}),
    **{
        f'implicit.w{window}.{origin}': ('lab-implicit', {**IMPLICIT, 'window': window, 'origin': origin})
        for window in (3, 4)
        for origin in ('released', 'centred', 'paper')
        if (window, origin) != (3, 'paper')
    },
}
PARAMETERS = {
    'DeformableConvAlignment': 250_962,
    'DeformableAttentionAlignment': 213_424,
    'ImplicitAlignment': 10_980,
    'Nearest4Alignment': 14_460,
}


@pytest.fixture(scope='module')
def reference(shared):
    return load_file(shared / 'parity' / 'alignments.safetensors')


def section(name, **arguments):
    return build(ALIGNMENT_REGISTRY, {'type': name, **arguments}, channels=60, num_heads=6)


def test_every_reference_has_a_case(reference):
    outputs = {name.removesuffix('.out') for name in reference if name.endswith('.out')}
    assert outputs - {'deform_attn'} == set(CASES)


@pytest.mark.parametrize('key', CASES)
def test_outputs_and_gradients(reference, key):
    tag, arguments = CASES[key]
    align = build(ALIGNMENT_REGISTRY, arguments, channels=60, num_heads=6)
    fill(align, tag or '')
    names = ('source', 'current', 'flow', *(('source2', 'flow2') if getattr(align, 'joint', False) else ()))
    inputs = {name: reference[name].clone().requires_grad_() for name in names}
    out = align(**inputs)
    expected = reference[f'{key}.out']
    assert out.shape == expected.shape
    error = (out - expected).abs().max().item()
    assert error == 0 if 'nearest' in key else error < TOLERANCE

    direction = torch.from_numpy(
        np.random.RandomState(zlib.crc32(f'lab/{key}/G'.encode())).standard_normal(out.shape).astype(np.float32)
    )
    direction[1] = 0
    tensors = {**inputs, **dict(align.named_parameters())}
    gradients = torch.autograd.grad(out, list(tensors.values()), direction, allow_unused=True)
    norms = {name: 0.0 if g is None else g.norm().item() for name, g in zip(tensors, gradients, strict=True)}
    prefix = f'{key}.grad_norm/'
    reference_value = {name.removeprefix(prefix): t.item() for name, t in reference.items() if name.startswith(prefix)}
    assert reference_value, 'the reference has gradients of every alignment'
    assert tensors.keys() - reference_value.keys() <= {'k.bias', 'current'}, 'mathematically zero, or unused'
    errors = {name: abs(norms[name] - norm) / max(norm, 1e-6) for name, norm in reference_value.items()}
    assert max(errors.values()) < GRADIENT_TOLERANCE, errors
    if align.trains_flow is False:
        assert norms['flow'] == 0


def test_released_gradient_of_the_keys_is_another(reference):
    """The released kernel is off by head width^−½ there; ours is the true gradient."""
    for keys in ('current', 'source'):
        name = f'fgda.keys_from_{keys}.{{}}/proj_k.1.weight'
        ratio = reference[name.format('released_grad_norm')] / reference[name.format('grad_norm')]
        assert abs(ratio - 10**-0.5) < 1e-3


def test_bare_deformable_attention(reference):
    q, kv, offset, expected = (reference[f'deform_attn.{name}'] for name in ('q', 'kv', 'offset', 'out'))
    out = deformable_attention(q[0], kv[0], offset, heads=12)
    assert (out - expected[0]).abs().max() < TOLERANCE


@pytest.mark.parametrize('window', [2, 3, 4])
def test_tap_codes(reference, window):
    code = tap_code(window, 60, torch.device('cpu'))
    assert (code - reference[f'implicit.w{window}.window_code_table'][0]).abs().max() < TOLERANCE


def test_no_alignment_is_the_source(reference):
    out = section('NoAlignment')(reference['source'], reference['current'], reference['flow'])
    assert torch.equal(out, reference['source'])


@pytest.mark.parametrize(('name', 'count'), PARAMETERS.items())
def test_parameters_are_those_of_the_released_code(name, count):
    assert sum(p.numel() for p in section(name).parameters()) == count
