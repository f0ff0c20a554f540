"""Causal networks: a stream of frames gives exactly the offline frames, through Python and through pipes."""

import pytest
import torch
from helpers import tiny
from helpers.rebuilt import fill

from iart.archs.builder import build_network
from iart.archs.causal import is_causal

FORWARD = {'propagation': {'passes': ['forward_1', 'forward_2']}}
CAUSAL = {**tiny.NETWORK, **FORWARD}


def causal(**changes):
    return fill(build_network({**CAUSAL, **changes}), 'causal').eval()


@pytest.fixture(scope='module')
def network():
    return causal()


def stream(network, frames, flows=None):
    outputs, state = [], None
    for i, frame in enumerate(frames):
        sr, state = network.step(frame, state, None if flows is None or not i else flows[:, i - 1])
        outputs.append(sr)
    return torch.stack(outputs, 1)


@torch.no_grad()
@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'propagation': {'passes': ['forward_1'], 'order': 1}, 'window_size': (2, 4, 4)},
        {'shared_alignment': False, 'scale': 2},
        {'alignment': {'type': 'FlowWarpAlignment'}},
    ],
    ids=str,
)
@pytest.mark.parametrize('size', [(16, 20), (9, 5)], ids=str)
def test_a_stream_gives_the_offline_frames(changes, size):
    network = causal(**changes)
    clip = torch.rand(1, 5, 3, *size)
    assert torch.equal(stream(network, clip.unbind(1)), network(clip))


@torch.no_grad()
def test_with_given_flows_and_without_the_future(network):
    clip, flow = torch.rand(1, 4, 3, 16, 20), torch.randn(1, 3, 2, 16, 20)
    assert torch.equal(stream(network, clip.unbind(1), flow), network(clip, flows=(flow, flow)))
    assert torch.equal(network(clip[:, :2]), network(clip)[:, :2])


def test_the_steps_compute_what_training_does(network):
    clip = torch.rand(1, 4, 3, 16, 20)
    with torch.no_grad():
        offline = network(clip)
    torch.testing.assert_close(network(clip).detach(), offline, atol=1e-5, rtol=0)


@torch.no_grad()
def test_what_does_not_fit_is_named(network):
    other = build_network(tiny.NETWORK)
    assert is_causal(network)
    assert not is_causal(other)
    with pytest.raises(ValueError, match=r'propagation.passes: got .*backward_1.*expected names that all begin with'):
        other.step(torch.rand(1, 3, 16, 16))
    _, state = network.step(torch.rand(1, 3, 16, 16))
    with pytest.raises(ValueError, match=r'got a frame of shape \(1, 3, 16, 20\), expected \(1, 3, 16, 16\)'):
        network.step(torch.rand(1, 3, 16, 20), state)
