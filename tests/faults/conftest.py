"""The fault tests share the tiny runs of the other tests. ``python -m pytest tests/faults --long`` runs the slow ones,
too.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]
