"""Networks from a name of the manifest or from any weight file that says, or shows, which network it belongs to."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from iart import files, log
from iart.archs.builder import build_network
from iart.archs.recognize import require_section
from iart.errors import SettingError, listing, nearest
from iart.pretrained import load_manifest, obtain, place
from iart.shipped import weights_root
from iart.weights import load_weights


@dataclass(frozen=True)
class Loaded:
    """A network ready to run.

    Args:
        network: the network, on its device, in evaluation mode.
        title: description for the log.
        sha256: hash of the weight file; empty for a network from elsewhere.
    """

    network: nn.Module = field(repr=False)
    title: str
    sha256: str


def load(weights: str | Path, device: torch.device, key: str = 'params') -> Loaded:
    """Build a network and load its weights.

    Args:
        weights: a file, or a name of the manifest, which is fetched if it is missing.
        device: the device to put it on.
        key: which weights of a ``.pth``: ``params`` or ``params_ema``.

    Raises:
        UserError: no such file and no such name, or it cannot be fetched.
        WeightsError: a file that no known network fits.
    """
    file = find(weights)
    section = require_section(file, key)
    network = build_network(section)
    load_weights(network, file, key)
    count = sum(p.numel() for p in network.parameters())
    title = f'{section["type"]}, {count:,} weights from {file}, on {device}'
    return Loaded(network.to(device).eval(), title, files.sha256(file))


def find(weights: str | Path) -> Path:
    """Return the weight file; a name of the manifest whose file is missing is fetched.

    Raises:
        UserError: no such file, no such name, or it cannot be fetched.
    """
    path = Path(weights)
    if path.is_file():
        return path
    manifest = load_manifest()
    names = [name for name, entry in manifest.weights.items() if not name.startswith('spynet')]
    if str(weights) not in names:
        hint = nearest(str(weights), names) or f'names are {listing(names)}'
        raise SettingError('weights', f'got neither a file nor a name {str(weights)!r}; {hint}')
    root = weights_root()
    file = place(manifest.weights[str(weights)], root)
    if not file.is_file():
        obtain(manifest, [str(weights)], root)
    log.logger.info(f'{weights}: {file}')
    return file
