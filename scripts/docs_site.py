"""Hooks of mkdocs: pages of the site that live outside docs/, notebooks, links, and pages that nav does not name.

mkdocs calls the functions by their names (``hooks`` in mkdocs.yml). The Markdown files do not change, so that their
links also work when the repository is browsed.
"""

import base64
import json
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    'index.md': 'README.md',
    'contributing.md': 'CONTRIBUTING.md',
    'changelog.md': 'CHANGELOG.md',
    'card.md': 'experiments/pretrained_models/IART_small.md',
    'card_real.md': 'experiments/pretrained_models/IART_small_real.md',
    'folders.md': 'datasets/README.md',
    'tour.md': 'docs/tour.ipynb',
}
"""Page of the site and the file of the repository that it shows: Markdown, or a notebook with its outputs."""
MORE = 'More'

_LINK = re.compile(r'(!?)\[((?:[^\[\]]|\[[^\]]*\]\([^)]*\))*)\]\(([^)\s]+)\)')
_BLOCK = re.compile(r'(^```.*?^```)', re.MULTILINE | re.DOTALL)
_ELSEWHERE = re.compile(r'[a-z]+:|#|/')


def source_of(page: str) -> str:
    """Return the file of the repository that a page shows, relative to the repository."""
    return PAGES.get(page, f'docs/{page}')


def page_of(file: str) -> str | None:
    """Return the page or asset of the site that a file of the repository is, or None."""
    for page, source in PAGES.items():
        if source == file:
            return page
    return file.removeprefix('docs/') if file.startswith('docs/') else None


def rewrite_links(text: str, page: str, repository: str = '') -> str:
    """Return a page's Markdown with links that are right within the site.

    Args:
        text: Markdown of the file that the page shows.
        page: name of the page, relative to the site.
        repository: address of the repository, to which links to other files lead; empty: they become plain text.
    """

    def replaced(match: re.Match[str]) -> str:
        image, label, target = match.groups()
        label = _LINK.sub(replaced, label)
        if image and re.match('https?:', target):
            return ''  # badges: the site makes no request to other servers
        if _ELSEWHERE.match(target):
            return f'{image}[{label}]({target})'
        path, hash_sign, anchor = target.partition('#')
        file = os.path.normpath(PurePosixPath(source_of(page)).parent / path)
        place = page_of(file)
        if place is not None:
            relative = os.path.relpath(place, PurePosixPath(page).parent)
            return f'{image}[{label}]({relative}{hash_sign}{anchor})'
        if file.startswith('..'):  # GitHub's own pages of a repository, such as its CI badge
            return f'{image}[{label}]({repository}/{file.removeprefix("../../")})' if repository else ''
        return f'[{label}]({repository}/blob/main/{file})' if repository else label

    parts = _BLOCK.split(text)  # odd parts are blocks of code
    return ''.join(part if k % 2 else _LINK.sub(replaced, part) for k, part in enumerate(parts))


def content_of(page: str) -> tuple[str, dict[str, bytes]]:
    """Return the Markdown of a page, and pictures that it shows by their names in the site."""
    source = source_of(page)
    text = (ROOT / source).read_text(encoding='utf-8')
    return notebook_page(text, PurePosixPath(page).stem) if source.endswith('.ipynb') else (text, {})


def notebook_page(text: str, name: str) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown: text, code, and below it what it printed and drew.

    Args:
        text: content of the .ipynb, with its outputs.
        name: beginning of the pictures' names.
    """
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in json.loads(text)['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'markdown':
            parts.append(source)
            continue
        parts.append(f'```python\n{source}\n```')
        for output in cell['outputs']:
            if 'text' in output:
                parts.append(f'```text\n{"".join(output["text"]).rstrip()}\n```')
            elif 'image/png' in output['data']:
                picture = f'images/{name}_{len(pictures)}.png'
                pictures[picture] = base64.b64decode(''.join(output['data']['image/png']))
                parts.append(f'![Output of the code above]({picture})')
    return '\n\n'.join(parts) + '\n', pictures


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that show files outside docs/, and notebooks."""
    from mkdocs.structure.files import File

    for page in PAGES:
        text, pictures = content_of(page)
        files.append(File.generated(config, page, content=text))
        for picture, data in pictures.items():
            files.append(File.generated(config, picture, content=data))
    named = set(re.findall(r"'([\w./-]+\.md)'", str(config['nav'])))
    rest = sorted(file.src_uri for file in files.documentation_pages() if file.src_uri not in named)
    if rest:
        config['nav'].append({MORE: rest})
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Rewrite the links of one page; a page that is a section by itself gets the width of the navigation."""
    if any(page.file.src_uri in entry.values() for entry in config['nav']):
        page.meta.setdefault('hide', ['navigation'])
    return rewrite_links(markdown, page.file.src_uri, (config['repo_url'] or '').rstrip('/'))
