"""Tensors of released checkpoints that have no effect on the output.

There are two kinds: dead parameters, which the released code never uses (and which would never get a gradient), and
constant tables, which are rebuilt from the sizes of the network.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from iart.alignments.implicit_alignment import ImplicitAlignment
from iart.ops.sine import tap_code


def released_extras(network: Any) -> dict[str, Tensor]:
    """Return the tensors of a released state dict that are not in ``network.state_dict()``, by name.

    Args:
        network: an :class:`~iart.archs.iart_arch.IART`.

    Returns:
        Constant tables with their values; dead parameters as zeros on the ``meta`` device, since values have no effect.
    """
    return _extras(network, [f'swin_backbone.{name}' for name in network.swin_backbone])


def study_extras(network: Any) -> dict[str, Tensor]:
    """Return the same for an :class:`~iart.archs.alignment_study_arch.AlignmentStudyNet`."""
    return _extras(network, ['swin_backbone_1', 'swin_backbone_2'])


def dead_parameters(network: nn.Module) -> int:
    """Return the number of parameters that the released code has beyond ``network``'s and never uses."""
    extras: dict[str, Tensor] = getattr(network, 'released_extras', dict)()
    return sum(tensor.numel() for tensor in extras.values() if tensor.is_meta)


def _extras(network: Any, backbones: Iterable[str]) -> dict[str, Tensor]:
    c, mid = network.embed_dim, 64  # the released code never passes mid_channels on to a backbone: always 64
    extras: dict[str, Tensor] = {}
    for prefix in backbones:
        for layer, (outputs, inputs) in {
            'conv_first': (c, 3),
            'conv_first_feat': (c, mid),
            'conv_before_upsample': (mid, c),
        }.items():
            extras[f'{prefix}.{layer}.weight'] = torch.zeros(outputs, inputs, 3, 3, device='meta')
            extras[f'{prefix}.{layer}.bias'] = torch.zeros(outputs, device='meta')
    for name, module in network.named_modules():
        if hasattr(module, 'relative_position_index'):
            extras[f'{name}.relative_position_index'] = module.relative_position_index
    align = getattr(network, 'implicit_warp', None)
    if isinstance(align, ImplicitAlignment):  # the other alignments have no tables
        extras['implicit_warp.position_bias'] = tap_code(
            align.window, c, torch.device('cpu'), align.temperature
        ).unsqueeze(0)
        index = torch.arange(align.window)
        extras['implicit_warp.window_idx_offset'] = torch.cartesian_prod(index, index)
    return extras
