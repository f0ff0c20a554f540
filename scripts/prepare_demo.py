"""Convert the bundled clip to the frames that options/demo/IART_demo.yml names: GT and LR (BI, ×4).

python scripts/prepare_demo.py [--out datasets/demo/frames] [--clip datasets/demo/bigbuckbunny.mp4]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from iart.demo.bundled_clip import CLIP, prepare
from iart.errors import EXIT_USER_ERROR, UserError
from iart.shipped import ROOT

FRAMES = ROOT / 'datasets' / 'demo' / 'frames'


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; return its exit code: 0, or 2 for a user's mistake."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=FRAMES, help='folder to write; default datasets/demo/frames')
    parser.add_argument('--clip', type=Path, default=CLIP, help='the film; default the bundled one')
    given = parser.parse_args(arguments)
    try:
        out = prepare(given.out, given.clip)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return EXIT_USER_ERROR
    print(f'demo frames: {out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
