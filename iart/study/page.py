"""A study's results in files: table, CSV, charts, and a page that shows them."""

import base64
import html
from pathlib import Path

from iart.files import write_text
from iart.study.charts import write_charts
from iart.study.table import Results

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1c2430}
table{border-collapse:collapse;margin:1rem 0;font-size:13px;display:block;overflow-x:auto}
th,td{padding:.25rem .6rem;border-bottom:1px solid #d7dde5;text-align:right}
th:first-child,td:first-child{text-align:left}img{max-width:100%}"""


def write_results(results: Results) -> Path:
    """Write ``table.md``, ``results.csv``, ``figures/`` and ``index.html`` into the study's folder.

    Returns:
        The page.

    Raises:
        DataError: a file cannot be written.
    """
    folder = results.plan.folder
    text = results.markdown()
    write_text(folder / 'table.md', text)
    write_text(folder / 'results.csv', results.csv())
    pictures = write_charts(results, folder / 'figures')
    body = [*_html(text), *(f'<img alt="{html.escape(p.stem)}" src="{_inline(p)}">' for p in pictures)]
    title = html.escape(results.plan.study.name)
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    write_text(folder / 'index.html', page + '\n'.join(body) + '</html>\n')
    return folder / 'index.html'


def _inline(picture: Path) -> str:
    return 'data:image/png;base64,' + base64.b64encode(picture.read_bytes()).decode()


def _html(markdown: str) -> list[str]:
    """The headings, paragraphs and tables of :meth:`Results.markdown`."""
    parts, in_table = list[str](), False
    for line in markdown.split('\n'):
        if line.startswith('|---'):
            continue
        if in_table and not line.startswith('|'):
            parts.append('</table>')
            in_table = False
        if line.startswith('|'):
            cell = 'td' if in_table else 'th'
            parts += [] if in_table else ['<table>']
            in_table = True
            parts.append(
                '<tr>' + ''.join(f'<{cell}>{html.escape(c.strip())}</{cell}>' for c in line.strip('|').split('|'))
            )
        elif line.startswith('#'):
            level = len(line) - len(line.lstrip('#'))
            parts.append(f'<h{level}>{html.escape(line.lstrip("# "))}</h{level}>')
        elif line:
            parts.append(f'<p>{html.escape(line)}</p>')
    return parts
