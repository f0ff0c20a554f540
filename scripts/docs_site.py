"""Hooks of mkdocs: pages of the site that live outside docs/, links out of it, and pages that nav does not name.

mkdocs calls the functions by their names (``hooks`` in mkdocs.yml). The Markdown files stay as they are, so that their
links also work where the repository is browsed.
"""

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
    'folders.md': 'datasets/README.md',
}
"""Page of the site and the file of the repository that it shows."""
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


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that show files outside docs/."""
    from mkdocs.structure.files import File

    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding='utf-8')))
    named = set(re.findall(r"'([\w./-]+\.md)'", str(config['nav'])))
    rest = sorted(file.src_uri for file in files.documentation_pages() if file.src_uri not in named)
    if rest:
        config['nav'].append({MORE: rest})
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Rewrite the links of one page."""
    return rewrite_links(markdown, page.file.src_uri, (config['repo_url'] or '').rstrip('/'))
