"""Settings that are written once: a field of a dataclass with its help text, which the command line is made from.

A dataclass declares a setting with :func:`setting`; :func:`add_settings` gives a parser one option for each, and
:func:`read_settings` makes the dataclass from what was parsed. A value that makes no sense raises
:class:`iart.errors.SettingError`, which speaks of the field; :func:`command_line_words` turns it into a message that
speaks of the option.
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
) -> Any:
    """Return a dataclass field that is also an option of the command line.

    Args:
        default: the field's default. A bool makes a switch: ``--name`` where it is False, ``--name on|off`` where it
            is True.
        text: what the help says about it.
        group: heading in the help under which it is listed.
        option: name of the option, such as ``--plan``; empty: that of the field.
        values: makes a value of the text that was given; may raise a UserError.
        metavar: what the help calls the value.
        choices: the values that are possible.
    """
    described = {
        'text': text,
        'group': group,
        'option': option,
        'values': values,
        'metavar': metavar,
        'choices': choices,
    }
    return field(default=default, metadata={_KEY: described})


def _declared(kind: type) -> Iterator[tuple[Field[Any], Mapping[str, Any]]]:
    for one in fields(kind):
        if _KEY in one.metadata:
            yield one, one.metadata[_KEY]


def _option(one: Field[Any], described: Mapping[str, Any]) -> str:
    return described['option'] or _spelled(one.name)


def _spelled(name: str) -> str:
    return f'--{name.replace("_", "-")}'


def add_settings(parser: argparse.ArgumentParser, kind: type) -> None:
    """Add an option for every setting of a dataclass, under the headings that the settings name."""
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

    convert.__name__ = values.__name__  # argparse shows it for what raises a ValueError: "invalid int value"
    return convert


def read_settings(arguments: argparse.Namespace, kind: type, **others: Any) -> Any:
    """Make the dataclass from parsed arguments.

    Args:
        arguments: what a parser with :func:`add_settings` gave.
        kind: the dataclass.
        others: its fields that are no settings.

    Raises:
        UserError: a value that makes no sense; names the option.
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
