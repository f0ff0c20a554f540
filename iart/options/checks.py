"""Checks of a whole YAML, with all mistakes at once: fixed sections against their models, component sections against
the signature of their type. Nothing is built and no file is opened."""

import re
from collections.abc import Callable, Mapping, Set
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from iart import protocols
from iart.degradations import FRAME_KINDS, check_chain
from iart.errors import OptionsError, Problem, listing, nearest
from iart.optimizers import find_optimizer, optimizer_names
from iart.options import roles
from iart.options.messages import explain
from iart.options.schema import DatasetOptions, Options
from iart.options.train_section import CosineAnnealingRestartLR, MultiStepLR, Scheduler
from iart.registry import ALIGNMENT_REGISTRY, FLOW_REGISTRY, find, names
from iart.signature import fit_to_signature
from iart.yaml_words import spell_value

_GAN_MODEL = 'VSRGANModel'
_FOLDER_NAME = 'the name of a folder, without slashes'
_PHASE = re.compile(r'train|(val|test)\w*')


def check(raw: dict[str, Any]) -> tuple[Options | None, list[Problem]]:
    """Return the options of a merged YAML, or None, and all mistakes in it."""
    raw = _without_empty_sections(raw)
    explained: list[Problem] = []
    options = None
    try:
        options = Options.model_validate(raw)
    except ValidationError as error:
        explained = explain(error, raw)
    problems = _components(raw) + _contradictions(raw)
    places = {problem.key for problem in problems}  # messages of signatures and registries are more specific
    return options, [problem for problem in explained if problem.key not in places] + problems


def _without_empty_sections(raw: dict[str, Any]) -> dict[str, Any]:
    """Remove empty sections (``val: ~``, or only comments below it), and empty data sets and metrics."""
    raw = {k: v for k, v in raw.items() if v is not None}
    for place, keys in (('datasets', None), ('val', ('metrics',)), ('logger', ('wandb',))):
        section = raw.get(place)
        if isinstance(section, dict):
            raw[place] = {k: v for k, v in section.items() if v is not None or (keys is not None and k not in keys)}
    val = raw.get('val')
    if isinstance(val, dict) and isinstance(val.get('metrics'), dict):
        raw['val'] = {**val, 'metrics': {k: v for k, v in val['metrics'].items() if v is not None}}
    return raw


def _components(raw: dict[str, Any]) -> list[Problem]:
    """Return mistakes in the sections whose keys are the arguments of their type."""
    train, val = (_mapping(raw.get(key)) for key in ('train', 'val'))
    problems = _network(raw.get('network_g'), 'network_g')
    for key, section in _mapping(raw.get('datasets')).items():
        problems += _dataset(section, f'datasets.{key}')
    if raw.get('network_d') is not None:
        problems += _misfits(raw['network_d'], 'network_d', roles.discriminators())
    for key in ('pixel_opt', 'perceptual_opt', 'teacher_opt', 'cleaning_opt', 'gan_opt'):
        problems += _misfits(train.get(key), f'train.{key}', roles.losses(key)) or _unbuildable(train.get(key), key)
    problems += _optimizer(train.get('optim_g'), 'train.optim_g') + _optimizer(train.get('optim_d'), 'train.optim_d')
    for name, section in _mapping(val.get('metrics')).items():
        problems += _metric(section, f'val.metrics.{name}')
    return problems


def _network(section: Any, key: str) -> list[Problem]:
    """Return mistakes in the section of a network and of its parts."""
    alignment, flow, inner = (_mapping(section).get(name) for name in ('alignment', 'flow', 'network'))
    problems = _misfits(section, key, roles.networks())
    problems += _misfits(alignment, f'{key}.alignment', _registered(ALIGNMENT_REGISTRY), {'channels', 'num_heads'})
    problems += _misfits(flow, f'{key}.flow', _registered(FLOW_REGISTRY))
    return problems + (_network(inner, f'{key}.network') if isinstance(inner, dict) else [])


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}  # anything else is reported where the models are checked


def _registered(registry: Any) -> dict[str, Callable[..., Any]]:
    return {name: find(registry, name) for name in names(registry)}


def _unbuildable(section: Any, key: str) -> list[Problem]:
    """Return a mistake if the constructor of a pixel loss raises, as for ``reduction: avg``; it needs no file."""
    if not isinstance(section, dict) or key == 'perceptual_opt':
        return []
    arguments = {k: v for k, v in section.items() if k != 'type'}
    try:
        roles.losses(key)[section['type']](**arguments)
    except (TypeError, ValueError, NotImplementedError) as error:
        return [
            Problem(f'train.{key}', spell_value(arguments), f'arguments that {section["type"]} accepts', str(error))
        ]
    return []


