"""The paper's comparison of alignments as a program: rows are trained with equal budgets and several seeds, scored, and
set beside the paper's figures.

``rows`` knows the rows and the paper's figures, ``plan`` reads a study file, ``runs`` trains and scores one row with
one seed, ``side_by_side`` all of them, ``table`` collects what there is, ``charts`` and ``page`` draw it. The command
is ``scripts/run_alignment_study.py``.
"""
