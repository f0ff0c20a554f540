"""What every exported graph has in common."""

import copy

from torch import nn

from iart.registry import SMALLEST_SIDE as SMALLEST_OF_SPYNET

SMALLEST_SIDE = 16
"""LR pixels of a graph for one size: two attention windows."""
SMALLEST_OF_ANY = SMALLEST_OF_SPYNET
"""LR pixels of a graph for any size: smaller frames would have to be padded for the flow."""


class Graph(nn.Module):
    """A part of a network whose ``forward`` takes the tensors that ``inputs`` names, in their order."""

    inputs: tuple[str, ...]
    output: str


def parts_of(network: nn.Module, *names: str) -> nn.Module:
    """Return a shallow copy of a network that has only some of its layers.

    A ``.pt2`` program stores all weights of the module that it was exported from, whether it uses them or not.

    Args:
        network: the network, whose weights are shared with the copy.
        names: names of the layers; those that the network does not have are skipped.
    """
    part = copy.copy(network)
    layers = dict(network.named_children())
    part._modules = {name: layers[name] for name in names if name in layers}
    return part
