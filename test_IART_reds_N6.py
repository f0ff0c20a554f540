"""Score the released IART weights trained on 6 frames of REDS on REDS4, PSNR and SSIM on RGB.

python test_IART_reds_N6.py [--weights FILE] [--lq FOLDER] [--gt FOLDER] [--device cpu] [--save-frames]
The same as ``iart test -opt options/test/IART_REDS4_N6.yml``, whose options the arguments override.
"""

import sys
from pathlib import Path

from iart.cli import main

if __name__ == '__main__':
    options = Path(__file__).parent / 'options' / 'test' / 'IART_REDS4_N6.yml'
    main(['test', '-opt', str(options), *sys.argv[1:]])