def _misfits(
    section: Any, key: str, components: Mapping[str, Callable[..., Any]], given: Set[str] = frozenset()
) -> list[Problem]:
    """Return mistakes in a component section.

    Args:
        section: `type` and arguments; other values than mappings are checked by the models.
        key: path of the section in the YAML.
        components: what `type` may name.
        given: arguments that the program passes.
    """
    if not isinstance(section, dict):
        return []
    name = section.get('type')
    if not isinstance(name, str) or name not in components:
        role = 'metric' if key.startswith('val.metrics.') else key.removeprefix('train.')
        hint = roles.reason(role, str(name)) or nearest(str(name), components)
        got = 'nothing' if name is None else spell_value(name)
        return [Problem(f'{key}.type', got, f'one of: {listing(components, 100)}', hint)]
    arguments = {k: v for k, v in section.items() if k != 'type'}
    taken = [
        Problem(f'{key}.{k}', spell_value(arguments.pop(k)), 'no such key: the program passes it')
        for k in given & arguments.keys()
    ]
    return taken + fit_to_signature(components[name], arguments, key=key, given=frozenset(given))[1]


def _dataset(section: Any, key: str) -> list[Problem]:
    if not isinstance(section, dict):
        return []
    problems = []
    phase = 'train' if key == 'datasets.train' else 'test'
    if not _PHASE.fullmatch(key.removeprefix('datasets.')):
        problems.append(Problem(key, 'this key', 'train, or a key that starts with val or test'))
    loader, arguments = DatasetOptions.split(section)
    name = loader.get('name')
    if isinstance(name, str) and not _names_a_folder(name):
        problems.append(Problem(f'{key}.name', repr(name), _FOLDER_NAME))
    protocol = loader.get('protocol')
    if isinstance(protocol, str) and protocol.casefold() not in map(str.casefold, protocols.names()):
        hint = nearest(protocol, protocols.names())
        problems.append(Problem(f'{key}.protocol', repr(protocol), f'one of: {listing(protocols.names())}', hint))
    kind = loader.get('type')
    if kind in roles.datasets() and kind not in roles.datasets(phase):
        place = 'trains; datasets.train is its place' if phase == 'test' else 'scores; val and test are its places'
        allowed = roles.datasets(phase)
        return [*problems, Problem(f'{key}.type', repr(kind), f'one of: {listing(allowed, 60)}', f'{kind} {place}')]
    types = roles.datasets(phase)
    problems += _misfits({'type': kind, **arguments}, key, types, {'scale', 'seed'})
    degradation = arguments.get('degradation')
    if isinstance(degradation, str | list) and degradation not in FRAME_KINDS and phase == 'train':
        problems += check_chain(degradation, f'{key}.degradation')
    return problems


def _metric(section: Any, key: str) -> list[Problem]:
    if not isinstance(section, dict):
        return []
    arguments = {k: v for k, v in section.items() if k != 'better'}
    problems = _misfits(arguments, key, roles.metrics(), {'img', 'img2', 'previous', 'previous2'})
    better = section.get('better', 'higher')
    if better not in ('higher', 'lower'):
        problems.append(Problem(f'{key}.better', repr(better), 'higher or lower'))
    return problems


def _optimizer(section: Any, key: str) -> list[Problem]:
    """Return mistakes in the arguments of an optimizer; the base rate must be named, since no default is sensible."""
    if not isinstance(section, dict):
        return []
    name = str(section.get('type'))
    try:
        problems = _misfits(section, key, {name: find_optimizer(name)}, {'params'})
    except OptionsError:
        problems = _misfits(section, key, dict.fromkeys(optimizer_names(), torch.optim.Adam), {'params'})
    if 'lr' not in section:
        problems.append(Problem(f'{key}.lr', 'nothing', 'the base learning rate, above 0'))
    elif isinstance(section['lr'], int | float) and section['lr'] <= 0:
        problems.append(Problem(f'{key}.lr', repr(section['lr']), 'above 0'))
    return problems


def _names_a_folder(name: str) -> bool:
    return bool(name.strip()) and name not in ('.', '..') and not re.search(r'[/\\]', name)


