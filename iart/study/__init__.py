"""The paper's comparison of alignments as a program: rows are trained with equal budgets and several seeds, scored, and
set beside the paper's figures.

``rows`` has the rows and the paper's figures, ``study_file`` reads a study, ``runs`` trains and scores one row with one
seed, ``side_by_side`` all of them, ``table`` collects the scores, ``charts`` and ``result_files`` write them. The
command is ``scripts/run_alignment_study.py``.
"""
