"""Restoration of whole clips with a trained network."""
