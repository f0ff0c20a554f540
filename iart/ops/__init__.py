"""Pure functions on tensors: warping, position codes, tap gathering, windows, attention, degradations."""
