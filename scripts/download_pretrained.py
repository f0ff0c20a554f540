"""Fetch pretrained weights: python scripts/download_pretrained.py [NAME ...] [--list] [--verify] [--wheel FILE].

The same as the command ``iart weights``; ``python scripts/download_pretrained.py --help`` lists every argument.
"""

import sys

from iart.cli import main

if __name__ == '__main__':
    main(['weights', *sys.argv[1:]])
