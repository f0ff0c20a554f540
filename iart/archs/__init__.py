"""Networks. Files named ``*_arch.py`` register what the YAML's ``network_g.type`` can name."""
