"""Recognition of the network that a weight file belongs to, from names and shapes alone."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from iart.archs.builder import without_weight_files
from iart.archs.realvsr_arch import translated
from iart.archs.upsampler import SCALE, WIDTH, scale_of_state
from iart.errors import WeightsError
from iart.weights import read_weights, stored_options, without_prefix

_BLOCKS = '{}.layers.{}.residual_group.blocks'
_IART, _PSRT, _STUDY = 'swin_backbone.backward_1', 'patch_align.backward_1', 'swin_backbone_1'
_STUDY_ALIGNMENTS = {
    'implicit_warp.q.weight': 'ImplicitAlignment',
    'deform_align.proj_q.1.weight': 'DeformableAttentionAlignment',
    'deform_align.weight': 'DeformableConvAlignment',
    'aggregation.weight': 'Nearest4Alignment',
    'implicit_warp.aggregation.weight': 'Nearest4Alignment',
}


def network_section(path: str | Path, key: str = 'params') -> dict[str, Any] | None:
    """Return the ``network_g`` section of a weight file: the stored one, else the one recognized by names and shapes.

    Args:
        path: a ``.pth`` or ``.safetensors`` file.
        key: entry of a ``.pth`` that holds the weights.

    Returns:
        ``{'type': 'IART', ...}``, ``BasicVSR``, ``IABasicVSR`` or ``RealVSR``, without the path of a flow network,
        whose weights are in the file; None if the network is not recognized.

    Raises:
        WeightsError: the file is missing or unreadable.
    """
    state = read_weights(path, key)
    section = stored_options(path)
    prefix = 'none yet'
    while section is None and prefix:
        section = recognize(state)
        prefix, state = without_prefix(state)
    return section and without_weight_files(section)


def require_section(path: str | Path, key: str = 'params') -> dict[str, Any]:
    """Return the section of :func:`network_section`, or raise if the network is not recognized.

    Raises:
        WeightsError: the file is missing or unreadable, or its network is not recognized.
    """
    section = network_section(path, key)
    if section is None:
        raise WeightsError(
            f'weights: got {path} without options and with unknown names, expected a network that is recognized (IART, '
            'BasicVSR, IABasicVSR, RealVSR);  iart convert FILE OUT.safetensors -opt YAML  stores the options of its '
            'network'
        )
    return section


def recognize(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Return the type and sizes of the network that a state dict belongs to; None if it is not recognized.

    Sizes that shapes do not determine are assumed as published: attention windows of 3 frames, 2×2 taps, 8 heads in the
    alignment of an IABasicVSR.
    """
    for backbone, section in ((_IART, _iart), (_PSRT, _iart), (_STUDY, _study)):
        if f'{_BLOCKS.format(backbone, 0)}.0.attn.qkv.weight' in state and 'conv_before_upsample.weight' in state:
            return section(state, backbone)
    if 'backward_trunk.main.0.weight' in state and 'fusion.weight' in state:
        return _basicvsr(state)
    if 'image_cleaning.0.main.0.weight' in state:
        return _realvsr({translated(name): tensor for name, tensor in state.items()})
    return None


def _realvsr(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Recognize RealVSR and the network within it; the threshold of its refinement is assumed to be the GAN model's."""
    network = recognize({n.removeprefix('network.'): t for n, t in state.items() if n.startswith('network.')})
    sizes = {
        'num_cleaning_feat': state['image_cleaning.0.main.0.weight'].shape[0],
        'num_cleaning_block': _count(state, r'image_cleaning\.0\.main\.2\.(\d+)\.'),
    }
    return network and {'type': 'RealVSR', **sizes, 'network': without_weight_files(network)}


def _basicvsr(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Recognize BasicVSR, or IABasicVSR where layers differ from BasicVSR's."""
    width, inputs = state['backward_trunk.main.0.weight'].shape[:2]
    section = {'type': 'BasicVSR', 'num_feat': width, 'num_block': _count(state, r'backward_trunk\.main\.2\.(\d+)\.')}
    extractor, implicit, upconv = (
        name in state for name in ('extractor.main.0.weight', 'alignment.q.weight', 'upconv1.weight')
    )
    scale = _scale(state)
    if upconv and not extractor and not implicit and not scale:
        return section
    # At ×1 neither head has such a layer; the two are one where both have the width of the features.
    basicvsr = upconv or (scale == {'scale': 1} and state['conv_hr.weight'].shape[0] == WIDTH)
    return {
        **section,
        **scale,
        'type': 'IABasicVSR',
        'num_extract_block': _count(state, r'extractor\.main\.2\.(\d+)\.'),
        'trunk_input': 'image' if inputs == width + 3 else 'feature',
        'head': 'basicvsr' if basicvsr else 'pixelshuffle',
        'alignment': {'type': 'ImplicitAlignment' if implicit else 'FlowWarpAlignment'},
    }


def _iart(state: Mapping[str, Tensor], backbone: str) -> dict[str, Any]:
    """Recognize IART, or PSRT-recurrent: IART with patch alignment and other names."""
    section, rows = _sizes(state, backbone)
    side = (round((rows / 5) ** 0.5) + 1) // 2  # a table has (2·3−1)·(2·side−1)² rows
    section = {'type': 'IART', **section, 'window_size': [3, side, side], **_scale(state)}
    if backbone == _PSRT:
        section['alignment'] = {'type': 'PatchAlignment'}
    elif 'implicit_warp.q.weight' not in state:
        section['alignment'] = {'type': 'FlowWarpAlignment'}
    return section


def _study(state: Mapping[str, Tensor], backbone: str) -> dict[str, Any]:
    """Recognize the network of the alignment study; without weights, its alignment is assumed to be bilinear."""
    section, rows = _sizes(state, backbone)
    side = (round(rows**0.5) + 1) // 2
    name = next((align for key, align in _STUDY_ALIGNMENTS.items() if key in state), 'FlowWarpAlignment')
    return {'type': 'AlignmentStudyNet', **section, 'window_size': [side, side], 'alignment': {'type': name}}


def _sizes(state: Mapping[str, Tensor], backbone: str) -> tuple[dict[str, Any], int]:
    """Return the sizes of a backbone and of the reconstruction, and the rows of a table of position biases."""
    groups = range(_count(state, rf'{re.escape(backbone)}\.layers\.(\d+)\.'))
    tables = [state[f'{_BLOCKS.format(backbone, g)}.0.attn.relative_position_bias_table'] for g in groups]
    first = f'{_BLOCKS.format(backbone, 0)}.0'
    mid_channels, embed_dim = state['conv_before_upsample.weight'].shape[:2]
    section: dict[str, Any] = {
        'mid_channels': mid_channels,
        'embed_dim': embed_dim,
        'depths': [_count(state, rf'{re.escape(_BLOCKS.format(backbone, g))}\.(\d+)\.') for g in groups],
        'num_heads': [table.shape[1] for table in tables],
        'mlp_ratio': len(state[f'{first}.mlp.fc1.weight']) / embed_dim,
        'qkv_bias': f'{first}.attn.qkv.bias' in state,
    }
    return section, len(tables[0])


def _scale(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The ``scale`` of a section, where it is not the published one."""
    scale = scale_of_state(state)
    return {} if scale in (None, SCALE) else {'scale': scale}


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """Count the different numbers that ``pattern`` captures at the beginning of names."""
    return len({match[1] for name in state if (match := re.match(pattern, name))})
