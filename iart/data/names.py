"""Checks of clip and frame names read from files: they become parts of paths and must not leave their folder."""

from pathlib import PurePosixPath, PureWindowsPath

from iart.errors import DataError


def check_name(name: str, where: str) -> str:
    """Return a name such as ``000`` or ``00001/0001/im1`` if it is safe as a part of a path.

    Args:
        where: the file and line, or key, of the name, for the message.

    Raises:
        DataError: a path with it could leave its folder: it is absolute, or contains ``..`` or an invalid character.
    """
    parts = name.replace('\\', '/').split('/')
    absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or PureWindowsPath(name).root
    if absolute or '\0' in name or any(part in ('', '.', '..') for part in parts):
        raise DataError(
            f'{where}: got the name {name!r}, expected one that stays inside its folder, such as 000/00000000'
        )
    return name
