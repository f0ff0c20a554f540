"""Keys of options and flags of commands that the docs name exist."""

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iart import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = ('README.md', 'CONTRIBUTING.md', *(f'docs/{page.name}' for page in sorted((ROOT / 'docs').glob('*.md'))))
SCHEMA = json.loads((ROOT / 'docs' / 'options.schema.json').read_text(encoding='utf-8'))
_KEY = re.compile(rf'`((?:{"|".join(SCHEMA["properties"])})(?:[.:][a-z_]\w*)+)')
_FLAG = re.compile(r'(?<![\w-])--[a-z][\w-]+')
_FILES = {'train.log'}  # named like keys
_OF_OTHERS = {
    '--shm-size': 'docker',
    '--force-reinstall': 'pip',
    '--no-deps': 'pip',
    '--strict': 'mkdocs',
    '--nproc-per-node': 'torchrun',
    '--nnodes': 'torchrun',
    '--node-rank': 'torchrun',
    '--master-addr': 'torchrun',
    '--rdzv-backend': 'torchrun',
    '--rdzv-endpoint': 'torchrun',
    '--ntasks': 'slurm',
    '--gpus-per-task': 'slurm',
}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding='utf-8')


def keys_below(node: dict[str, Any]) -> dict[str, Any]:
    """The keys that a section may have, whatever its type; '*' where any key is allowed."""
    keys = dict(node.get('properties', {}))
    for kind in ('anyOf', 'oneOf', 'allOf'):
        for choice in node.get(kind, []):
            for part in (choice, choice.get('then', {}), choice.get('else', {})):
                keys |= keys_below(part)
    others = [*node.get('patternProperties', {}).values(), node.get('additionalProperties')]
    if sections := [other for other in others if isinstance(other, dict)]:
        keys['*'] = sections[0]
    return keys


@pytest.mark.parametrize('page', PAGES)
def test_keys_exist(page: str) -> None:
    unknown = []
    for key in sorted(set(_KEY.findall(text_of(page))) - _FILES):
        node = SCHEMA
        for part in re.split('[.:]', key):
            keys = keys_below(node)
            if part not in keys and '*' not in keys and keys:
                unknown.append(key)
                break
            node = keys.get(part, keys.get('*', {}))
    assert not unknown


def flags_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from flags_of(command)


@pytest.fixture(scope='module')
def flags() -> set[str]:
    scripts = [*(ROOT / 'scripts').glob('*.py'), *(ROOT / 'scripts').glob('*.sh'), *(ROOT / 'tests').rglob('*.py')]
    in_scripts = {flag for script in scripts for flag in _FLAG.findall(script.read_text(encoding='utf-8'))}
    both = {flag.replace('_', '-') for flag in (*flags_of(cli._parser()), *in_scripts, *_OF_OTHERS)}
    return both | {f'--no-{flag.removeprefix("--")}' for flag in both}


@pytest.mark.parametrize('page', PAGES)
def test_flags_exist(page: str, flags: set[str]) -> None:
    assert not {flag for flag in _FLAG.findall(text_of(page)) if flag.replace('_', '-') not in flags}
