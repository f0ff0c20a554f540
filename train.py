"""Train a network: python train.py -opt options/IART_REDS_N6_300K.yml [--launcher pytorch] [--auto_resume] [--debug].

The same as the command ``iart train``; ``python train.py --help`` lists every argument.
"""

import sys

from iart.cli import main

if __name__ == '__main__':
    main(['train', *sys.argv[1:]])
