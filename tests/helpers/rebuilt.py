"""Weights that anyone can rebuild from their names: how the reference outputs were made."""

import zlib

import numpy as np
import torch
from torch import nn


def fill(module: nn.Module, tag: str) -> nn.Module:
    """Give every parameter the values that follow from its name (network specification, last section)."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            shape = tuple(parameter.shape)
            random = np.random.RandomState(zlib.crc32(f'{tag}/{name}'.encode()))
            value = torch.from_numpy(random.standard_normal(shape).astype(np.float32))
            if name.endswith('relative_position_bias_table'):
                value = value * 0.5
            elif len(shape) == 1:
                value = 1 + 0.1 * value if 'norm' in name and name.endswith('weight') else 0.1 * value
            else:
                value = value / value[0].numel() ** 0.5
            parameter.copy_(value)
    return module.eval()
