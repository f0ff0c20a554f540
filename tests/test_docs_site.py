"""The documentation site without mkdocs: its navigation, its links and their anchors, and how links are rewritten."""

import re
from pathlib import Path

import docs_site
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted(path.relative_to(ROOT / 'docs').as_posix() for path in (ROOT / 'docs').rglob('*.md'))
PAGES = [*docs_site.PAGES, *DOCS]
_BLOCK = re.compile(r'^```.*?^```', re.MULTILINE | re.DOTALL)


class _Loader(yaml.SafeLoader):
    """Reads ``!ENV`` of mkdocs as plain values."""


_Loader.add_constructor('!ENV', lambda loader, node: loader.construct_sequence(node)[-1])


def text_of(page: str) -> str:
    return docs_site.content_of(page)[0]


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as Python-Markdown makes them."""
    headings = re.findall(r'^#+ (.+)$', _BLOCK.sub('', text_of(page)), re.MULTILINE)
    plain = (re.sub(r'[^\w\s-]', '', heading.encode('ascii', 'ignore').decode()) for heading in headings)
    return {re.sub(r'[-\s]+', '-', heading.strip().lower()) for heading in plain}


def test_navigation_names_pages_that_exist_once() -> None:
    nav = yaml.load((ROOT / 'mkdocs.yml').read_text(encoding='utf-8'), _Loader)['nav']
    named = re.findall(r"'([\w./-]+\.(?:md|ipynb))'", str(nav))
    assert len(named) == len(set(named))
    assert not [page for page in named if not (ROOT / docs_site.source_of(page)).is_file()]
    assert {'index.md', 'getting-started.md', 'troubleshooting.md', 'options.md', 'api.md'} <= set(named)


@pytest.mark.parametrize('page', PAGES)
def test_links_within_the_site_lead_somewhere(page: str) -> None:
    rewritten = docs_site.rewrite_links(_BLOCK.sub('', text_of(page)), page)
    wrong = []
    for target in re.findall(r'\]\(([^)\s]+)\)', rewritten):
        if re.match(r'[a-z]+:', target):
            continue
        file, _, anchor = target.partition('#')
        other = (Path(page).parent / file).as_posix() if file else page
        pictures = docs_site.content_of(page)[1]
        there = other in docs_site.PAGES or other in pictures or (ROOT / 'docs' / other).exists()
        if not there or (anchor and other.endswith('.md') and anchor not in anchors(other)):
            wrong.append(target)
    assert not wrong


def test_links_are_rewritten() -> None:
    text = (
        '[a](docs/upscale.md#limits) [`b`](iart/cli.py) ![c](docs/images/memory.png) [d](#x) [e](https://example.org)'
    )
    assert docs_site.rewrite_links(text, 'index.md') == (
        '[a](upscale.md#limits) `b` ![c](images/memory.png) [d](#x) [e](https://example.org)'
    )
    assert docs_site.rewrite_links('[b](../iart/cli.py)', 'gpu.md', 'https://host/o/r') == (
        '[b](https://host/o/r/blob/main/iart/cli.py)'
    )
    assert docs_site.rewrite_links('[r](../README.md)', 'gpu.md') == '[r](index.md)'
    assert docs_site.rewrite_links('![badge](https://host/x.svg) a', 'index.md') == ' a'
    block = '```\n[a](docs/upscale.md)\n```\n'
    assert docs_site.rewrite_links(block, 'index.md') == block


def test_a_notebook_is_shown_with_its_outputs() -> None:
    text, pictures = docs_site.content_of('tour.md')
    assert text.startswith('# A tour of iart')
    assert '```python' in text
    assert '```text' in text
    assert len(pictures) >= 6
    assert all(f'({name})' in text and data.startswith(b'\x89PNG') for name, data in pictures.items())


def test_every_complaint_has_a_symptom_and_a_remedy() -> None:
    entries = re.findall(r'^### (.+)\n\n(.+)', text_of('troubleshooting.md'), re.MULTILINE)
    assert len(entries) >= 40
    assert len({symptom for symptom, _ in entries}) == len(entries)
