"""Optimizers: one group for the network, one for its flow network with its own rate."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from iart import device as devices
from iart.component_errors import component_errors
from iart.errors import OptionsError, listing, nearest
from iart.models.vsr_model import VSRModel
from iart.optimizers import find_optimizer
from iart.options import TrainOptions


def freeze_all_but(network: nn.Module, parts: Sequence[str]) -> None:
    """Freeze every parameter whose name begins with none of ``parts``; without parts, none.

    Raises:
        OptionsError: a part is not there, or nothing in it can be trained.
    """
    parameters = dict(network.named_parameters())
    for part in parts:
        if not any(name == part or name.startswith(f'{part}.') for name in parameters):
            children = [name for name, _ in network.named_children()]
            hint = nearest(part, children)
            raise OptionsError(
                f'train.train_only: got {part!r}, expected parts of {type(network).__name__}: {listing(children)}'
                + (f' ({hint})' if hint else '')
            )
    if parts:
        for name, parameter in parameters.items():
            if not any(name == part or name.startswith(f'{part}.') for part in parts):
                parameter.requires_grad_(False)


def build_optimizer(model: VSRModel, train: TrainOptions) -> torch.optim.Optimizer:
    """Build the optimizer of ``train.optim_g``; each group carries ``base_lr``, from which the schedule starts.

    Raises:
        OptionsError: unknown type, arguments that it refuses, or nothing to train.
    """
    section: Mapping[str, Any] = train.optim_g
    base = float(section['lr'])
    others = {id(p) for p in (*model.flow_parameters(), *discriminator_parameters(model))}
    main: list[nn.Parameter] = [p for p in model.parameters() if p.requires_grad and id(p) not in others]
    slow: list[nn.Parameter] = [p for p in model.flow_parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {'params': main, 'base_lr': base},
        {'params': slow, 'base_lr': base * train.flow_lr_mul},
    ]
    groups = [group for group in groups if group['params']]
    if not groups:
        raise OptionsError(f'network_g: {type(model.network).__name__} has no parameters to train')
    return _build(section, groups, 'train.optim_g')


def build_discriminator_optimizer(model: VSRModel, train: TrainOptions) -> torch.optim.Optimizer | None:
    """Build the optimizer of ``train.optim_d``; None for a model without a discriminator."""
    parameters = discriminator_parameters(model)
    if not parameters or train.optim_d is None:
        return None
    return _build(train.optim_d, [{'params': parameters, 'base_lr': float(train.optim_d['lr'])}], 'train.optim_d')


def discriminator_parameters(model: VSRModel) -> list[nn.Parameter]:
    """Return the parameters of the discriminator; empty without one."""
    discriminator = getattr(model, 'discriminator', None)
    return [] if discriminator is None else list(discriminator.parameters())


def _build(section: Mapping[str, Any], groups: list[dict[str, Any]], key: str) -> torch.optim.Optimizer:
    arguments = {k: v for k, v in section.items() if k != 'type'}
    optimizer = find_optimizer(section['type'])
    if 'fused' in inspect.signature(optimizer).parameters and devices.fuses_optimizer(groups[0]['params'][0].device):
        arguments.setdefault('fused', True)
    with component_errors(key, f'{section["type"]} could not be built'):
        return optimizer(groups, **arguments)
