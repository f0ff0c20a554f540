"""IART: video super-resolution with implicit resampling-based alignment (CVPR 2024), in BasicSR registry style.

Importing this package has no side effects and does not import torch; the public names below are
loaded when they are first used::

    network = iart.build_network({'type': 'IART', 'spynet_path': None})
    iart.load_weights(network, 'IART_REDS_BI_N6.pth')
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from iart.version import __version__

_PUBLIC = {
    'build_network': 'iart.archs.builder',
    'from_pretrained': 'iart.upscaling.networks',
    'load_weights': 'iart.weights',
    'upscale': 'iart.upscaling.api',
}

__all__ = ['__version__', 'build_network', 'from_pretrained', 'load_weights', 'upscale']

if TYPE_CHECKING:
    from iart.archs.builder import build_network
    from iart.upscaling.api import upscale
    from iart.upscaling.networks import from_pretrained
    from iart.weights import load_weights


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'iart' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
