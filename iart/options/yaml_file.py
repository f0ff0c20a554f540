"""YAML file → base merge → command-line overrides → upstream's keys translated → checked, frozen options."""

import re
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import yaml

from iart.errors import DataError, OptionsError, Problem, nearest
from iart.files import read_text
from iart.options import checks as checking
from iart.options import overrides as overriding
from iart.options import upstream
from iart.options.base import thaw
from iart.options.overrides import expand
from iart.options.schema import Options
from iart.shipped import find_options


class Loader(yaml.SafeLoader):
    """A loader of plain values only. ``2e-4`` is a number (YAML 1.1 requires ``2.0e-4``), and a key that is given twice
    in one mapping is an error."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.problems: list[Problem] = []
        self._looked_at: set[int] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Check the keys as written, before ``<<`` merges those of other mappings."""
        if id(node) not in self._looked_at:
            self._looked_at.add(id(node))
            self._look_at_keys(node)
        super().flatten_mapping(node)

    def _look_at_keys(self, node: yaml.MappingNode) -> None:
        seen: dict[Hashable, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.tag not in ('tag:yaml.org,2002:str', 'tag:yaml.org,2002:merge'):
                self.problems.append(
                    Problem(f'line {line}', f'{getattr(key, "value", "")!r} as a key', 'a word as a key', 'quote it')
                )
            elif key.value in seen:
                self.problems.append(
                    Problem(f'line {line}', f'{key.value!r} again, first on line {seen[key.value]}', 'each key once')
                )
            else:
                seen[key.value] = line


Loader.add_implicit_resolver(
    'tag:yaml.org,2002:float', re.compile(r'^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$'), list('-+0123456789')
)


class _Dumper(yaml.SafeDumper):
    """A dumper that writes lists on one line, and ``~`` for none."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    list, lambda dumper, data: dumper.represent_sequence('tag:yaml.org,2002:seq', data, flow_style=True)
)
_Dumper.add_representer(type(None), lambda dumper, _: dumper.represent_scalar('tag:yaml.org,2002:null', '~'))


def load(path: str | Path, overrides: Iterable[str] = (), *, scoring: bool = False) -> Options:
    """Read, complete and check the options of one YAML file. No other file is opened but its ``base``.

    Args:
        path: YAML file, or the name of a shipped one (:func:`iart.shipped.find_options`).
        overrides: arguments of ``--force_yml``, e.g. ``train:optim_g:lr=1e-4``.
        scoring: whether to omit the sections that scoring does not use: ``train`` and ``datasets.train``.

    Raises:
        OptionsError: every mistake in the file and the overrides, one per line.
    """
    path = find_options(path)
    raw, problems = _read_with_base(path)
    return _resolve(raw, problems, overrides, str(path), scoring=scoring)


def resolve(raw: dict[str, Any], overrides: Iterable[str] = (), *, source: str = 'options') -> Options:
    """Build options from a mapping, as :func:`load` does from a file.

    Args:
        raw: keys and plain values.
        overrides: as for :func:`load`.
        source: name of the mapping in messages.

    Raises:
        OptionsError: every mistake, one per line.
    """
    return _resolve(merge({}, raw), [], overrides, source)


def _resolve(
    raw: dict[str, Any], problems: list[Problem], overrides: Iterable[str], source: str, *, scoring: bool = False
) -> Options:
    problems = problems + overriding.apply(raw, overrides, parse)
    if scoring:
        raw.pop('train', None)
        if isinstance(raw.get('datasets'), dict):
            raw['datasets'].pop('train', None)
    raw, unset = expand(raw)
    problems += unset
    raw, notes, mistakes = upstream.normalize(raw)
    problems += mistakes
    options, mistakes = checking.check(raw)
    problems += mistakes
    if problems or options is None:
        count = '1 mistake' if len(problems) == 1 else f'{len(problems)} mistakes'
        raise OptionsError('\n  '.join([f'{source}: {count}', *map(str, problems)]))
    options._notes = notes
    return options


def dump(options: Options) -> str:
    """The resolved options as YAML; :func:`load` reads it back to equal options."""
    return yaml.dump(
        thaw(options.model_dump()),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=120,
        default_flow_style=False,
    )


def parse(text: str, source: str | Path = 'text') -> tuple[Any, list[Problem]]:
    """Return the plain value of a YAML text, and the mistakes in its keys.

    Raises:
        OptionsError: not YAML, or YAML that wants to make an object.
    """
    try:
        loader = Loader(text)
        return thaw(loader.get_single_data()), loader.problems
    except RecursionError as error:
        raise OptionsError(f'{source}: not valid YAML: got an anchor (&) that contains itself') from error
    except (yaml.YAMLError, ValueError) as error:
        raise OptionsError(f'{source}: not valid YAML: {" ".join(str(error).split())}') from error


def _read_with_base(path: Path) -> tuple[dict[str, Any], list[Problem]]:
    """Return the file's mapping, merged over that of its ``base`` (a path relative to the file)."""
    raw, problems = _read(path)
    base = raw.pop('base', None)
    if base is None:
        return merge({}, raw), problems
    if not isinstance(base, str):
        return raw, [*problems, Problem('base', repr(base), 'the path of one YAML file, relative to this one')]
    below, base_problems = _read(path.parent / base)
    if 'base' in below:
        base_problems.append(
            Problem('base', f'{base!r}, which has a base itself', 'a file without a base: inheritance has one level')
        )
        below.pop('base')
    base_problems = [
        Problem(f'{base}, {p.key}' if p.key.startswith('line') else p.key, p.got, p.expected, p.hint)
        for p in base_problems
    ]
    return merge(merge({}, below), raw), problems + base_problems


def _read(path: Path) -> tuple[dict[str, Any], list[Problem]]:
    try:
        text = read_text(path)
    except DataError as error:
        hint = '' if path.exists() else nearest(path.name, [file.name for file in path.parent.glob('*.yml')])
        raise OptionsError(f'{error}{f" ({hint})" if hint else ""}') from error
    raw, problems = parse(text, path)
    if not isinstance(raw, dict):
        raise OptionsError(f'{path}: got {type(raw).__name__}, expected a mapping of keys to values')
    return raw, problems


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merge ``above`` over ``below``: mappings merge key by key; lists and everything else, even ``~``, replace.

    A section that names another ``type`` replaces the whole section below: its arguments belong to another class.
    """
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if not isinstance(value, dict):
            merged[key] = thaw(value)
        elif isinstance(under, dict) and value.get('type', under.get('type')) == under.get('type'):
            merged[key] = merge(under, value)
        else:
            merged[key] = merge({}, value)
    return merged
