"""Translation of pydantic's errors: key path, what was got, what is expected, nearest name."""

from collections import defaultdict
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from iart.errors import Problem, listing, nearest
from iart.options.base import Section
from iart.options.schema import Options
from iart.yaml_words import QUOTE, QUOTE_THEM, spell_value


def explain(error: ValidationError, raw: dict[str, Any]) -> list[Problem]:
    """Return one problem for each invalid key.

    Args:
        error: the error of validating ``raw`` as :class:`Options`.
        raw: the YAML.
    """
    by_key: dict[str, list[Problem]] = defaultdict(list)
    for details in error.errors():
        problem = _explain_one(details, raw)
        by_key[problem.key].append(problem)
    return [_join(problems) for problems in by_key.values()]


def _join(problems: list[Problem]) -> Problem:
    """Join problems of several interpretations of a value (a number or a word) to one."""
    first = problems[0]
    expected = ' or '.join(dict.fromkeys(p.expected for p in problems))
    return Problem(first.key, first.got, expected, next((p.hint for p in problems if p.hint), ''))


def _explain_one(details: ErrorDetails, raw: dict[str, Any]) -> Problem:
    path, fields, models = _place(details, raw)
    key, got, kind, context = '.'.join(path), spell_value(details['input']), details['type'], details.get('ctx', {})
    if kind == 'missing':
        return Problem(key, 'nothing', f'a value: {fields.get(path[-1]) or "it has no default"}')
    if kind == 'extra_forbidden':
        return Problem(key, got, f'one of the keys {listing(fields, 60)}', nearest(path[-1], fields))
    if kind in ('union_tag_invalid', 'union_tag_not_found'):
        tag = context.get('tag')
        tags = str(context.get('expected_tags', '')) or ', '.join(
            repr(tag) for model in models for tag in _own_tags(model)
        )
        hint = nearest(str(tag), [name.strip("'") for name in tags.split(', ')]) if tag else ''
        return Problem(f'{key}.type', repr(tag) if tag else 'nothing', f'one of: {tags}', hint)
    if kind == 'literal_error':
        return Problem(
            key,
            got,
            context['expected'],
            nearest(str(details['input']), context['expected'].replace("'", '').split(' or ')),
        )
    number = isinstance(details['input'], int | float) and not isinstance(details['input'], bool)
    hint = (QUOTE_THEM if path[-1].isdigit() else QUOTE) if kind == 'string_type' and number else ''
    return Problem(key, got, _wanted(details['msg']), hint)


def _wanted(message: str) -> str:
    message = (
        message.removeprefix('Input should be ').replace('tuple', 'list').replace('a valid dictionary', 'a mapping')
    )
    if message.startswith('a mapping or instance') or 'object to extract' in message:
        return 'a mapping of keys to values'
    return (
        message.replace('a valid integer', 'a whole number')
        .replace('a valid string', 'text')
        .replace('a valid ', 'a ')
        .replace('boolean', 'boolean (true or false)')
    )


def _place(details: ErrorDetails, raw: Any) -> tuple[list[str], dict[str, str], list[type[Section]]]:
    """Return the key path of an error, the fields (name → description) of the section with its last key, and the
    sections that are allowed there.

    pydantic's own path also names the member of a union that it tried; such a step is not in the YAML and is left out.
    """
    path: list[str] = []
    models: list[type[Section]] = [Options]
    fields: dict[str, str] = {}
    for part in details['loc']:
        tagged = [model for model in models if part in _own_tags(model)]
        here = (isinstance(raw, dict) and part in raw) or (
            isinstance(raw, list) and isinstance(part, int) and part < len(raw)
        )
        if not here and tagged:
            models = tagged
        elif here or details['type'] == 'missing':
            fields = {name: field.description or '' for model in models for name, field in model.model_fields.items()}
            path.append(str(part))
            inner = [model.model_fields[part].annotation for model in models if part in model.model_fields]  # type: ignore[index]
            models = [m for annotation in inner for m in _models(annotation)] if inner else models
            raw = raw[part] if here else None
    return path, fields, models


def _models(annotation: Any) -> list[type[Section]]:
    """Yield the section models inside an annotation such as ``dict[str, DatasetOptions]`` or ``A | B | None``."""
    if arguments := get_args(annotation):  # first: to Python 3.10, dict[str, Any] is a type as well
        return [model for argument in arguments for model in _models(argument)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, Section) else []


def _own_tags(model: type[Section]) -> tuple[str, ...]:
    field = model.model_fields.get('type')
    return get_args(field.annotation) if field is not None else ()
