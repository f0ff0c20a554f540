"""Metrics that BasicSR lacks or computes slowly; each file ``*_metric.py`` registers what it defines."""
