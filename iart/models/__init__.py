"""Models: a network with its losses, and what of it is trained when. Files named ``*_model.py`` register what the
YAML's ``model_type`` can name."""
