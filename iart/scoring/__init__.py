"""Scoring: clips restored, measured against ground truth, and compared with published figures."""
