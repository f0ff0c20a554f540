"""Names of clips and frames that come out of files: they become parts of paths, and must not lead anywhere else."""

from pathlib import PurePosixPath, PureWindowsPath

from iart.errors import DataError


def check_name(name: str, where: str) -> str:
    """The name itself, such as ``000`` or ``00001/0001/im1``.

    Args:
        where: the file and line or key it stands in, for the message.

    Raises:
        DataError: a path made of it could leave its folder: it is absolute, has ``..`` in it, or a character that no
            name has.
    """
    parts = name.replace('\\', '/').split('/')
    absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or PureWindowsPath(name).root
    if absolute or '\0' in name or any(part in ('', '.', '..') for part in parts):
        raise DataError(
            f'{where}: got the name {name!r}, expected one that stays inside its folder, such as 000/00000000'
        )
    return name
