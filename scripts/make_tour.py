"""Runs docs/tour.ipynb and stores its outputs in it.

    pip install -r scripts/requirements-docs.txt && python scripts/make_tour.py

Run it again after a change to the notebook or to the shipped network. Less than a minute on a CPU.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from iart.files import write_text
from iart.shipped import ROOT

NOTEBOOK = ROOT / 'docs' / 'tour.ipynb'
_SECONDS = 300  # for a single cell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('notebook', nargs='?', type=Path, default=NOTEBOOK)
    path: Path = parser.parse_args().notebook
    # Not needed to use or to test iart; the tests run the notebook's code without them.
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:  # it must not depend on where it runs
        NotebookClient(
            notebook, timeout=_SECONDS, kernel_name='python3', resources={'metadata': {'path': folder}}
        ).execute()
    for number, cell in enumerate(notebook.cells):
        cell.id = f'cell-{number:02}'  # random otherwise, so that each run would change every cell
        if cell.cell_type == 'code':
            cell.metadata = {}
            cell.outputs = shortened(cell.outputs)
    notebook.metadata = {'kernelspec': notebook.metadata.kernelspec, 'language_info': {'name': 'python'}}
    write_text(path, nbformat.writes(notebook) + '\n')
    print(f'{path}: {path.stat().st_size:,} bytes')


def shortened(outputs: list[Any]) -> list[Any]:
    """Return a cell's outputs with the text of each stream in one piece, and of pictures nothing but the PNG."""
    short: list[Any] = []
    for output in outputs:
        if short and output.output_type == short[-1].output_type == 'stream' and output.name == short[-1].name:
            short[-1].text += output.text
            continue
        data = output.get('data', {})
        if 'image/png' in data:
            data.pop('text/plain', None)
        short.append(output)
    return short


if __name__ == '__main__':
    main()
