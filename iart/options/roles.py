"""The sections of a YAML that each of BasicSR's components fits; those of this project and of users fit all.

BasicSR's registries hold networks for single images, discriminators, losses for them and metrics on tensors as well:
none of them can do what this runner asks.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from iart.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    find,
    names,
)

# Networks that restore every frame of a clip (n, t, 3, h, w), and their scale.
_CLIP_NETWORKS = {'BasicVSR': 4, 'IconVSR': 4, 'BasicVSRPlusPlus': 4}
_ONE_FRAME_NETWORKS = ('DUF', 'EDVR', 'TOFlow')
_PIXEL_LOSSES = ('L1Loss', 'MSELoss', 'CharbonnierLoss')
_DISCRIMINATORS = ('UNetDiscriminatorSN', 'VGGStyleDiscriminator')
_METRICS = ('calculate_psnr', 'calculate_ssim', 'calculate_niqe')
_USABLE = {
    'network_g': tuple(_CLIP_NETWORKS),
    'pixel_opt': _PIXEL_LOSSES,
    'teacher_opt': _PIXEL_LOSSES,
    'cleaning_opt': _PIXEL_LOSSES,
    'gan_opt': ('GANLoss',),
    'perceptual_opt': ('PerceptualLoss',),
    'metric': _METRICS,
}

Components = Mapping[str, Callable[..., Any]]


def networks() -> Components:
    """Return the networks that restore clips, by name."""
    return _usable(ARCH_REGISTRY, 'network_g')


def discriminators() -> Components:
    """Return the discriminators by name: two of BasicSR's, and ours with ``is_discriminator``."""
    networks = {name: find(ARCH_REGISTRY, name) for name in (*_DISCRIMINATORS, *names(ARCH_REGISTRY))}
    return {n: c for n, c in networks.items() if n in _DISCRIMINATORS or getattr(c, 'is_discriminator', False)}


def losses(key: str) -> Components:
    """Return the losses for ``pixel_opt``, ``teacher_opt``, ``cleaning_opt``, ``gan_opt`` or ``perceptual_opt``."""
    return _usable(LOSS_REGISTRY, key)


def metrics() -> Components:
    """Return the metrics of two uint8 frames, by name."""
    return _usable(METRIC_REGISTRY, 'metric')


def models() -> Components:
    """Return the models of this project: BasicSR's take its whole options object, which does not exist here."""
    return _usable(MODEL_REGISTRY, '')


def datasets(phase: str = '') -> Components:
    """Return the data sets for ``train`` or ``test`` (default: all), by name."""
    types = _usable(DATASET_REGISTRY, '')
    return {name: kind for name, kind in types.items() if not phase or getattr(kind, 'phase', phase) == phase}


def reason(key: str, name: str) -> str:
    """Return why a component that exists cannot take the place ``key``; empty for one that does not exist.

    Args:
        key: ``network_g``, ``pixel_opt``, ``teacher_opt``, ``perceptual_opt`` or ``metric``.
        name: value of ``type``.
    """
    if key == 'network_g':
        if name in _ONE_FRAME_NETWORKS:
            return 'it restores one frame of a window; networks that restore every frame of a clip are supported'
        return 'it is not a network for clips' if name in names(ARCH_REGISTRY) else ''
    if key == 'metric':
        return 'it takes tensors, not frames' if name in names(METRIC_REGISTRY) else ''
    if name not in names(LOSS_REGISTRY):
        return ''
    return 'it is adversarial: gan_opt is its place' if name == 'GANLoss' else f'it is no loss for {key}'


def scale_of(section: Mapping[str, Any]) -> int | None:
    """Return the scale of the network that a section names, where its type or its ``scale`` fixes it."""
    name = section.get('type')
    if name in _CLIP_NETWORKS:
        return 1 if section.get('is_low_res_input') is False else _CLIP_NETWORKS[name]
    if isinstance(section.get('network'), Mapping):  # a network around another one
        return scale_of(section['network'])
    network = networks().get(str(name))
    scale = section.get('scale', getattr(network, 'scale', None))
    return scale if isinstance(scale, int) else None


def takes_scale(section: Mapping[str, Any]) -> bool:
    """Return whether the network that a section names can be built for several scales."""
    if isinstance(section.get('network'), Mapping):
        return takes_scale(section['network'])
    network = networks().get(str(section.get('type')))
    return network is not None and 'scale' in inspect.signature(network).parameters


def _usable(registry: Any, key: str) -> dict[str, Callable[..., Any]]:
    components = {name: find(registry, name) for name in names(registry)}
    return {
        name: component
        for name, component in components.items()
        if not component.__module__.startswith('basicsr.') or name in _USABLE.get(key, ())
    }
