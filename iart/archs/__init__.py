"""Networks. Files named ``*_arch.py`` register the types that ``network_g.type`` of a YAML file can name."""
