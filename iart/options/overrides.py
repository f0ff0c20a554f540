"""``--force_yml key:sub=value`` on the command line."""

from collections.abc import Callable, Iterable
from typing import Any

from iart.errors import OptionsError, Problem

_FORM = "key:sub=value, e.g. 'train:optim_g:lr=1e-4'"


def apply(
    raw: dict[str, Any], arguments: Iterable[str], parse: Callable[[str, str], tuple[Any, list[Problem]]]
) -> list[Problem]:
    """Set the values that the command line gives.

    Args:
        raw: the merged YAML; it is changed in place. Keys that nobody knows are left to the checks that follow.
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
