"""The one place that understands weight files without options: which network they belong to, from names and shapes
alone.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from iart.weights import read_weights, stored_options

_BACKBONE = 'swin_backbone.backward_1'
_FIRST_BLOCK = f'{_BACKBONE}.layers.0.residual_group.blocks.0'


def network_section(path: str | Path, key: str = 'params') -> dict[str, Any] | None:
    """The ``network_g`` section of a weight file: the one it holds, else the one its names and shapes tell.

    Args:
        path: ``.pth`` or ``.safetensors``.
        key: which weights of a ``.pth``.

    Returns:
        ``{'type': 'IART', ...}`` or ``{'type': 'BasicVSR', ...}``, without the path of a flow network, whose weights
        are in the file;
        None: not recognised.

    Raises:
        WeightsError: missing or unreadable file.
    """
    state = read_weights(path, key)
    section = stored_options(path) or recognise(state)
    return section and {name: value for name, value in section.items() if name != 'spynet_path'}


def recognise(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Name and sizes of the network that a state dict belongs to; None for one that is not known.

    What shapes do not tell is taken as published: attention windows of 3 frames, 2×2 taps.
    """
    if f'{_FIRST_BLOCK}.attn.qkv.weight' in state and 'conv_before_upsample.weight' in state:
        return _iart(state)
    if 'backward_trunk.main.0.weight' in state and 'fusion.weight' in state:
        return {
            'type': 'BasicVSR',
            'num_feat': len(state['backward_trunk.main.0.weight']),
            'num_block': _count(state, r'backward_trunk\.main\.2\.(\d+)\.'),
        }
    return None


def _iart(state: Mapping[str, Tensor]) -> dict[str, Any]:
    groups = range(_count(state, rf'{re.escape(_BACKBONE)}\.layers\.(\d+)\.'))
    group = f'{_BACKBONE}.layers.{{}}.residual_group.blocks'
    tables = [state[f'{group.format(g)}.0.attn.relative_position_bias_table'] for g in groups]
    mid_channels, embed_dim = state['conv_before_upsample.weight'].shape[:2]
    side = (round((len(tables[0]) / 5) ** 0.5) + 1) // 2  # a table has (2·3−1)·(2·side−1)² rows
    section: dict[str, Any] = {
        'type': 'IART',
        'mid_channels': mid_channels,
        'embed_dim': embed_dim,
        'depths': [_count(state, rf'{re.escape(group.format(g))}\.(\d+)\.') for g in groups],
        'num_heads': [table.shape[1] for table in tables],
        'window_size': [3, side, side],
        'mlp_ratio': len(state[f'{_FIRST_BLOCK}.mlp.fc1.weight']) / embed_dim,
        'qkv_bias': f'{_FIRST_BLOCK}.attn.qkv.bias' in state,
    }
    if 'implicit_warp.q.weight' not in state:
        section['alignment'] = {'type': 'FlowWarpAlignment'}
    return section


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many numbers there are in the names that begin so."""
    return len({match[1] for name in state if (match := re.match(pattern, name))})
