"""Networks from a name of the manifest, or from a weight file with options or of a recognized network."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from iart import device as devices
from iart import files, log
from iart.archs.builder import build_network
from iart.archs.hub import fetch, is_hub_name, section_of, weights_in
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
        sha256: hash of the weight file; empty for a network without one.
    """

    network: nn.Module = field(repr=False)
    title: str
    sha256: str


def load(weights: str | Path, device: torch.device, key: str = 'params') -> Loaded:
    """Build a network and load its weights.

    Args:
        weights: a file, or a name of the manifest, whose file is fetched if it is missing.
        device: the device to put it on.
        key: entry of a ``.pth`` that holds the weights: ``params`` or ``params_ema``.

    Raises:
        UserError: there is no such file and no such name, or it cannot be fetched.
        WeightsError: the file's network is not recognized.
    """
    file = find(weights)
    section = section_of(file, key)
    network = build_network(section)
    load_weights(network, file, key)
    count = sum(p.numel() for p in network.parameters())
    title = f'{section["type"]}, {count:,} parameters from {file}, on {device}'
    return Loaded(network.to(device).eval(), title, files.sha256(file))


def from_pretrained(name: str | Path, *, device: str = 'cpu', key: str = 'params') -> nn.Module:
    """Return a network with its weights, in evaluation mode.

    Args:
        name: a folder that ``iart convert --hub`` wrote, a weight file, a name of the manifest, or ``user/name`` on the
            Hugging Face hub.
        device: the device to put it on: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        key: entry of a ``.pth`` that holds the weights.

    Raises:
        UserError: there is nothing of this name, or it cannot be fetched.
        WeightsError: a file that no known network fits.
    """
    return load(name, devices.choose(device), key).network


def find(weights: str | Path) -> Path:
    """Return the weight file; a name of the manifest whose file is missing is fetched.

    Raises:
        UserError: no such file, no such name, or it cannot be fetched.
    """
    path = Path(weights)
    if path.is_file():
        return path
    if path.is_dir():
        return weights_in(path)
    manifest = load_manifest()
    names = [name for name, entry in manifest.weights.items() if not name.startswith('spynet')]
    if str(weights) not in names and is_hub_name(str(weights)):
        return fetch(str(weights))
    if str(weights) not in names:
        hint = nearest(str(weights), names) or f'names are {listing(names)}'
        raise SettingError('weights', f'got neither a file nor a name {str(weights)!r}; {hint}')
    root = weights_root()
    file = place(manifest.weights[str(weights)], root)
    if not file.is_file():
        obtain(manifest, [str(weights)], root)
    log.logger.info(f'{weights}: {file}')
    return file
