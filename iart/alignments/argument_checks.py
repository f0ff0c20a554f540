"""Checks of arguments that several alignments have."""


def check_above_zero(**arguments: float | None) -> None:
    """Check that arguments are above 0; None means the default.

    Raises:
        ValueError: one is not; the message names it.
    """
    for name, value in arguments.items():
        if value is not None and not value > 0:
            raise ValueError(f'{name}: got {value}, expected a number above 0')
