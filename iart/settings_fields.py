"""Settings that are written once: dataclass fields with a help text and a range, from which options are made.

A dataclass declares a setting with :func:`setting` and checks values with :func:`check_settings`; :func:`add_settings`
adds an option for each to a parser, and :func:`read_settings` builds the dataclass from parsed arguments. A value that
is not allowed raises :class:`iart.errors.SettingError`, which names the field; :func:`command_line_words` turns it into
a message that names the option.
"""

import argparse
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, field, fields
from typing import Any

from iart.errors import SettingError, UserError

_KEY = 'setting'


def setting(
    default: Any,
    text: str,
    *,
    group: str = '',
    option: str = '',
    values: Callable[[str], Any] | None = None,
    metavar: str | None = None,
    choices: tuple[str, ...] | None = None,
    least: tuple[int, str] | None = None,
) -> Any:
    """Return a dataclass field that is also an option of the command line.

    Args:
        default: the field's default. A bool makes a switch: ``--name`` where it is False, ``--name on|off`` where it
            is True.
        text: the help text.
        group: heading in the help under which it is listed.
        option: name of the option, such as ``--plan``; empty for the field's name.
        values: converts the given text to a value; may raise a UserError.
        metavar: name of the value in the help.
        choices: the allowed values.
        least: the smallest allowed value and its unit, such as ``(1, 'frame')``; None is allowed as well.
    """
    described = {
        'text': text,
        'group': group,
        'option': option,
        'values': values,
        'metavar': metavar,
        'choices': choices,
        'least': least,
    }
    return field(default=default, metadata={_KEY: described})


def _declared(kind: type) -> Iterator[tuple[Field[Any], Mapping[str, Any]]]:
    for one in fields(kind):
        if _KEY in one.metadata:
            yield one, one.metadata[_KEY]


def check_settings(values: Any) -> None:
    """Check the values of a dataclass against the ``choices`` and ``least`` of its settings.

    Raises:
        SettingError: a value is not allowed; names the field.
    """
    for one, described in _declared(type(values)):
        value, choices, least = getattr(values, one.name), described['choices'], described['least']
        if choices is not None and value not in choices:
            raise SettingError(one.name, f'got {value!r}, expected one of {", ".join(choices)}')
        if least is not None and value is not None and value < least[0]:
            raise SettingError(one.name, f'got {value}, expected {least[0]} {least[1]} or more')


def _option(one: Field[Any], described: Mapping[str, Any]) -> str:
    return described['option'] or _spelled(one.name)


def _spelled(name: str) -> str:
    return f'--{name.replace("_", "-")}'


def add_settings(parser: argparse.ArgumentParser, kind: type) -> None:
    """Add an option for every setting of a dataclass, under the headings of the settings."""
    groups: dict[str | None, Any] = {group.title: group for group in parser._action_groups}
    for one, described in _declared(kind):
        title = described['group']
        if title and title not in groups:
            groups[title] = parser.add_argument_group(title)
        target = groups[title] if title else parser
        option, given = _option(one, described), {'dest': one.name, 'help': described['text']}
        if one.default is False:
            target.add_argument(option, action='store_true', **given)
        elif one.default is True:
            target.add_argument(option, choices=('on', 'off'), default='on', **given)
        else:
            given |= {'metavar': described['metavar'], 'choices': described['choices']}
            given['type'] = _for_argparse(described['values']) if described['values'] else None
            target.add_argument(option, default=one.default, **{k: v for k, v in given.items() if v is not None})


def _for_argparse(values: Callable[[str], Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return values(text)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    convert.__name__ = values.__name__  # argparse names it in messages: "invalid int value"
    return convert


def read_settings(arguments: argparse.Namespace, kind: type, **others: Any) -> Any:
    """Build the dataclass from parsed arguments.

    Args:
        arguments: result of a parser with :func:`add_settings`.
        kind: the dataclass.
        others: fields of the dataclass that are not settings.

    Raises:
        UserError: a value is not allowed; names the option.
    """
    values = {one.name: getattr(arguments, one.name) for one, _ in _declared(kind)}
    for one, _ in _declared(kind):
        if one.default is True:
            values[one.name] = values[one.name] == 'on'
    with command_line_words(kind):
        return kind(**values, **others)


@contextlib.contextmanager
def command_line_words(*kinds: type) -> Iterator[None]:
    """Turn a :class:`SettingError` of the block into a message that names the option instead of the field.

    Args:
        kinds: dataclasses whose settings may be at fault.
    """
    try:
        yield
    except SettingError as error:
        options = {one.name: _option(one, described) for kind in kinds for one, described in _declared(kind)}
        option = options.get(error.name, _spelled(error.name))
        raise UserError(f'{option}: {error.text}') from error