def _contradictions(raw: dict[str, Any]) -> list[Problem]:
    """Return mistakes that concern several fields: unknown names, and keys that contradict each other."""
    problems = []
    name, model_type, val = raw.get('name', 'x'), raw.get('model_type', 'VSRModel'), _mapping(raw.get('val'))
    if isinstance(name, str) and not _names_a_folder(name):
        problems.append(Problem('name', repr(name), _FOLDER_NAME))
    models = sorted({'VSRModel', *roles.models()})
    if isinstance(model_type, str) and model_type not in models:
        expected = f'one of: {listing(models)}, or a video model of upstream'
        problems.append(Problem('model_type', repr(model_type), expected, nearest(model_type, models)))
    best, metrics = val.get('best_metric'), _mapping(val.get('metrics'))
    if best is not None and best not in metrics:
        expected = f'one of val.metrics: {listing(metrics) or "none"}'
        problems.append(Problem('val.best_metric', repr(best), expected, nearest(best, metrics)))
    problems += _scale(raw) + _same_names(_mapping(raw.get('datasets')))
    if isinstance(raw.get('train'), dict):
        problems += _training_contradictions(raw['train'], _mapping(raw.get('datasets')).get('train'))
        problems += _adversarial_contradictions(raw)
    return problems


def _scale(raw: dict[str, Any]) -> list[Problem]:
    network, scale = _mapping(raw.get('network_g')), raw.get('scale', 4)
    expected = roles.scale_of(network)
    if expected is None or not isinstance(scale, int | float) or scale == expected:
        return []
    hint = f'or network_g.scale: {scale}' if roles.takes_scale(network) else ''
    return [Problem('scale', spell_value(scale), f'{expected}, the scale of {network["type"]}', hint)]


def _same_names(datasets: dict[str, Any]) -> list[Problem]:
    """Return mistakes for sets whose results would overwrite each other: names of folders, ignoring case."""
    problems = []
    first: dict[str, str] = {}
    for key, section in datasets.items():
        name = _mapping(section).get('name') or key
        if key == 'train' or not isinstance(name, str):
            continue
        if (other := first.setdefault(name.casefold(), key)) != key:
            expected = f'a name of its own, such as {key}: datasets.{other} has this one, and results are kept by name'
            problems.append(Problem(f'datasets.{key}.name', repr(name), expected))
    return problems


def _training_contradictions(train: dict[str, Any], data: Any) -> list[Problem]:
    problems = []
    if data is None:
        problems.append(Problem('datasets.train', 'nothing', 'a data set, since there is a train section'))
    if train.get('pixel_opt') is None and train.get('perceptual_opt') is None:
        problems.append(Problem('train', 'neither pixel_opt nor perceptual_opt', 'at least one loss'))
    loss, outputs = train.get('teacher_opt') is not None, _mapping(data).get('dataroot_teacher') is not None
    if loss != outputs:
        names = 'train.teacher_opt', 'datasets.train.dataroot_teacher'
        alone, other = names if loss else names[::-1]
        problems.append(Problem(alone, f'this without {other}', 'both, or neither'))
    try:
        schedule: Scheduler = TypeAdapter(Scheduler).validate_python(train.get('scheduler'))
    except ValidationError:
        return problems  # reported with the fixed sections
    if isinstance(schedule, CosineAnnealingRestartLR):
        problems += _as_many('periods', schedule.periods, schedule.restart_weights)
        total = train.get('total_iter')
        if isinstance(total, int | float) and sum(schedule.periods) < total:
            expected = f'periods that cover total_iter ({total})'
            problems.append(
                Problem('train.scheduler.periods', f'{sum(schedule.periods)} iterations together', expected)
            )
    elif isinstance(schedule, MultiStepLR):
        problems += _as_many('restarts', schedule.restarts, schedule.restart_weights)
    return problems


def _adversarial_contradictions(raw: dict[str, Any]) -> list[Problem]:
    """Adversarial training needs all of its sections; without them none has an effect."""
    train = raw['train']
    sections = {'network_d': raw.get('network_d'), **{f'train.{k}': train.get(k) for k in ('gan_opt', 'optim_d')}}
    if raw.get('model_type') == _GAN_MODEL:
        expected = f'a section, since model_type is {_GAN_MODEL}'
        return [Problem(key, 'nothing', expected) for key, section in sections.items() if section is None]
    expected = f'no such section, or model_type: {_GAN_MODEL}'
    return [Problem(key, 'a section', expected) for key, section in sections.items() if section is not None]


def _as_many(name: str, values: tuple[int, ...], weights: tuple[float, ...]) -> list[Problem]:
    if len(values) == len(weights):
        return []
    return [
        Problem(
            'train.scheduler.restart_weights',
            f'{len(weights)} weights for {len(values)} {name}',
            f'as many weights as {name}',
        )
    ]
