"""Train and score the alignments of the paper's study with equal budgets and several seeds, and compare them.

    python scripts/run_alignment_study.py options/study/synthetic_small.yml
    python scripts/run_alignment_study.py options/study/synthetic_small.yml --processes 4
    python scripts/run_alignment_study.py options/study/synthetic_small.yml --table

A stopped study resumes. Results are in ``results/studies/<name>``: index.html, table.md, results.csv,
figures/.
"""

import sys

from iart.study.command import main

if __name__ == '__main__':
    sys.exit(main())
