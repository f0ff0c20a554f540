"""Files of a study's results: table, CSV, charts, and a page that shows them."""

from pathlib import Path

from iart.analysis.findings import Findings, FindingsPicture, write_findings
from iart.files import write_text
from iart.reporting.page import write_measurement_page
from iart.study.charts import write_charts
from iart.study.table import Results


def write_results(results: Results) -> Path:
    """Write ``table.md``, ``results.csv``, ``figures/``, ``findings.json`` (for ``iart report``) and ``index.html``.

    Returns:
        The page, in the study's folder.

    Raises:
        DataError: a file cannot be written.
    """
    folder = results.plan.folder
    write_text(folder / 'table.md', results.markdown())
    write_text(folder / 'results.csv', results.csv())
    pictures = [
        FindingsPicture(path.relative_to(folder).as_posix(), caption)
        for path, caption in write_charts(results, folder / 'figures')
    ]
    findings = Findings(
        f'Alignment study {results.plan.study.name}', results.text(), tuple(results.tables()), tuple(pictures)
    )
    write_findings(folder, findings)
    write_measurement_page(folder, folder / 'index.html')
    return folder / 'index.html'
