"""Conversion of weight files from one format to another."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iart.archs.builder import build_network, without_weight_files
from iart.archs.hub import write_hub_folder
from iart.archs.recognize import network_section
from iart.errors import UserError
from iart.log import logger
from iart.options import load
from iart.weights import load_weights, write_weights


def convert(
    source: str | Path,
    target: str | Path,
    *,
    options_file: str | Path | None = None,
    key: str = 'params',
    half: bool = False,
    about: Mapping[str, str] | None = None,
    hub: bool = False,
    report: str | Path | None = None,
) -> None:
    """Load weights into their network, which accounts for every name, and write them in another format.

    Args:
        source: a ``.pth`` (upstream's or ours) or ``.safetensors`` file.
        target: the file to write: ``.pth`` in the released layout, or ``.safetensors`` with the network's options.
        options_file: YAML of the network. Default: the options inside the source, else the network recognized by names
            and shapes (IART, BasicVSR or IABasicVSR of any size), else the published IART.
        key: entry of a ``.pth`` that holds the weights.
        half, about: see :func:`iart.weights.write_weights`.
        hub: write a folder in the layout of model hubs instead of a file.
        report: with ``hub``, ``report.json`` of ``iart test`` or its folder, for the model card.

    Raises:
        UserError: source and target are the same file.
        WeightsError, OptionsError: the source does not fit the network.
    """
    if Path(source).resolve() == Path(target).resolve():
        raise UserError(f'convert: got {target} as both input and output, expected another name for the output')
    section: Mapping[str, Any]
    section = load(options_file).network_g if options_file else (network_section(source, key) or {'type': 'IART'})
    section = without_weight_files(section)
    network = build_network(section)
    load_weights(network, source, key)
    if hub:
        path = None if report is None else Path(report)
        write_hub_folder(Path(target), network, section, half=half, about=about, report=path)
    else:
        write_weights(target, network, section, half=half, about=about)
    logger.info(f'wrote {target}: {section["type"]}, {sum(p.numel() for p in network.parameters()):,} parameters')
