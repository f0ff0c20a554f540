"""Commands in README, the contributing guide and docs are valid, paths and links exist, and the example works."""

import ast
import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch

from iart import cli, registry
from iart.archs.iart_arch import IART

ROOT = Path(__file__).resolve().parents[1]
PAGES = ('README.md', 'CONTRIBUTING.md', *(f'docs/{p.name}' for p in sorted((ROOT / 'docs').glob('*.md'))))
_BLOCK = re.compile(r'^```(\w*)\n(.*?)^```', re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r'`((?:iart|python|bash|torchrun) [^`]+)`')
_PLACEHOLDER = re.compile(
    r'\b(X|IN|OUT|INPUT|OUTPUT|ROOT|WHAT|PATH|FOLDER|RESTORED|GT|COMMAND|N|VIDEOS|FILE)\b|[<>\[\]…*]|\.\.\.'
)


def commands(page):
    """Every command of a page that is meant literally."""
    text = (ROOT / page).read_text(encoding='utf-8')
    lines = [
        line
        for kind, block in _BLOCK.findall(text)
        if kind in ('bash', '')
        for line in block.replace('\\\n', ' ').splitlines()
    ]
    lines += _INLINE.findall(_BLOCK.sub('', text))
    words = [
        shlex.split(line, comments=True)
        for line in lines
        if line.split(' ')[0] in ('iart', 'python', 'bash', 'torchrun')
    ]
    named_only = re.compile(r'iart( [a-z0-9]+)*|bash dist_train\.sh')  # a command's name in a sentence
    return [w for w in words if not (_PLACEHOLDER.search(' '.join(w)) or named_only.fullmatch(' '.join(w)))]


ALL = [(page, command) for page in PAGES for command in commands(page)]


def test_there_are_commands():
    assert {page for page, _ in ALL} >= {'README.md', 'CONTRIBUTING.md', 'docs/data.md'}


@pytest.mark.parametrize(('page', 'command'), ALL, ids=[f'{page}: {" ".join(command)}' for page, command in ALL])
def test_commands_are_understood(page, command):
    files = [word for word in command if re.fullmatch(r'[\w/]+\.(py|sh|yml)', word)]
    missing = [word for word in files if not (ROOT / word).is_file()]
    assert not missing, f'{page} names files that do not exist'
    arguments = command[1:]
    script = next((w for w in arguments if w.endswith('.py')), '')
    if command[0] == 'iart':
        cli._parser().parse_args(arguments)
    elif command[0] == 'torchrun' and 'iart' in arguments:
        cli._parser().parse_args(arguments[arguments.index('iart') + 1 :])
    elif script == 'train.py':
        cli._parser().parse_args(['train', *arguments[arguments.index(script) + 1 :]])
    elif script.startswith('test_IART'):
        cli._parser().parse_args(['test', '-opt', 'x.yml', *arguments[arguments.index(script) + 1 :]])
    elif 'dist_train.sh' in arguments:
        cli._parser().parse_args(['train', '-opt', arguments[2], *arguments[3:]])
    else:
        assert files or command[:2] == ['python', '-m'], command


def python_of(page):
    """Code of a page or a notebook."""
    text = (ROOT / page).read_text(encoding='utf-8')
    if page.endswith('.ipynb'):
        return [''.join(cell['source']) for cell in json.loads(text)['cells'] if cell['cell_type'] == 'code']
    return [block for kind, block in _BLOCK.findall(text) if kind == 'python']


@pytest.mark.parametrize('page', [*PAGES, 'docs/tour.ipynb'])
def test_what_python_examples_import_exists(page):
    for code in python_of(page):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module.split('.')[0] == 'iart':
                module = importlib.import_module(node.module)
                names = [name.name for name in node.names if not hasattr(module, name.name)]
                assert not [name for name in names if not importlib.util.find_spec(f'{node.module}.{name}')]


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding='utf-8')
    links = [
        link.split('#')[0]
        for link in re.findall(r'\]\(([^)\s]+)\)', _BLOCK.sub('', text))
        if not re.match(r'https?:|#|\.\./\.\./actions/', link)  # the badge of CI: a page of the host, not a file
    ]
    assert not [link for link in links if not ((ROOT / page).parent / link).exists()]


def test_the_example_of_the_contributing_guide_works(tmp_path):
    text = (ROOT / 'CONTRIBUTING.md').read_text(encoding='utf-8')
    (source,) = [block for kind, block in _BLOCK.findall(text) if kind == 'python']
    file = tmp_path / 'gated_warp_alignment.py'
    file.write_text(source)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    given = set(registry.names(registry.ALIGNMENT_REGISTRY))
    try:
        spec.loader.exec_module(module)
        alignment = {'type': 'GatedWarpAlignment', 'kernel': 3}
        network = IART(
            mid_channels=8, embed_dim=8, depths=[1], num_heads=[2], window_size=(3, 4, 4), alignment=alignment
        )
        network(torch.rand(1, 3, 3, 16, 16)).mean().backward()
        assert all(p.grad is not None for p in network.implicit_warp.parameters())
    finally:
        for name in set(registry.names(registry.ALIGNMENT_REGISTRY)) - given:
            del registry.ALIGNMENT_REGISTRY._obj_map[f'{name}_{registry.SUFFIX}']
        del sys.modules[file.stem]


_PATH = re.compile(r'(?:\w+/)+[\w*-]+\.(?:py|sh|yml|md)|(?:iart|scripts|tests|docs|options|datasets)/[\w./*-]+')
# Files that a page asks its reader to create, and names of examples.
_NOT_THERE = re.compile(r'iart/losses/|iart/alignments/gated_warp_alignment\.py|options/X\.yml|datasets/REDS/')


@pytest.mark.parametrize('page', PAGES)
def test_paths_exist(page):
    """Paths in sentences start at the repository, or at ``iart/`` on the page about its shape."""
    text = _BLOCK.sub('', (ROOT / page).read_text(encoding='utf-8'))
    paths = [path for code in re.findall(r'`([^`\n]+)`', text) for path in _PATH.findall(code)]
    assert paths or page not in ('CONTRIBUTING.md', 'docs/architecture.md')
    missing = [
        path
        for path in paths
        if not _NOT_THERE.match(path) and not any(ROOT.glob(path.rstrip('/'))) and not (ROOT / 'iart' / path).exists()
    ]
    assert not missing, f'{page} names what does not exist'
