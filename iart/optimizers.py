"""Optimizers by name: torch's Adam and AdamW, and timm's as ``timm/<name>``."""

import functools
from collections.abc import Callable
from typing import Any

import torch

from iart.errors import OptionsError, listing, nearest

PREFIX = 'timm/'
_TORCH = ('Adam', 'AdamW')
# adahessian needs the graph of the backward pass, bnb* and fused* packages beside timm, and kron* a compiler, for more
# than a minute at the first step.
_UNUSABLE = ('adahessian', 'bnb', 'fused', 'kron')


def optimizer_names() -> list[str]:
    """Return every name that ``optim_g.type`` takes; imports timm, which takes seconds."""
    return [*_TORCH, *(PREFIX + name for name in _timm_names())]


@functools.cache
def _timm_names() -> tuple[str, ...]:
    import timm.optim

    return tuple(name for name in map(str, timm.optim.list_optimizers()) if not name.startswith(_UNUSABLE))


def find_optimizer(name: str) -> Callable[..., torch.optim.Optimizer]:
    """Return the class of an optimizer, or a function that builds one, with the signature to check arguments against.

    Args:
        name: ``Adam``, ``AdamW``, or ``timm/`` and a name of timm's, e.g. ``timm/adan``.

    Raises:
        OptionsError: no such optimizer; the message lists what there is.
    """
    if name in _TORCH:
        return getattr(torch.optim, name)  # type: ignore[no-any-return]
    names = optimizer_names()
    if name not in names:
        hint = nearest(name, names) or nearest(PREFIX + name.lower(), names)
        raise OptionsError(f'got {name!r}, expected one of: {listing(names, len(names))}' + (hint and f' ({hint})'))
    import timm.optim

    optimizer: Any = timm.optim.get_optimizer_class(name.removeprefix(PREFIX), bind_defaults=True)
    if isinstance(optimizer, functools.partial):  # a class with defaults of this name's own
        optimizer.__name__ = name  # type: ignore[attr-defined]
    return optimizer  # type: ignore[no-any-return]
