"""What released IART checkpoints hold beyond the weights that have an effect.

Two kinds: dead weights, parameters of the released code that never influence the output (and so would never get a
gradient), and constant tables, which are rebuilt from the sizes of the network.
"""

from typing import Any

import torch
from torch import Tensor

from iart.ops.sine import tap_code


def released_extras(network: Any) -> dict[str, Tensor]:
    """Names of a released state dict that are not in ``network.state_dict()``.

    Args:
        network: an :class:`~iart.archs.iart_arch.IART`.

    Returns:
        Constant tables with their values; dead weights as zeros on the ``meta`` device (their values mean nothing).
    """
    c, mid = network.embed_dim, network.mid_channels
    extras: dict[str, Tensor] = {}
    for name in network.swin_backbone:
        prefix = f'swin_backbone.{name}'
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
    if hasattr(network.implicit_warp, 'q'):  # the released alignment; others have no released checkpoints
        window = network.implicit_warp.window
        cpu = torch.device('cpu')
        extras['implicit_warp.position_bias'] = tap_code(window, c, cpu).unsqueeze(0)
        index = torch.arange(window)
        extras['implicit_warp.window_idx_offset'] = torch.cartesian_prod(index, index)
    return extras
