"""One file per command of ``iart``. Heavy imports happen when a command runs, so that ``--help`` answers at once."""
