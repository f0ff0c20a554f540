"""Values from outside the file: ``--force_yml key:sub=value``, the home folder and environment variables."""

import os
import re
from collections.abc import Callable, Iterable
from typing import Any

from iart.errors import OptionsError, Problem

_VARIABLE = re.compile(r'\$(\w+|\{\w+\})')
_FORM = "key:sub=value, e.g. 'train:optim_g:lr=1e-4'"


def apply(
    raw: dict[str, Any], arguments: Iterable[str], parse: Callable[[str, str], tuple[Any, list[Problem]]]
) -> list[Problem]:
    """Set the values that the command line gives.

    Args:
        raw: the merged YAML, changed in place. Unknown keys are reported by later checks.
        arguments: one string per value, ``key:sub=value``; the value is read as YAML.
        parse: reads a YAML text (second argument: what to call it in a message) and gives its value and the mistakes in
            it.

    Returns:
        What is wrong with the form of the arguments.
    """
    problems = []
    for argument in arguments:
        try:
            _set(raw, argument, parse)
        except OptionsError as error:
            problems.append(Problem('--force_yml', repr(argument), str(error)))
    return problems


def _set(raw: dict[str, Any], argument: str, parse: Callable[[str, str], tuple[Any, list[Problem]]]) -> None:
    place, equals, text = argument.partition('=')
    keys = place.strip().split(':')
    if not equals or not all(keys):
        raise OptionsError(_FORM)
    if '.' in place and ':' not in place:
        raise OptionsError(f'{_FORM}: keys are separated by colons')
    value, mistakes = parse(text, 'a value')
    if mistakes:
        raise OptionsError(str(mistakes[0]))
    section = raw
    for key in keys[:-1]:
        if section.get(key) is None:
            section[key] = {}
        section = section[key]
        if not isinstance(section, dict):
            raise OptionsError(f'a section before each colon, and {key!r} holds {section!r}')
    section[keys[-1]] = value


def expand(value: Any, key: str = '') -> tuple[Any, list[Problem]]:
    """Replace ``~`` at the start of texts by the home folder, and ``$NAME`` and ``${NAME}`` by environment variables.

    Args:
        value: a YAML or a part of it.
        key: where it is, for messages.

    Returns:
        The same with texts expanded, and a problem for each variable that is not set.
    """
    if isinstance(value, dict):
        pairs = {k: expand(v, f'{key}.{k}'.lstrip('.')) for k, v in value.items()}
        return {k: v for k, (v, _) in pairs.items()}, [p for _, problems in pairs.values() for p in problems]
    if isinstance(value, list):
        members = [expand(v, key) for v in value]
        return [v for v, _ in members], [p for _, problems in members for p in problems]
    if not isinstance(value, str):
        return value, []
    names = [match.strip('{}') for match in _VARIABLE.findall(value)]
    unset = [name for name in names if name not in os.environ]
    problems = [Problem(key, repr(value), f'an environment variable that is set: ${name} is not') for name in unset]
    return os.path.expandvars(os.path.expanduser(value) if value.startswith('~') else value), problems
