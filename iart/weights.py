"""Reading and writing of weight files, ours and foreign ones.

Readable are ``.pth`` files of BasicSR (``{'params': ..., 'params_ema': ...}``) or bare, with or without the
``module.`` that data parallel training leaves in names, and ``.safetensors``. No code in a file is executed.
"""

import json
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from iart import foreign_files, log
from iart.errors import WeightsError, listing
from iart.files import write_atomically
from iart.shipped import weights_root

_OPTIONS = 'network_g'  # where a safetensors file of ours keeps the options of its network


def load_weights(
    network: nn.Module,
    path: str | Path,
    key: str = 'params',
    strict: bool = True,
    *,
    optional: Collection[str] = (),
    part: str = '',
    other_scale: bool = False,
) -> None:
    """Load a weight file into a network, accounting for every name.

    Names that a released checkpoint of this network has in addition to its weights (``released_extras()`` of the
    network: dead parameters, constant tables) are accepted, and names of the released code are translated
    (``from_released_name()``). Modules that change nothing at the start (``starts_neutral``) may be missing. The
    network is changed only if everything fits, or if ``strict`` is off; then each name that was skipped is logged.

    Args:
        network: the network to load into; stays on its device.
        path: the file.
        key: entry of a ``.pth`` that holds the weights: ``params`` or ``params_ema``.
        strict: whether missing names, unexpected names and wrong shapes are errors.
        optional: names that the file need not have.
        part: name of this network, such as ``spynet``, inside a larger one, whose file is accepted as well.
        other_scale: whether to accept weights of a network of another scale: the layers that depend on the scale
            (``layers_of_scale()`` of the network) are not loaded, and are logged.

    Raises:
        WeightsError: the file is missing or unreadable, or (``strict``) does not fit; lists the names.
    """
    stored = read_weights(path, key)
    if part and (inner := {n.removeprefix(f'{part}.'): t for n, t in stored.items() if n.startswith(f'{part}.')}):
        stored = inner
    rename: Callable[[str], str] = getattr(network, 'from_released_name', str)
    state = network.state_dict()
    extras: Mapping[str, Tensor] = getattr(network, 'released_extras', dict)()
    stored = _named_as(stored, state, rename, path)
    optional = {*optional, *_neutral_at_start(network, stored)}
    layers: Callable[[Mapping[str, Tensor]], Collection[str]] = getattr(network, 'layers_of_scale', _no_layers)
    rescaled, problems = layers(stored), []
    if rescaled and other_scale:
        fresh = [n for n in state if n.rpartition('.')[0] in rescaled]
        log.logger.info(f'{path}: weights of another scale; these start fresh: {listing(fresh, 20)}')
        optional, stored = (
            {*optional, *fresh},
            {n: t for n, t in stored.items() if n.rpartition('.')[0] not in rescaled},
        )
    elif rescaled:
        problems.append(f'they are of another scale than ×{network.scale}; only training starts from such weights')
    if missing := [n for n in state if n not in stored and n not in optional]:
        problems.append(f'missing ({len(missing)}): {listing(missing)}')
    if unexpected := [n for n in stored if n not in state and n not in extras]:
        problems.append(f'unexpected ({len(unexpected)}): {listing(unexpected)}')
    expected = {**extras, **state}
    # Shapes of dead parameters (on the meta device) are ignored: they are not loaded.
    comparable = [n for n in stored if n in expected and not (n in extras and extras[n].is_meta)]
    if misshapen := [n for n in comparable if stored[n].shape != expected[n].shape]:
        shown = [f'{n} is {list(stored[n].shape)}, expected {list(expected[n].shape)}' for n in misshapen]
        problems.append(f'wrong shape ({len(shown)}): {listing(shown, 8)}')
    if problems:
        text = f'{path} does not fit {type(network).__name__}\n  ' + '\n  '.join(problems)
        if strict:
            raise WeightsError(text)
        log.logger.warning(f'{text}\n  these names were skipped: strict loading is off')
    _compare_tables(stored, extras, path)
    fitting = {n: t for n, t in stored.items() if n in state and t.shape == state[n].shape}
    network.load_state_dict({**state, **fitting})


