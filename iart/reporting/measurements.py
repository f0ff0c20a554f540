"""What ``iart analyze`` and the alignment study found, ready for the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from iart.analysis.findings import FILE, Findings, FindingsPicture, read_findings
from iart.reporting.images import Image, from_png


@dataclass(frozen=True)
class Measurement:
    """The findings of one folder with their pictures.

    Args:
        folder: where they are.
        findings: text and tables.
        pictures: each figure with its caption, encoded.
    """

    folder: Path
    findings: Findings
    pictures: tuple[tuple[FindingsPicture, Image], ...]


def split(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return (results of ``iart test``, folders with findings); what is neither counts as the former."""
    measured = [folder for folder in folders if (folder / FILE).is_file() and not (folder / 'report.json').is_file()]
    return [folder for folder in folders if folder not in measured], measured


def read_measurement(folder: Path) -> Measurement:
    """Read the findings of a folder.

    Raises:
        DataError: a file of them is missing or damaged.
    """
    findings = read_findings(folder)
    pictures = tuple((p, from_png(folder / p.file, p.caption)) for p in findings.pictures)
    return Measurement(folder, findings, pictures)
