"""Restoring whole clips with a trained network."""
