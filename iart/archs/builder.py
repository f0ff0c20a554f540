"""From options to a network."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from iart.errors import OptionsError
from iart.ops.warp import flow_warp
from iart.registry import ARCH_REGISTRY, add_deformable_alignment, build, compute_flow_in_float32

compute_flow_in_float32(flow_warp)


def without_weight_files(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``network_g`` section without the files that parts of the network start from: where the weights of the
    whole network are loaded, or do not matter, none of them is read.
    """
    return {key: value for key, value in section.items() if key not in ('spynet_path', 'edvr_path')}


def build_network(options: Any) -> nn.Module:
    """Build the network that options describe, ours or BasicSR's, with fresh weights.

    Args:
        options: loaded :class:`iart.options.Options`, a mapping with ``network_g``, or that section itself
            (``{'type': 'IART', ...}``).

    Raises:
        OptionsError: no such network, or arguments that do not fit it.
    """
    section = getattr(options, 'network_g', options)
    if isinstance(section, Mapping) and 'type' not in section:
        section = section.get('network_g', {})
    if not isinstance(section, Mapping) or 'type' not in section:
        raise OptionsError("network_g: got no 'type', expected the name of a network such as IART or BasicVSR")
    network = build(ARCH_REGISTRY, section, key='network_g')
    if not isinstance(network, nn.Module):
        raise OptionsError(f'network_g.type: got {section["type"]}, expected a network')
    add_deformable_alignment(network, section.get('max_residue_magnitude', 10))
    return network
