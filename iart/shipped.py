"""Files that come with the package without being code: options, meta files, weights, the requirement of BasicSR.

In a checkout they are where the repository keeps them; ``setup.py`` copies them into a wheel as ``iart/_shipped``,
under the same relative paths.
"""

import os
from pathlib import Path

from iart.errors import OptionsError, nearest

_CHECKOUT = Path(__file__).resolve().parents[1]
_IN_WHEEL = Path(__file__).resolve().with_name('_shipped')
ROOT = _IN_WHEEL if _IN_WHEEL.is_dir() else _CHECKOUT
"""Folder that holds ``options/``, ``datasets/meta_info/``, ``datasets/demo/`` (the clip),
``experiments/pretrained_models/`` (shipped weights) and ``scripts/requirements-basicsr.txt``."""

_ENDINGS = ('.yml', '.yaml')


def weights_root() -> Path:
    """Return the folder that paths of pretrained weights are relative to: the checkout, or, for an installed package,
    ``iart`` in the user's cache (``$XDG_CACHE_HOME``, default ``~/.cache``).
    """
    if ROOT == _CHECKOUT:
        return _CHECKOUT
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'iart'


def option_names() -> dict[str, Path]:
    """Return the shipped option files by name, ``IART_REDS4_N6`` and the like."""
    return {file.stem: file for file in sorted((ROOT / 'options').rglob('*.yml')) if not file.stem.startswith('_')}


def find_options(name: str | os.PathLike[str]) -> Path:
    """Return the options file that is meant: a path, or the name of a shipped file.

    Args:
        name: path of a file; where there is none, a shipped file's name or path, with or without its ending and
            ``IART_`` in front, in any letter case: ``REDS4_N6``, ``options/test/IART_REDS4_N6.yml``.

    Raises:
        OptionsError: neither; names the nearest file.
    """
    path = Path(os.path.expandvars(os.path.expanduser(name)))
    if path.exists():
        return path
    shipped = option_names()
    requested = (path.name.removesuffix(path.suffix) if path.suffix in _ENDINGS else path.name).casefold()
    if path.parent == Path() or path.parts[0] == 'options':
        for prefix in ('', 'iart_'):
            for stem, file in shipped.items():
                if stem.casefold() == f'{prefix}{requested}':
                    return file
    beside = [file.name for ending in _ENDINGS for file in path.parent.glob(f'*{ending}')]
    hint = nearest(path.name, beside) or nearest(requested, [stem.casefold() for stem in shipped])
    for stem in shipped:
        hint = hint.replace(repr(stem.casefold()), repr(stem))
    listed = 'a YAML file, or the name of a shipped one such as IART_REDS4_N6'
    raise OptionsError(f'{path}: no such file, expected {listed}{f" ({hint})" if hint else ""}')
