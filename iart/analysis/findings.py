"""Tables and figures that a command leaves in a folder, described so that ``iart report`` can show them."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from iart.errors import DataError
from iart.files import read_text, to_json, write_text

FILE = 'findings.json'


@dataclass(frozen=True)
class Table:
    """A table; its first column names the rows.

    Args:
        title: above it.
        header: names of the columns.
        rows: cells as text, as many in each row as there are columns.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> Iterator[str]:
        """Yield the lines of the table."""
        yield f'| {" | ".join(self.header)} |'
        yield '|---' * len(self.header) + '|'
        yield from (f'| {" | ".join(row)} |' for row in self.rows)


@dataclass(frozen=True)
class FindingsPicture:
    """A figure.

    Args:
        file: a PNG, relative to the folder.
        caption: what it shows, in a sentence.
    """

    file: str
    caption: str


@dataclass(frozen=True)
class Findings:
    """The measurements of a command, in reading order.

    Args:
        title: title of the page or its section.
        text: paragraphs.
        tables: tables that follow the text.
        pictures: pictures that follow the tables.
    """

    title: str
    text: tuple[str, ...]
    tables: tuple[Table, ...]
    pictures: tuple[FindingsPicture, ...]


def write_findings(folder: Path, findings: Findings) -> None:
    """Write ``findings.json`` beside the figures.

    Raises:
        DataError: the file cannot be written.
    """
    write_text(folder / FILE, to_json(asdict(findings)))


def read_findings(folder: Path) -> Findings:
    """Read ``findings.json``; the inverse of :func:`write_findings`.

    Raises:
        DataError: the file cannot be read, or is something else.
    """
    path = folder / FILE
    try:
        content = json.loads(read_text(path))
        findings = Findings(
            str(content['title']),
            tuple(map(str, content['text'])),
            tuple(_table(table) for table in content['tables']),
            tuple(FindingsPicture(str(p['file']), str(p['caption'])) for p in content['pictures']),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f'{path}: damaged ({error!r}); run the command that wrote it again, iart analyze or the alignment study'
        ) from error
    return findings


def _table(content: dict[str, Any]) -> Table:
    table = Table(str(content['title']), tuple(content['header']), tuple(map(tuple, content['rows'])))
    if any(len(row) != len(table.header) for row in table.rows):
        raise ValueError(f'rows of {table.title!r} do not have {len(table.header)} cells')
    return table
