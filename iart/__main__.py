"""``python -m iart`` is the command ``iart``."""

from iart.cli import main

main()
