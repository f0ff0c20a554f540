"""The layout of model hubs: a folder with ``config.json``, ``model.safetensors`` and a model card."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from iart.archs.builder import without_weight_files
from iart.archs.recognize import require_section
from iart.errors import UserError, WeightsError
from iart.files import named_errors, write_text
from iart.version import __version__
from iart.weights import write_weights

CONFIG, WEIGHTS, CARD = 'config.json', 'model.safetensors', 'README.md'
_NAME = re.compile(r'[\w-][\w.-]*/[\w-][\w.-]*')


def write_hub_folder(
    folder: Path,
    network: nn.Module,
    section: Mapping[str, Any],
    *,
    half: bool = False,
    about: Mapping[str, str] | None = None,
    report: Path | None = None,
) -> None:
    """Write a network in the layout of model hubs.

    Args:
        folder: created if missing; files of these names in it are replaced.
        network: with its weights.
        section: its ``network_g`` section.
        half, about: see :func:`iart.weights.write_weights`.
        report: ``report.json`` of ``iart test``, or its folder: its scores go into the model card.

    Raises:
        UserError: the report cannot be read, or the folder cannot be written.
    """
    scores = _scores(report) if report is not None else []
    section, about = without_weight_files(section), dict(about or {})
    title = about.setdefault('title', folder.resolve().name)
    parameters = sum(p.numel() for p in network.parameters())
    config = {
        'library_name': 'iart',
        'library_version': __version__,
        'architectures': [section['type']],
        'scale': section.get('scale', getattr(network, 'scale', 4)),
        'parameters': parameters,
        'network_g': section,
    }
    with named_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder / WEIGHTS, network, section, half=half, about=about)
    write_text(folder / CONFIG, json.dumps(config, indent=2) + '\n')
    write_text(folder / CARD, _card(title, config, about, scores))


def _scores(report: Path) -> list[dict[str, Any]]:
    """Return the sets of a report, each with ``label`` and ``total``."""
    path = report / 'report.json' if report.is_dir() else report
    try:
        sets = json.loads(path.read_text(encoding='utf-8'))['sets']
        return [{'label': one['label'], 'total': dict(one['total'])} for one in sets]
    except OSError as error:
        raise UserError(
            f'--report: {path}: cannot be read ({error.strerror}), expected report.json of iart test'
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f'--report: {path}: got another file, expected report.json of iart test') from error


def _card(title: str, config: Mapping[str, Any], about: Mapping[str, str], scores: list[dict[str, Any]]) -> str:
    """Return the model card: what the network is, its measured scores, and how to use it."""
    lines = ['---', 'library_name: iart', 'pipeline_tag: image-to-image', 'tags:', '- video-super-resolution']
    lines += [f'license: {json.dumps(about["license"].lower())}'] if 'license' in about else []
    lines += ['---', '', f'# {title}', '']
    lines += [about['description'], ''] if 'description' in about else []
    kind = config['architectures'][0]
    lines += [f'{kind}, ×{config["scale"]}, {config["parameters"]:,} parameters; written by iart {__version__}.', '']
    if scores:
        metrics = list(dict.fromkeys(metric for one in scores for metric in one['total']))
        lines += ['## Scores', '', f'| test set | {" | ".join(metrics)} |', f'|---|{"---|" * len(metrics)}']
        for one in scores:
            values = (one['total'].get(metric) for metric in metrics)
            shown = (f'{value:.4f}' if isinstance(value, int | float) else '–' for value in values)
            lines.append(f'| {one["label"]} | {" | ".join(shown)} |')
        lines += ['', 'Measured by `iart test`.', '']
    lines += ['## Use', '', '```python', 'import iart', '', "network = iart.from_pretrained('FOLDER or user/name')"]
    lines += ['```', '', '```bash', 'iart upscale in.mp4 out.mp4 --weights FOLDER', '```', '']
    return '\n'.join(lines)


def weights_in(folder: Path) -> Path:
    """Return the weight file of a folder in this layout.

    Raises:
        WeightsError: it has none.
    """
    file = folder / WEIGHTS
    if not file.is_file():
        raise WeightsError(
            f'weights: {folder} is a folder without {WEIGHTS}, expected one that  iart convert --hub  wrote'
        )
    return file


def section_of(file: Path, key: str = 'params') -> dict[str, Any]:
    """Return the ``network_g`` section of a weight file, from ``config.json`` beside it in a hub folder.

    Raises:
        WeightsError: neither identifies the network.
    """
    config = file.with_name(CONFIG)
    if file.name == WEIGHTS and config.is_file():
        try:
            section = json.loads(config.read_text(encoding='utf-8'))['network_g']
            if isinstance(section, dict) and isinstance(section.get('type'), str):
                return without_weight_files(section)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise WeightsError(
            f'weights: {config} has no section network_g with a type, expected what iart convert --hub writes'
        )
    return require_section(file, key)


def is_hub_name(name: str) -> bool:
    """Return whether a text has the form of a model's name on a hub, ``user/name``."""
    return _NAME.fullmatch(name) is not None


def fetch(name: str) -> Path:
    """Return the weight file of a model on the Hugging Face hub, fetched unless its cache has it.

    Raises:
        WeightsError: ``huggingface_hub`` is not installed, there is no such model, or no network.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise WeightsError(
            f'weights: {name} is no file and no folder; to fetch it from a hub  pip install huggingface_hub'
        ) from error
    try:
        folder = huggingface_hub.snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS])
    except Exception as error:  # of its HTTP library, of its own, or of the system
        reason = next(iter(str(error).splitlines()), '') or type(error).__name__
        raise WeightsError(
            f'weights: {name} is no file and no folder, and cannot be fetched from the hub ({type(error).__name__}: '
            f'{reason[:160]}); where there is no network, copy its folder here and name that'
        ) from error
    return weights_in(Path(folder))
