"""YAML sections against the signatures of what they name: unknown keys, wrong types, missing values."""

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from iart.errors import Problem, listing, nearest
from iart.yaml_words import needs_quotes, spell_type, spell_value


def fit_to_signature(
    component: Callable[..., Any], arguments: Mapping[str, Any], *, key: str, given: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], list[Problem]]:
    """Hold a YAML section against the signature of what it names.

    Args:
        component: class or function that the section's ``type`` names.
        arguments: the section without ``type``.
        key: path of the section in the YAML, for messages.
        given: names that the caller passes itself, and which the section may therefore leave out.

    Returns:
        The arguments, converted to the annotated types, and the problems found. A parameter swallowed by
        ``**kwargs`` counts as unknown: it would have no effect.
    """
    parameters = {
        name: p
        for name, p in inspect.signature(component).parameters.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    hints = _type_hints(component)
    name = getattr(component, '__name__', str(component))
    fitted: dict[str, Any] = {}
    problems = []
    for argument, value in arguments.items():
        if argument not in parameters:
            allowed = [p for p in parameters if p not in given]
            problems.append(
                Problem(
                    f'{key}.{argument}',
                    spell_value(value),
                    f'an argument of {name}: {listing(allowed)}',
                    nearest(argument, allowed),
                )
            )
            continue
        nested = _nested(hints.get(argument))
        if nested is not None and isinstance(value, Mapping):
            inner, mistakes = fit_to_signature(nested, value, key=f'{key}.{argument}')
            problems += mistakes
            if not mistakes:
                try:
                    fitted[argument] = nested(**inner)
                except ValueError as error:
                    problems.append(Problem(f'{key}.{argument}', spell_value(value), f'values that fit ({error})'))
            continue
        try:
            fitted[argument] = _adapter(hints[argument]).validate_python(value) if argument in hints else value
        except ValidationError as error:
            problems.append(_misfit(f'{key}.{argument}', value, hints[argument], error))
    for argument, parameter in parameters.items():
        if parameter.default is parameter.empty and argument not in arguments and argument not in given:
            problems.append(Problem(f'{key}.{argument}', 'nothing', f'a value: {name} has no default for it'))
    return fitted, problems


def _nested(hint: Any) -> type | None:
    """The dataclass that an argument's annotation names, alone or beside None: in the YAML a section of its own."""
    return next(
        (part for part in (hint, *typing.get_args(hint)) if inspect.isclass(part) and dataclasses.is_dataclass(part)),
        None,
    )


def _type_hints(component: Callable[..., Any]) -> dict[str, Any]:
    target = component.__init__ if inspect.isclass(component) else component  # type: ignore[misc]
    try:
        return typing.get_type_hints(target)
    except (NameError, TypeError):
        return {}  # BasicSR has no annotations worth checking


def _adapter(hint: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except Exception:  # pydantic refuses a config for its own model types
        return TypeAdapter(hint)


def _misfit(key: str, value: Any, hint: Any, error: ValidationError) -> Problem:
    """Return the problem of a value of the wrong type; messages of our validators are kept, pydantic's own are not."""
    reasons = [str(e['ctx']['error']) for e in error.errors() if e['type'] in ('value_error', 'assertion_error')]
    expected = f'{spell_type(hint)}: {reasons[0]}' if reasons else spell_type(hint)
    return Problem(key, spell_value(value), expected, needs_quotes(hint, value))
