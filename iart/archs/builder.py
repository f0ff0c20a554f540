"""From options to a network."""

import sys
import warnings
from collections.abc import Mapping
from typing import Any

from torch import nn

from iart.archs.fusion_backbone import FusionBackbone
from iart.archs.iabasicvsr_arch import IABasicVSR
from iart.errors import OptionsError
from iart.ops.warp import flow_warp
from iart.registry import ARCH_REGISTRY, build, compute_flow_in_float32

compute_flow_in_float32(flow_warp)


def without_weight_files(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``network_g`` section without the files that parts of the network start from: where the weights of the
    whole network are loaded, or do not matter, none of them is read.
    """
    return {
        key: without_weight_files(value) if isinstance(value, Mapping) else value
        for key, value in section.items()
        if key not in ('spynet_path', 'edvr_path')
    }


def build_network(options: Any, key: str = 'network_g') -> nn.Module:
    """Build the network that options describe, ours or BasicSR's, with fresh weights.

    Args:
        options: loaded :class:`iart.options.Options`, a mapping with ``network_g``, or that section itself
            (``{'type': 'IART', ...}``).
        key: path of the section in the YAML, for messages.

    Raises:
        OptionsError: no such network, or arguments that do not fit it.
    """
    section = getattr(options, 'network_g', options)
    if isinstance(section, Mapping) and 'type' not in section:
        section = section.get('network_g', {})
    if not isinstance(section, Mapping) or 'type' not in section:
        raise OptionsError(f"{key}: got no 'type', expected the name of a network such as IART or BasicVSR")
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Deformable alignment module is not added')  # it is, below
        network = build(ARCH_REGISTRY, section, key=key)
    if not isinstance(network, nn.Module):
        raise OptionsError(f'{key}.type: got {section["type"]}, expected a network')
    _add_deformable_alignment(network, section.get('max_residue_magnitude', 10))
    return network


def _add_deformable_alignment(network: Any, max_residue_magnitude: float = 10) -> None:
    """Add the deformable alignment that BasicSR's BasicVSRPlusPlus leaves out where torch sees no GPU.

    BasicSR then builds another network under the same name, with a warning: it has fewer parameters, so that weights
    trained on a GPU do not fit. The layers themselves call torchvision's ``deform_conv2d``, which runs on a CPU.

    Args:
        network: any network; only an incomplete BasicVSRPlusPlus is changed.
        max_residue_magnitude: the argument of that name that the network was built with, in pixels.
    """
    if getattr(network, 'is_with_alignment', True):
        return
    module: Any = sys.modules[type(network).__module__]
    channels = network.mid_channels
    for name in network.backbone:
        network.deform_align[name] = module.SecondOrderDeformableAlignment(
            2 * channels,
            channels,
            3,
            padding=1,
            deformable_groups=16,
            max_residue_magnitude=max_residue_magnitude,
        )
    network.is_with_alignment = True
    network.cpu_cache_length = sys.maxsize  # it would move features to a GPU


def compile_network(network: nn.Module, **arguments: Any) -> None:
    """Compile what takes most of the time: the fusion of each backbone, the trunks and alignment of ``IABasicVSR``.
    Other networks are compiled as a whole.

    Around these parts, frames come one by one and features may go to host memory, which graphs cannot hold; and a graph
    of a whole recurrent network would contain every part once per frame.

    Args:
        network: the network; parameters and state dict stay as they are.
        **arguments: as for :func:`torch.compile`.
    """
    parts = [module for module in network.modules() if isinstance(module, FusionBackbone | IABasicVSR)]
    for part in parts:
        if isinstance(part, FusionBackbone):
            part.compile_fusion(**arguments)
        else:
            part.compile_parts(**arguments)
    if not parts:
        network.compile(**arguments)