def _no_layers(state: Mapping[str, Tensor]) -> Collection[str]:
    return ()


def _named_as(
    state: dict[str, Tensor], expected: Mapping[str, Tensor], rename: Callable[[str], str], path: str | Path
) -> dict[str, Tensor]:
    """Return the state dict with the network's names, without a prefix that all names have in common."""
    renamed = {rename(name): tensor for name, tensor in state.items()}
    prefixes: list[str] = []
    while not renamed.keys() & expected.keys():
        prefix, state = without_prefix(state)
        if not prefix:
            break
        prefixes.append(prefix)
        inner = {rename(name): tensor for name, tensor in state.items()}
        if inner.keys() & expected.keys():
            log.logger.info(f'{path}: all names begin with {".".join(prefixes)!r}, which is removed')
            return inner
    return renamed


def _neutral_at_start(network: nn.Module, names_in_file: Collection[str]) -> list[str]:
    """Return the names of modules without effect at the start (``starts_neutral``) that a file lacks completely."""
    names: list[str] = []
    for prefix, module in network.named_modules():
        if getattr(module, 'starts_neutral', False):
            tensors = [f'{prefix}.{name}' for name in module.state_dict()]
            if not any(name in names_in_file for name in tensors):
                log.logger.info(f'{prefix}: not in the file; it starts without effect')
                names += tensors
    return names


def _compare_tables(state: Mapping[str, Tensor], extras: Mapping[str, Tensor], path: str | Path) -> None:
    """Log if a constant table of the file differs from the network's."""
    different = [
        name
        for name, table in extras.items()
        if not table.is_meta and name in state and state[name].shape == table.shape
        if not torch.allclose(state[name].double(), table.double().cpu(), atol=1e-4)
    ]
    if different:
        log.logger.warning(
            f'{path}: constant tables differ from the ones of the network, which are used: {listing(different, 4)}'
        )


def read_weights(path: str | Path, key: str = 'params') -> dict[str, Tensor]:
    """Return the tensors of a weight file by name, on the CPU, without ``module.`` prefixes.

    Raises:
        WeightsError: the file is missing or unreadable, or has no weights under ``key``.
    """
    path = _locate(path)
    if _is_safetensors(path):
        try:
            with safe_open(path, 'pt') as file:
                content: Any = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f'weights: {path} cannot be read as safetensors: {error}') from error
    else:
        content = read_torch(path)
    state = {name.removeprefix('module.'): tensor for name, tensor in _pick(content, key, path).items()}
    prefix = foreign_files.generator_prefix(state, averaged=key == 'params_ema')
    if prefix:
        log.logger.info(f'{path}: a training checkpoint; the weights {prefix}* are used')
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _locate(path: str | Path) -> Path:
    """The file itself, or the one that ``iart weights`` fetched for an installed package."""
    path = Path(os.path.expandvars(os.path.expanduser(path)))
    for place in (path, weights_root() / path):
        if place.is_file():
            return place
    raise WeightsError(f'weights: {path} does not exist; iart weights --list shows what can be fetched')


def _is_safetensors(path: Path) -> bool:
    """Return whether a file is one, by its content, since files are renamed; a damaged file, by its name."""
    return path.suffix == '.safetensors' or foreign_files.is_safetensors(path)


