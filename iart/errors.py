"""Mistakes a user can fix: shown as a message, never as a traceback, and the process ends with code 2."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

EXIT_USER_ERROR = 2


class UserError(Exception):
    """A mistake in options, data, weights or arguments; its text names the file, key or shape, what was got and what
    was expected."""


class OptionsError(UserError):
    """Mistakes in a YAML file or its command-line overrides, all of them in one message."""


class DataError(UserError):
    """Frames, clips or meta files that are missing, unreadable or do not fit together."""


class WeightsError(UserError):
    """A weight file or checkpoint that is unreadable or does not fit the network."""


class SettingError(UserError):
    """A value that is not allowed for an argument of a function or dataclass.

    Args:
        name: the argument.
        text: what was got, and what was expected.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f'{name}: {text}')
        self.name, self.text = name, text

    def __reduce__(self) -> tuple[type['SettingError'], tuple[str, str]]:
        return type(self), (self.name, self.text)


class TrainingError(UserError):
    """A training run that cannot continue, because its numbers are no longer finite."""


@dataclass(frozen=True)
class Problem:
    """One mistake in the options: the key, the value that was given, and what is expected."""

    key: str
    got: str
    expected: str
    hint: str = ''

    def __str__(self) -> str:
        text = f'{self.key}: got {self.got}, expected {self.expected}'
        return f'{text} ({self.hint})' if self.hint else text


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a suggestion such as ``did you mean 'mid_channels'?``; empty if no name is close."""
    matches = get_close_matches(str(name), [str(k) for k in names], n=1, cutoff=0.6)
    return f'did you mean {matches[0]!r}?' if matches else ''


def quantity(count: int, unit: str) -> str:
    """Return a count with its unit, such as ``1 frame`` or ``2 frames``."""
    return f'{count} {unit}' if count == 1 else f'{count} {unit}s'


def listing(names: Iterable[str], most: int = 20) -> str:
    """Join names for a message; after ``most`` names, the number of the others."""
    names = list(names)
    shown = ', '.join(names[:most])
    return shown if len(names) <= most else f'{shown}, and {len(names) - most} more'
