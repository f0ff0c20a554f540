"""The options file as a JSON Schema, for editors: ``python -m iart.options --schema > docs/options.schema.json``.

It is written in draft 7, which YAML language servers know best, and never refuses a file that :func:`iart.options.load`
accepts. It knows less than the checks there: keys that must agree, components that need an argument.
"""

import dataclasses
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from iart.options import roles
from iart.options.base import Component, Section, thaw
from iart.options.schema import DatasetOptions, Options
from iart.options.train_section import CosineAnnealingRestartLR, MultiStepLR, Scheduler, TrueCosineAnnealingLR
from iart.options.upstream import RETIRED
from iart.registry import ALIGNMENT_REGISTRY, FLOW_REGISTRY, find, names

Schema = dict[str, Any]

_PLAIN: Mapping[Any, str] = {int: 'integer', float: 'number', bool: 'boolean', str: 'string', types.NoneType: 'null'}
_BOUNDS = ((Ge, 'ge', 'minimum'), (Gt, 'gt', 'exclusiveMinimum'), (Le, 'le', 'maximum'), (Lt, 'lt', 'exclusiveMaximum'))
_SCHEDULES = (CosineAnnealingRestartLR, MultiStepLR, TrueCosineAnnealingLR)


def options_schema() -> str:
    """Return the schema as JSON text."""
    schema = _section(Options, '')
    properties = schema['properties']
    properties['base'] = {'type': 'string', 'description': 'Options file, relative to this one, that this one changes.'}
    schema['properties'] = {key: _or_null(value) for key, value in properties.items()}
    train_needs = [name for name, field in _fields(Options)['train'].items() if field.is_required()]
    complete = {
        'required': [name for name, field in Options.model_fields.items() if field.is_required()],
        'properties': {
            'network_g': {'required': ['type']},
            'train': {'required': train_needs},
            'datasets': {'additionalProperties': {'required': ['type']}},
        },
    }
    schema = {
        '$schema': 'http://json-schema.org/draft-07/schema#',
        'title': 'Options of iart',
        **schema,
        'if': {'not': {'required': ['base']}},
        'then': complete,
    }
    return json.dumps(schema, indent=1, ensure_ascii=False) + '\n'


def _fields(model: type[Section]) -> dict[str, dict[str, FieldInfo]]:
    """The fields of a model's sections, by the name of the section."""
    return {name: kind.model_fields for name, field in model.model_fields.items() if (kind := _model(field.annotation))}


def _section(model: type[Section], place: str) -> Schema:
    """Return a section with a fixed set of keys, none of which is required: a base may have them."""
    properties = {
        name: _field(field, f'{place}.{name}'.lstrip('.'))
        for name, field in model.model_fields.items()
        if (model, name) != (DatasetOptions, 'arguments')
    }
    for key, reason in RETIRED.get(place, {}).items():
        properties[key] = {'deprecated': True, 'description': f'No longer needed: {reason}.'}
    return {'type': 'object', 'properties': properties, 'additionalProperties': False}


def _field(field: FieldInfo, place: str) -> Schema:
    annotation = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    schema = _at(place) or _type(annotation, place)
    if field.description:
        schema = {'description': re.sub(r'\s+', ' ', field.description).strip(), **schema}
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined or isinstance(default, Section) or default in ({}, None):
        return schema
    return {**schema, 'default': thaw(default)}


def _at(place: str) -> Schema | None:
    """The schema of a section whose keys are the arguments of what it names; None for any other place."""
    if place == 'network_g':
        return _component(roles.networks())
    if place == 'datasets':
        sets = {'train': _dataset('train')}
        tests = {'^(val|test)': _dataset('test')}
        return {'type': 'object', 'properties': sets, 'patternProperties': tests, 'additionalProperties': False}
    if place == 'train.scheduler':
        return _choice({name: _section(model, '') for model in _SCHEDULES for name in _names_of(model)})
    if place == 'train.optim_g':
        rate = {'type': 'number', 'exclusiveMinimum': 0, 'description': 'Base learning rate.'}
        return {'type': 'object', 'properties': {'type': {'type': 'string'}, 'lr': rate}}
    if place == 'val.metrics':
        better = {'better': {'enum': ['higher', 'lower'], 'default': 'higher'}}
        metric = _component(roles.metrics(), frozenset({'img', 'img2'}), better)
        return {'type': 'object', 'additionalProperties': _or_null(metric)}
    role = place.removeprefix('train.')
    if place.startswith('train.') and role.endswith('_opt') and (losses := roles.losses(role)):
        return _or_null(_component(losses))
    return None


def _names_of(model: type[Section]) -> tuple[str, ...]:
    return get_args(model.model_fields['type'].annotation)


def _dataset(phase: str) -> Schema:
    loader = _section(DatasetOptions, 'datasets.*')['properties']
    return _or_null(_component(roles.datasets(phase), frozenset({'scale', 'seed'}), loader))


def _component(
    components: Mapping[str, Callable[..., Any]], given: frozenset[str] = frozenset(), also: Schema | None = None
) -> Schema:
    """Return a section with ``type`` and the arguments of the component that it names.

    Args:
        components: what ``type`` may name.
        given: arguments that the program passes itself.
        also: further keys that the section may have.
    """
    sections = {}
    for name, component in sorted(components.items()):
        arguments = _arguments(component)
        properties = {key: value for key, value in arguments.items() if key not in given}
        sections[name] = {'properties': {**(also or {}), **properties}, 'additionalProperties': False}
    return _choice(sections)