def without_prefix(state: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """Return the first part that all names have in common, such as ``generator``, and the state dict without it; an
    empty part when there is none.
    """
    first = {name.partition('.')[0] for name in state}
    if len(first) != 1 or not all('.' in name for name in state):
        return '', dict(state)
    (prefix,) = first
    return prefix, {name.removeprefix(f'{prefix}.'): tensor for name, tensor in state.items()}


def read_torch(path: Path) -> Any:
    """A file that ``torch.save`` wrote, on the CPU; only tensors and plain containers are accepted.

    Raises:
        WeightsError: damaged, or holding pickled objects other than tensors (which could run code).
    """
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to ask for
        if kind := foreign_files.describe(path):
            raise WeightsError(f'weights: {path} {kind}') from error
        if inside := foreign_files.objects_inside(error):
            raise WeightsError(
                f'weights: {path} holds something other than tensors and was not opened: {inside} could run code; '
                "where it comes from, save only the tensors:  torch.save({'params': network.state_dict()}, FILE)"
            ) from error
        raise WeightsError(
            f'weights: {path} is damaged or not a torch file ({type(error).__name__}): copy or fetch it again'
        ) from error


def _pick(content: Any, key: str, path: Path) -> dict[str, Tensor]:
    """The state dict inside a file's content."""
    if not isinstance(content, dict):
        raise WeightsError(f'weights: {path} holds a {type(content).__name__}, expected a mapping of names to tensors')
    if content and all(isinstance(t, Tensor) for t in content.values()):
        return content
    for candidate in (key, 'params', 'state_dict'):
        inner = content.get(candidate)
        if isinstance(inner, dict) and inner and all(isinstance(t, Tensor) for t in inner.values()):
            if candidate != key:
                log.logger.info(f'{path} has no {key!r}; its {candidate!r} is used')
            return inner
    if {'optimizers', 'schedulers'} & content.keys():
        raise WeightsError(
            f"weights: {path} is a training state of BasicSR: it holds the optimizer's state and no weights; these are "
            'in models/net_g_*.pth of the same run'
        )
    averaged = content.get('params_ema')
    if key != 'params_ema' and isinstance(averaged, dict):
        raise WeightsError(
            f"weights: {path} holds only the averaged weights 'params_ema', expected {key!r}: name them with "
            'param_key_g: params_ema, or --key params_ema'
        )
    raise WeightsError(
        f'weights: {path} holds {listing(str(k) for k in content)}, expected {key!r} with tensors by name'
    )


def stored_options(path: str | Path) -> dict[str, Any] | None:
    """The ``network_g`` section kept inside a ``.safetensors`` file by :func:`write_weights`, if any."""
    if not _is_safetensors(Path(path)):
        return None
    with safe_open(path, 'pt') as file:
        text = (file.metadata() or {}).get(_OPTIONS)
    return json.loads(text) if text else None


def released_state_dict(network: nn.Module) -> dict[str, Tensor]:
    """Return ``network.state_dict()`` and the further entries of a released checkpoint; dead weights are zeros."""
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    extras: Mapping[str, Tensor] = getattr(network, 'released_extras', dict)()
    for name, tensor in extras.items():
        state[name] = torch.zeros(tensor.shape) if tensor.is_meta else tensor.cpu()
    return state


def write_weights(
    path: str | Path,
    network: nn.Module,
    section: Mapping[str, Any],
    *,
    half: bool = False,
    about: Mapping[str, str] | None = None,
) -> None:
    """Write a network's weights: ``.pth`` in the released layout (key ``params``), or ``.safetensors`` with its
    options.

    Args:
        path: the file.
        network: what it holds.
        section: the network's ``network_g`` section.
        half: store float32 as float16 (``.safetensors`` only): half the size; :func:`load_weights` gives float32 again.
        about: metadata (``.safetensors`` only): ``title``, ``description``, ``license``, ``author``, ``date``, ...
            of the modelspec standard, without its prefix.

    Raises:
        WeightsError: the name has another ending, or ``.pth`` with ``half`` or ``about``.
    """
    path = Path(path)
    if path.suffix == '.pth':
        if half or about:
            raise WeightsError(f'weights: {path.name}: half precision and metadata need a name ending in .safetensors')
        write_atomically(path, lambda p: torch.save({'params': released_state_dict(network)}, p))
    elif path.suffix == '.safetensors':
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
        if half:
            state = {name: tensor.half() if tensor.dtype == torch.float32 else tensor for name, tensor in state.items()}
        described = {'sai_model_spec': '1.0.0', 'architecture': section.get('type', ''), 'implementation': 'iart'}
        described |= {'title': path.stem, **(about or {})}
        metadata = {f'modelspec.{name}': text for name, text in described.items()}
        metadata |= {'format': 'pt', _OPTIONS: json.dumps(dict(section))}
        write_atomically(path, lambda p: save_file(state, p, metadata))
    else:
        raise WeightsError(f'weights: cannot write {path.name!r}, expected a name ending in .pth or .safetensors')
