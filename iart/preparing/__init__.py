"""Preparation and checks of data sets: ``iart data ...``."""
