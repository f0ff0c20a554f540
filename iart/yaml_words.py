"""Values and types in the words of a YAML file, for messages: ``true``, ``~``, ``{type: lmdb}``, a list of text."""

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any

import yaml

QUOTE = 'quote it: without quotes YAML reads digits as a number'
QUOTE_THEM = 'quote them: without quotes YAML reads digits as numbers'

_PLAIN = {
    bool: 'true or false',
    int: 'a whole number',
    float: 'a number',
    str: 'text',
    types.NoneType: '~',
    Any: 'any value',
}


def spell_value(value: Any, most: int = 100) -> str:
    """Return a value as a YAML file would have it, cut after ``most`` characters; text keeps its quotes."""
    if isinstance(value, str):
        text = repr(value)
    else:
        try:
            text = yaml.safe_dump(_plain(value), default_flow_style=True, width=10**6, allow_unicode=True)
            text = {'null': '~'}.get(text.split('\n')[0], text.split('\n')[0])
        except yaml.YAMLError:  # something that no YAML makes, from Python
            text = repr(value)
    return text if len(text) <= most else f'{text[: most - 3]}...'


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def spell_type(hint: Any) -> str:
    """Return what a type annotation allows in the words of a YAML file."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return spell_type(arguments[0])
    if origin is typing.Literal:
        return ' or '.join(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        return ' or '.join(dict.fromkeys(map(spell_type, arguments)))
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        keys = _choices(arguments[0])
        return f'{{{", ".join(f"{key}: {spell_type(arguments[1])}" for key in keys)}}}' if keys else 'a section'
    if inspect.isclass(origin) and issubclass(origin, tuple) and Ellipsis not in arguments:
        return f'[{", ".join(map(spell_type, arguments))}]'
    if inspect.isclass(origin) and arguments:
        return f'a list of {_plural(spell_type(arguments[0]))}'
    if inspect.isclass(hint) and (dataclasses.is_dataclass(hint) or issubclass(hint, Mapping)):
        return 'a section'
    return (
        'a list' if inspect.isclass(hint) and issubclass(hint, list | tuple) else getattr(hint, '__name__', str(hint))
    )


def _choices(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()


def _plural(words: str) -> str:
    return {'a whole number': 'whole numbers', 'a number': 'numbers'}.get(words, words)


def needs_quotes(hint: Any, value: Any) -> str:
    """Return the hint to quote a value (or the members of a list) that YAML read as a number where text is expected."""
    text = spell_type(hint)
    if isinstance(value, int | float) and not isinstance(value, bool) and 'text' in text.split(' or '):
        return QUOTE
    numbers = isinstance(value, list | tuple) and any(isinstance(v, int | float) for v in value)
    return QUOTE_THEM if numbers and 'a list of text' in text else ''