def _choice(sections: Mapping[str, Schema]) -> Schema:
    """A section whose ``type`` decides what else it may have; without a ``type`` a base has it."""
    branches = []
    for name, section in sections.items():
        section['properties'].pop('type', None)
        then = {**section, 'properties': {'type': {}, **section['properties']}}
        branches.append({'if': {'properties': {'type': {'const': name}}, 'required': ['type']}, 'then': then})
    return {'type': 'object', 'properties': {'type': {'enum': list(sections)}}, 'allOf': branches}


def _arguments(component: Callable[..., Any]) -> dict[str, Schema]:
    """The keyword arguments of a class or function, described by its docstring."""
    target = component.__init__ if inspect.isclass(component) else component  # type: ignore[misc]
    try:
        hints = typing.get_type_hints(target, include_extras=True)
    except (NameError, TypeError):
        hints = {}  # BasicSR has no annotations
    texts = _described(component.__doc__ or '')
    schemas: dict[str, Schema] = {}
    for name, parameter in inspect.signature(component).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            continue
        if name in ('alignment', 'flow') and inspect.isclass(component):
            registry = ALIGNMENT_REGISTRY if name == 'alignment' else FLOW_REGISTRY
            parts = {part: find(registry, part) for part in names(registry)}
            schema = _or_null(_component(parts, frozenset({'channels', 'num_heads'} if name == 'alignment' else ())))
        else:
            schema = _type(hints[name], '') if name in hints else {}
        schemas[name] = {'description': texts[name], **schema} if name in texts else schema
    return schemas


def _described(docstring: str) -> dict[str, str]:
    """Return the description of each argument in the ``Args`` section of a docstring."""
    section = re.search(r'^Args:\n((?: +.*\n?|\n)*)', inspect.cleandoc(docstring), re.MULTILINE)
    entries = re.findall(r'^ {4}(\w[\w, ]*?)(?: \([^)]*\))?: (.*(?:\n {5,}.*)*)', section[1] if section else '', re.M)
    return {name: re.sub(r'\s+', ' ', text) for some, text in entries for name in some.split(', ')}


def _type(annotation: Any, place: str) -> Schema:
    """The schema of an annotation; what YAML has no word for is not restricted."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in _PLAIN:
        return {'type': _PLAIN[annotation]}
    if annotation is Path:
        return {'type': 'string'}
    if annotation is Component or annotation is Scheduler:
        return {'type': 'object'}
    if origin is Annotated:
        return {**_type(inner[0], place), **_bounds(inner[1:])}
    if origin is Literal:
        return {'enum': list(inner)}
    if origin in (Union, types.UnionType):
        return _any_of([_type(member, place) for member in inner])
    if model := _model(annotation):
        return _section(model, place)
    if inspect.isclass(annotation) and dataclasses.is_dataclass(annotation):
        return {'type': 'object', 'properties': _arguments(annotation), 'additionalProperties': False}
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return {'type': 'object'}
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        members = [member for member in inner if member is not Ellipsis]
        if issubclass(origin, tuple) and Ellipsis not in inner:
            items: Any = [_type(member, place) for member in members]
            return {'type': 'array', 'items': items, 'minItems': len(members), 'maxItems': len(members)}
        return {'type': 'array', 'items': _type(members[0], place)}
    return {}


def _model(annotation: Any) -> type[Section] | None:
    """The section that an annotation names, alone or beside None."""
    # To Python 3.10, dict[str, Any] is a class as well, but not one that issubclass takes.
    parts = [part for part in (annotation, *get_args(annotation)) if inspect.isclass(part) and not get_args(part)]
    return next((part for part in parts if issubclass(part, Section)), None)


def _bounds(metadata: tuple[Any, ...]) -> Schema:
    bounds: Schema = {}
    for item in metadata:
        for constraint in getattr(item, 'metadata', (item,)):  # Field(...) keeps its constraints in a list of its own
            for kind, attribute, keyword in _BOUNDS:
                if isinstance(constraint, kind):
                    bounds[keyword] = getattr(constraint, attribute)
            if isinstance(constraint, MinLen):
                bounds['minItems'] = constraint.min_length
    return bounds


def _or_null(schema: Schema) -> Schema:
    return _any_of([schema, {'type': 'null'}])


def _any_of(schemas: list[Schema]) -> Schema:
    """Return a choice of several schemas, with the first one's description."""
    if {} in schemas:
        return {}
    about: Schema = {key: schemas[0][key] for key in ('description', 'default') if key in schemas[0]}
    flat = [part for schema in schemas for part in schema.get('anyOf', [schema])]
    plain = [{key: value for key, value in part.items() if key not in about} for part in flat]
    unique = [part for k, part in enumerate(plain) if part not in plain[:k]]
    if all(part.keys() == {'type'} for part in unique):
        listed = [part['type'] if isinstance(part['type'], list) else [part['type']] for part in unique]
        kinds = list(dict.fromkeys(kind for some in listed for kind in some))
        return {**about, 'type': kinds[0] if len(kinds) == 1 else kinds}
    return {**about, 'anyOf': unique}
